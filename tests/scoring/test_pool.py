"""Decoders that misbehave in their cell cost the upload its score, and nobody anything else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scoring.attacks import tiffs, zips
from tests.scoring.attacks.world import NAMES, World
from tests.scoring.misbehaving import MARK

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(truth, upload): a valid archive whose second file carries the mark behind its end."""
    world, folder = World(), tmp_path_factory.mktemp("misbehaving")
    world.write_truth(folder / "truth")
    items = [
        zips.Item(name.encode(), tiffs.handmade(pixels, tail=MARK if n == 1 else b"tail"), method=0)
        for n, (name, pixels) in enumerate(zip(NAMES, world.pixels.values(), strict=True))
    ]
    (folder / "upload.zip").write_bytes(zips.archive(items))
    return folder / "truth", folder / "upload.zip"


def score(deed: str, upload: tuple[Path, Path]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.scoring.misbehaving", deed, *upload],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_decoder_cannot_open_a_file_a_socket_or_a_process(upload: tuple[Path, Path]) -> None:
    (problem,) = score("nosy", upload)["errors"]
    assert problem["file"] == NAMES[1]
    assert problem["params"]["format"] == " ".join(["PermissionError"] * 4)


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        ("crash", "raster-crash"),
        ("leave", "raster-crash"),
        ("spin", "raster-too-slow"),
        ("eat", "raster-memory"),
        ("answer for another", "raster-crash"),
        ("promise too much", "raster-crash"),
        ("invent a problem", "raster-crash"),
        ("greet again", "raster-crash"),
        ("unknown outcome", "raster-crash"),
    ],
)
def test_the_file_that_did_it_is_named(deed: str, code: str, upload: tuple[Path, Path]) -> None:
    errors = score(deed, upload)["errors"]
    assert [(e["code"], e["file"]) for e in errors] == [(code, NAMES[1])]


@pytest.mark.parametrize("deed", ["crash-once", "leave-once", "spin-once"])
def test_a_decoder_that_dies_by_itself_is_replaced(deed: str, upload: tuple[Path, Path]) -> None:
    assert score(deed, upload) == {"scored": True}
