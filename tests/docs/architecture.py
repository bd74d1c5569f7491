"""The drawing of the layers, made from import-linter's contracts in pyproject.toml.

``python -m tests.docs.architecture`` writes docs/images/architecture.svg.
"""

from __future__ import annotations

import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DRAWING = ROOT / "docs/images/architecture.svg"

# What each package's layers are for; the contracts say which there are, and their order.
PURPOSES = {
    "challenge": {
        "config": "settings, URLs, Celery, WSGI",
        "management": "commands",
        "workers": "Celery tasks",
        "web": "pages",
        "api": "HTTP API",
        "uploads": "tus",
        "admin": "admin",
        "demo": "demo",
        "templatetags": "formatting of numbers and dates",
        "apps": "Django's app",
        "checks": "system checks with hints",
        "services": "every write",
        "selectors": "every read, with a known number of queries",
        "models": "tables and constraints",
        "rules": "pure decisions: no Django, no clock",
        "errors": "refusals: code and message",
        "formats": "days and numbers in words",
        "embedded": "PostgreSQL and Valkey for a checkout",
        "env": "reader of the environment",
    },
    "baselines": {
        "cli": "python -m baselines",
        "runner": "one run",
        "run_progress": "run's events",
        "bench": "measurements",
        "soup": "mean of weights",
        "folds": "cross-validation",
        "area": "maps of areas",
        "evaluate": "measures a run",
        "export": "ONNX …",
        "predict": "predict",
        "package": "zip",
        "submit": "HTTP",
        "pixel": "pixels",
        "model_card": "README of an export",
        "public_files": "of the challenges",
        "polygons": "GeoPackage",
        "train": "recipes, loop, losses",
        "networks": "U-Net … U-T&T",
        "data": "files, cache, synthetic",
        "dependencies": "imports of torch packages",
        "progress_line": "how far it is",
    },
    "scoring": {
        "cli": "python -m scoring",
        "bench": "measurements",
        "client": "flair",
        "engine": "the score engine, below",
        "terminal": "output for terminals",
    },
    "scoring.engine": {
        "pictures": "of patches",
        "scorer": "process, pipeline, verdicts",
        "decode": "sandboxed decoder workers",
        "archive": "zip, TIFF",
        "metrics": "IoU, evidence",
        "truth": "packed ground truth",
        "kernels": "compiled loops",
        "synthetic": "generated data",
        "task": "specification",
        "resource_limits": "hard limits kept",
        "problems": "catalogue of refusals",
        "typed_json": "typed documents",
        "version": "engine_version",
    },
}
# x, y and width of each package's column, px.
COLUMNS = {
    "challenge": (16, 16, 560),
    "baselines": (608, 16, 376),
    "scoring": (1016, 16, 368),
    "scoring.engine": (1016, 316, 368),
}
ROW_PX, GAP_PX, HEAD_PX = 40, 6, 40
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1b2a30; text-anchor: middle }
.name { font-weight: 600 } .purpose { font-size: 11px; fill: #4a5b63 }
.title { font-size: 16px; font-weight: 700; text-anchor: start }
.package { fill: #f3f6f7; stroke: #9fb1b9 } .layer { fill: #fff; stroke: #5d7883 }
.arrow { stroke: #1b2a30; stroke-width: 1.5; fill: none } .ground { fill: #fff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6eef1 } .purpose { fill: #a9bac2 } .package { fill: #1d2a30; stroke: #4b626d }
  .layer { fill: #26363e; stroke: #7d98a3 } .arrow { stroke: #e6eef1 } .ground { fill: #131c20 }
}
"""


def layers() -> dict[str, list[list[str]]]:
    """Return each package's layers from the top, those side by side together.

    Raises KeyError for a layer that has no purpose written above.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = {}
    for contract in project["tool"]["importlinter"]["contracts"]:
        for package in contract.get("containers", ()):
            rows = [row.split(" | ") for row in contract["layers"]]
            found[package] = [[name.strip("()") for name in row] for row in rows]
            for name in (name for row in found[package] for name in row):
                if name not in PURPOSES[package]:
                    raise KeyError(f"tests/docs/architecture.py: what is {package}.{name} for?")
    return found


def draw() -> str:
    """Return the drawing as SVG."""
    parts = []
    bottom = 0
    for package, rows in layers().items():
        x, y, width = COLUMNS[package]
        height = HEAD_PX + len(rows) * (ROW_PX + GAP_PX) + GAP_PX
        bottom = max(bottom, y + height)
        parts.append(_box("package", x, y, width, height))
        parts.append(f'<text class="title" x="{x + 12}" y="{y + 26}">{package}</text>')
        for number, row in enumerate(rows):
            top = y + HEAD_PX + number * (ROW_PX + GAP_PX)
            row.sort(key="workers".__eq__)  # beside the arrow to the baselines
            each = (width - 2 * 12 - (len(row) - 1) * GAP_PX) / len(row)
            for position, name in enumerate(row):
                left = x + 12 + position * (each + GAP_PX)
                parts.append(_box("layer", left, top, each, ROW_PX))
                parts += _words(left + each / 2, top, name, PURPOSES[package][name])
    # Only workers import the baselines, at run time.
    workers = next(n for n, row in enumerate(layers()["challenge"]) if "workers" in row)
    y = COLUMNS["challenge"][1] + HEAD_PX + workers * (ROW_PX + GAP_PX) + ROW_PX // 2
    # The site's arrow to scoring passes below the baselines.
    rows_between = len(layers()["baselines"])
    below = COLUMNS["baselines"][1] + HEAD_PX + rows_between * (ROW_PX + GAP_PX) + 40
    parts += [_arrow(564, y, 608, y), _arrow(984, 120, 1016, 120), _arrow(576, below, 1016, below)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1400 {bottom + 16}" role="img">\n'
        "<title>Packages and layers: imports go downwards and along the arrows</title>\n"
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path class="arrow" d="M0 0 L7 4 L0 8"/></marker></defs>\n'
        f'<rect class="ground" width="1400" height="{bottom + 16}"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _box(kind: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" rx="6"/>'
    )


def _words(x: float, y: float, name: str, purpose: str) -> list[str]:
    return [
        f'<text class="name" x="{x:.0f}" y="{y + 17:.0f}">{escape(name)}</text>',
        f'<text class="purpose" x="{x:.0f}" y="{y + 32:.0f}">{escape(purpose)}</text>',
    ]


def _arrow(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<path class="arrow" marker-end="url(#head)" d="M{x1} {y1} L{x2 - 2} {y2}"/>'


if __name__ == "__main__":
    DRAWING.write_text(draw(), encoding="utf-8")
