"""Compile the kernels' C to the LLVM IR that is committed: ``make kernels``.

Needs the PyPI package ``ziglang`` (the extra ``dev``), which carries clang. What the compiler says
of its own target is taken out of the IR: llvmlite compiles it for the processor at hand.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
# IR file without its ending: the C file and its options.
SOURCES = {
    "counting_8": ("counting.c", "-DCLASSES=8"),
    "counting_16": ("counting.c", "-DCLASSES=16"),
    "counting_32": ("counting.c", "-DCLASSES=32"),
    "strips": ("strips.c",),
}
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror", "-Wno-unused-command-line-argument")
# The target fixes the sizes of C's types and no more. Without aliasing by type, IR has no trace of
# C's type names; named values make it readable.
OPTIONS = ("-target", "x86_64-linux-gnu", "-std=c17", "-ffreestanding", "-O2", "-g0",
           "-fno-strict-aliasing", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
           "-fno-discard-value-names", "-S", "-emit-llvm")  # fmt: skip


def compiler(*arguments: str, folder: Path) -> None:
    """Run clang in `folder`, with caches there and nothing of this user's environment.

    Raises RuntimeError with what the compiler said.
    """
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "ZIG_GLOBAL_CACHE_DIR": str(folder / "cache"),
        "ZIG_LOCAL_CACHE_DIR": str(folder / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the compiler failed on {' '.join(arguments)}:\n{done.stderr}")


def ir(name: str) -> str:
    """The IR of one of `SOURCES`, for any processor."""
    source, *options = SOURCES[name]
    with tempfile.TemporaryDirectory(prefix="kernels-") as path:
        folder = Path(path)
        (folder / source).write_text((FOLDER / source).read_text(encoding="utf-8"))
        compiler(*OPTIONS, *WARNINGS, *options, "-o", "kernel.ll", source, folder=folder)
        text = (folder / "kernel.ll").read_text(encoding="utf-8")
    head = f"; From {source} by `make kernels`. Change the C, not this file.\n\n"
    return head + _without_target(text)


def _without_target(text: str) -> str:
    """Without triple, data layout, processor features, file names and the compiler's version."""
    text = re.sub(
        r"^(; ModuleID|source_filename|target |!llvm\.).*\n", "", text, flags=re.MULTILINE
    )
    text = re.sub(r' "[\w-]+"(="[^"]*")?', "", text)  # attributes in quotes are the target's
    used = re.findall(r"(![0-9]+)", "".join(re.findall(r"^ .*\n", text, flags=re.MULTILINE)))
    nodes = dict(re.findall(r"^(![0-9]+) = (.*)$", text, flags=re.MULTILINE))
    for node in used:  # grows while it is walked
        used += [n for n in re.findall(r"![0-9]+", nodes[node]) if n not in used]
    kept = [
        line
        for line in text.splitlines()
        if not (node := re.match(r"(![0-9]+) = ", line)) or node[1] in used
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"


def main() -> None:
    """Write every IR file."""
    for name in SOURCES:
        (FOLDER / f"{name}.ll").write_text(ir(name), encoding="utf-8")


if __name__ == "__main__":
    main()
