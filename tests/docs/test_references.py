"""What the documents name exists: files, modules, commands, make targets, settings."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from django.core.management import get_commands

from tests.docs import names

ROOT = names.ROOT
DOCUMENTS = sorted(
    path
    for path in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs/decisions").glob("*.md"),
    ]
    # The glossary has a test of its own; it also lists names that were replaced.
    if path.name != "glossary.md"
)
FOLDERS = ("challenge", "scoring", "baselines", "tests", "docs", "challenges", ".ci", ".github")
# What people type before a command's name, and the module behind it.
PARSERS = {
    "python -m scoring": "scoring",
    "python -m baselines": "baselines",
    "flair": "scoring.client",
}
# Variables of other programs, and placeholders of a command's arguments.
FOREIGN = {"CUDA_VISIBLE_DEVICES", "ZIP_OR_FOLDER"}
# Of the kernel.
FOREIGN_PREFIXES = ("CAP_", "SECBIT_", "PR_", "RLIMIT_")


def documents(function: Callable[[Path], None]) -> Callable[[Path], None]:
    return pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)(function)


def code(path: Path) -> list[str]:
    """Return a document's code: lines of its blocks, and its spans."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(
        r"`([^`\n]+(?:\n[^`\n]+)?)`",
        re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE),
    )
    return [line for block in blocks for line in block.splitlines()] + [
        " ".join(span.split()) for span in spans
    ]


@cache
def tracked() -> str:
    """Return the text of all files that are no documents."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    kept = [name for name in listed if name and not name.startswith(("docs/", "challenge/locale"))]
    kinds = {".py", ".yml", ".toml", ".js", ".html", ""}
    paths = [ROOT / name for name in kept if not name.endswith(".md")]
    return "\n".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in paths
        if path.suffix in kinds and path.is_file()
    )


@documents
def test_files_exist(path: Path) -> None:
    missing = []
    for piece in code(path):
        for word in re.findall(r"(?<![\w./-])([\w.*-]+(?:/[\w.*<>-]+)+)", piece):
            is_placeholder = "<" in word or "NAME" in word or "SLUG" in word
            if word.split("/")[0] in FOLDERS and not is_placeholder:
                found = list(ROOT.glob(word.rstrip("/.")))
                missing += [] if found else [word]
    assert missing == []


@documents
def test_python_files_are_named_from_the_root(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    paths = re.findall(r"`([\w./-]+\.py)`", text)
    assert [name for name in paths if "/" in name and not (ROOT / name).exists()] == []


@documents
def test_modules_and_names_exist(path: Path) -> None:
    missing = []
    for piece in code(path):
        pattern = (
            r"(?<![\w./@-])((?:challenge|scoring|baselines|tests)(?:\.[A-Za-z_]\w*)+)(?![\w/-])"
        )
        for dotted in re.findall(pattern, piece):
            is_file = dotted.rpartition(".")[2] in {"py", "toml", "md"}
            is_task = f'name="{dotted}"' in tracked() or f' = "{dotted}"' in tracked()
            missing += [] if is_file or is_task or names.exists(dotted) else [dotted]
    assert missing == []


@documents
def test_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for piece in code(path) for word in re.findall(r"(?:^|\s)make ([a-z-]+)", piece)}
    assert named - targets == set()


@documents
def test_management_commands_exist(path: Path) -> None:
    known = set(get_commands())
    named = {
        word
        for piece in code(path)
        for word in re.findall(r"(?:manage\.py|--rm organiser) ([a-z_]+)", piece)
    }
    assert named - known == set()


@cache
def commands(module: str) -> frozenset[str]:
    """Return the commands that a module's help lists."""
    told = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return frozenset(re.findall(r"^ {4}([a-z][a-z-]*)(?: |$)", told, re.MULTILINE))


@documents
def test_commands_exist(path: Path) -> None:
    missing = []
    for typed, module in PARSERS.items():
        for piece in code(path):
            named = re.findall(rf"(?:^|\s){re.escape(typed)} +([a-z][a-z-]*)\b", piece)
            missing += [f"{typed} {word}" for word in set(named) - commands(module)]
    assert missing == []


@documents
def test_modules_that_are_run_exist(path: Path) -> None:
    missing = []
    for piece in code(path):
        for dotted in re.findall(r"python -m ([a-z_.]+)", piece):
            if dotted.split(".")[0] in names.PACKAGES:
                file = ROOT / dotted.replace(".", "/")
                runs = file.with_suffix(".py").is_file() or (file / "__main__.py").is_file()
                missing += [] if runs else [dotted]
    assert missing == []


@documents
def test_settings_and_constants_exist(path: Path) -> None:
    named = {
        word.removesuffix("_FILE")
        for piece in code(path)
        for word in re.findall(r"(?<![\w-])([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?![\w-])", piece)
    }
    missing = [
        name
        for name in named - FOREIGN
        if not name.startswith(FOREIGN_PREFIXES) and not re.search(rf"\b{name}\b", tracked())
    ]
    assert missing == []


@documents
def test_no_document_speaks_of_another_documents_section_by_number(path: Path) -> None:
    assert re.findall(r"section [0-9]", path.read_text(encoding="utf-8")) == []
