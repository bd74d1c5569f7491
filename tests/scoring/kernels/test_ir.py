"""The committed LLVM IR is what the C gives, on any machine and for any processor."""

from __future__ import annotations

import re
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from scoring.engine.kernels import build

PROCESSORS = [
    ("x86_64-unknown-linux-gnu", "x86-64"),
    ("x86_64-unknown-linux-gnu", "x86-64-v3"),
    ("x86_64-unknown-linux-gnu", "x86-64-v4"),
    ("aarch64-unknown-linux-gnu", "generic"),
    ("arm64-apple-macosx", "apple-m1"),
]


def _everything(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize("name", build.SOURCES)
def test_the_committed_ir_is_what_the_source_gives(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If not: `make kernels`, and commit what it writes."""
    monkeypatch.setenv("HOME", str(tmp_path / "somebody"))
    monkeypatch.chdir(tmp_path)
    before = _everything(build.FOLDER)

    made = build.ir(name)

    assert made == (build.FOLDER / f"{name}.ll").read_text(encoding="utf-8")
    assert _everything(build.FOLDER) == before
    assert _everything(tmp_path) == set()  # no cache of the compiler


def test_every_ir_file_has_its_source() -> None:
    assert {path.stem for path in build.FOLDER.glob("*.ll")} == set(build.SOURCES)


@pytest.mark.parametrize("name", build.SOURCES)
def test_nothing_of_the_compilers_target_is_left(name: str) -> None:
    text = (build.FOLDER / f"{name}.ll").read_text(encoding="utf-8")

    assert '"' not in text.replace('!"llvm.loop.mustprogress"', "").replace(
        '!"llvm.loop.unroll.disable"', ""
    )
    assert not re.search(r"target|x86|clang|/", text)


@pytest.mark.parametrize(("triple", "cpu"), PROCESSORS)
@pytest.mark.parametrize("name", build.SOURCES)
def test_it_compiles_for_other_processors(name: str, triple: str, cpu: str) -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    module = llvm.parse_assembly((build.FOLDER / f"{name}.ll").read_text(encoding="utf-8"))
    module.triple = triple

    functions = [f.name for f in module.functions if not f.is_declaration]
    made = machine.emit_object(module)
    assert functions
    assert all(name.encode() in made for name in functions)


def test_a_mistake_in_the_source_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "strips.c").write_text("int decode_lzw(void) { return unknown; }\n")
    monkeypatch.setattr(build, "FOLDER", tmp_path)

    with pytest.raises(RuntimeError, match="undeclared identifier 'unknown'"):
        build.ir("strips")
