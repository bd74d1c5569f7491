"""html-validate, which finds what is not HTML; it comes from npm into ``.data`` the first time."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from challenge.embedded.data_folder import ROOT

PACKAGE = "html-validate@8.29.0"
FOLDER = ROOT / ".data" / "npm-html-validate"
# The HTML standard, and what it allows but nobody means: a button that sends its form by default.
CONFIG: dict[str, Any] = {
    "root": True,
    "extends": ["html-validate:standard"],
    # To the standard <details> is flow content, which a <th> may hold; here it counts as a section.
    "elements": ["html5", {"details": {"sectioning": False}}],
    "rules": {
        "no-implicit-button-type": "error",
        "no-dup-id": "error",
        # Django writes what the standard allows, too: <input … required="">, no value for a flag
        "void-style": "off",
        "attribute-boolean-style": "off",
        "attribute-empty-style": "off",
        "no-trailing-whitespace": "off",
    },
}


def install() -> Path:
    """Return the program, fetched once for this checkout. No npm, no pass."""
    program = FOLDER / "node_modules" / ".bin" / "html-validate"
    npm = shutil.which("npm")
    assert npm, "npm is needed to check the pages' HTML: install Debian's nodejs and npm"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            # without it npm would install into the checkout
            (FOLDER / "package.json").write_text('{"private": true}', encoding="utf-8")
            command = [npm, "install", "--no-audit", "--no-fund", "--save-exact", PACKAGE]
            subprocess.run(command, cwd=FOLDER, check=True, timeout=300, capture_output=True)
    return program


def faults(folder: Path) -> list[str]:
    """Return what is wrong with the HTML files of a folder: "file:line: rule: message"."""
    config = folder / "html-validate.json"
    config.write_text(json.dumps(CONFIG), encoding="utf-8")
    command = [install(), "--config", config, "--formatter", "json", *folder.glob("*.html")]
    report = folder / "report.json"
    # into a file: into a pipe, node ends before all of it is written
    with report.open("wb") as out:
        ended = subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, check=False, timeout=200
        )
    assert ended.returncode in (0, 1), ended.stderr
    return [
        f"{Path(one['filePath']).name}:{message['line']}: {message['ruleId']}: {message['message']}"
        for one in json.loads(report.read_bytes())
        for message in one["messages"]
    ]
