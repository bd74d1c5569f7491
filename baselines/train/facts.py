"""What a run was made of: code, data and device, as run.json and an export name them."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from baselines.data.layout import Patch

DISTRIBUTION = "flair-challenge-platform"
_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("baselines", "scoring")


def code() -> dict[str, Any]:
    """Tell which code runs: `version`, `sources_sha256`, and of a checkout `commit` and `changed`.

    `sources_sha256` is over the Python files and recipes of `baselines` and `scoring`, so an
    installed copy and a checkout of the same sources agree. `commit` is None outside a checkout;
    `changed` tells whether files of it differ from that commit.
    """
    commit = None
    if (_ROOT / ".git").exists():
        commit = _git("rev-parse", "HEAD")
    return {
        "version": metadata.version(DISTRIBUTION),
        "sources_sha256": _sources_digest(),
        "commit": commit,
        "changed": bool(_git("status", "--porcelain", "--", *_SOURCES)) if commit else None,
    }


def _sources_digest() -> str:
    digest = hashlib.sha256()
    files = [
        path
        for name in _SOURCES
        for path in (_ROOT / name).rglob("*")
        if path.suffix in (".py", ".toml") and "challenges" not in path.relative_to(_ROOT).parts
    ]
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(_ROOT).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _git(*arguments: str) -> str | None:
    """Give what git says; None where there is no git or it refuses."""
    try:
        said = subprocess.run(
            ["git", "-C", str(_ROOT), *arguments],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip() if said.returncode == 0 else None


def data(train: Sequence[Patch], validation: Sequence[Patch]) -> dict[str, Any]:
    """Tell which patches a run learns from and is validated on, with a digest of them.

    `sha256` is over each patch's part, id, metadata, place in its series, and its files' names and
    sizes in bytes, wherever the tree lies; contents are not read, which would take hours for the
    whole data set.
    """
    digest = hashlib.sha256()
    for name, patches in (("train", train), ("validation", validation)):
        for patch in patches:
            series = patch.series
            files = [patch.image, patch.mask]
            files += [series.data, series.masks, series.products] if series is not None else []
            sizes = [[path.name, path.stat().st_size] for path in files if path is not None]
            line = [name, patch.id, patch.domain, patch.zone, patch.metadata, patch.centroid, sizes]
            digest.update(json.dumps(line, sort_keys=True).encode() + b"\n")
    return {
        "train_patches": len(train),
        "validation_patches": len(validation),
        "sha256": digest.hexdigest(),
    }


def device(used: torch.device, *, processes: int = 1) -> dict[str, Any]:
    """Tell on what a run computes: type, name, how many processes, threads or CUDA's version."""
    about: dict[str, Any] = {"type": used.type, "processes": processes}
    if used.type == "cuda":
        properties = torch.cuda.get_device_properties(used)
        about |= {
            "name": properties.name,
            "memory_bytes": properties.total_memory,
            "cuda": torch.version.cuda,
        }
    else:
        about |= {"name": _processor(), "threads": torch.get_num_threads()}
    return about


def _processor() -> str:
    """Give the processor's name, the machine's kind where it isn't told."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
