"""Decoders that misbehave in their sandbox cost the upload its score, and affect nothing else."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Scored
from scoring.engine.truth import store
from tests.scoring.attacks import tiffs, zips
from tests.scoring.attacks.world import NAMES, World, class_map
from tests.scoring.misbehaving_decoders import MARK

ROOT = Path(__file__).resolve().parents[3]


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


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """A codec → (truth, upload): 90 patches, more than all decoders hold, nine of them marked."""
    world, folder = World(), tmp_path_factory.mktemp("many")
    listed = world.spec.expected[:90]
    masks = [class_map(n + 50, low=1, high=19) for n in range(7)]
    truth = folder / "truth"
    store.from_arrays(((p, masks[n % 7]) for n, p in enumerate(listed)), truth, spec=world.spec)
    pixels = [class_map(n) for n in range(5)]

    @cache
    def made(codec: str) -> tuple[Path, Path]:
        plain = [tiffs.by_gdal(p, compress=codec) for p in pixels]
        items = [
            zips.Item(
                f"PRED_{p.id}.tif".encode(),
                plain[n % 5] + (MARK if n % 10 == 7 else b"tail"),
                method=0,
            )
            for n, p in enumerate(listed)
        ]
        path = folder / f"{codec}.zip"
        path.write_bytes(zips.archive(items))
        return truth, path

    return made


@pytest.fixture(scope="module")
def undisturbed(many: Callable[[str], tuple[Path, Path]]) -> dict[str, Any]:
    """The card of the many patches when nothing happens."""
    card: dict[str, Any] = score("killed-never", many("lzw"))["scored"]
    assert card["patches"] == 90
    return card


def score(behaviour: str, upload: tuple[Path, Path], *, workers: int = 1) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.scoring.misbehaving_decoders",
            behaviour,
            str(workers),
            *upload,
        ],
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
    ("behaviour", "code"),
    [
        ("crash", "raster-crash"),
        ("leave", "raster-crash"),
        ("spin", "raster-too-slow"),
        ("eat", "raster-memory"),
        ("reply for another", "raster-crash"),
        ("promise too much", "raster-crash"),
        ("invent a problem", "raster-crash"),
        ("report ready again", "raster-crash"),
        ("unknown status", "raster-crash"),
        ("refuse with a list", "raster-crash"),
        ("refuse with lists in lists", "raster-crash"),
        ("refuse with odd parameters", "raster-crash"),
        ("refuse for another file", "raster-crash"),
    ],
)
def test_the_file_that_did_it_is_named(
    behaviour: str, code: str, upload: tuple[Path, Path]
) -> None:
    errors = score(behaviour, upload)["errors"]
    assert [(e["code"], e["file"]) for e in errors] == [(code, NAMES[1])]


@pytest.mark.parametrize("behaviour", ["crash-once", "leave-once", "spin-once", "killed-once"])
def test_a_decoder_that_dies_by_itself_is_replaced(
    behaviour: str, upload: tuple[Path, Path]
) -> None:
    assert score(behaviour, upload) == score("killed-never", upload)


@pytest.mark.parametrize("codec", ["lzw", "zstd"])
@pytest.mark.parametrize(
    ("behaviour", "workers"),
    [
        ("leave-once", 1),
        ("leave-once", 2),
        ("leave-twice", 2),
        ("spin-twice", 2),
        ("killed-twice", 2),
        ("killed-once", 1),
        ("leave-once", 5),
        ("slowly, leave-once", 1),
        ("slowly, leave-twice", 2),
        ("slowly, killed-twice", 2),
    ],
)
def test_no_patch_is_lost_or_counted_twice(
    behaviour: str,
    workers: int,
    codec: str,
    many: Callable[[str], tuple[Path, Path]],
    undisturbed: dict[str, Any],
) -> None:
    """Decoders that end at any moment, one or two at once: the card is that of an undisturbed run.

    Once a scorer that found a decoder dead when it had a request for it took all for done.
    """
    assert score(behaviour, many(codec), workers=workers)["scored"] == undisturbed


@pytest.mark.parametrize("codec", ["lzw", "zstd"])
@pytest.mark.parametrize(("behaviour", "workers"), [("leave", 2), ("slowly, crash", 1)])
def test_a_file_that_kills_the_decoder_is_identified_among_many(
    behaviour: str, workers: int, codec: str, many: Callable[[str], tuple[Path, Path]]
) -> None:
    (error,) = score(behaviour, many(codec), workers=workers)["errors"]
    assert error["code"] == "raster-crash"
    assert int(error["file"][5:11]) % 10 == 0  # 061720, 061730 …: a marked one


def test_decoders_that_are_killed_again_and_again_blame_no_file(upload: tuple[Path, Path]) -> None:
    """SIGKILL comes from the machine, never from a raster: our fault, not the participant's."""
    assert "no other is left" in score("killed", upload)["lost"]


@pytest.mark.parametrize("codec", ["lzw", "zstd", "packbits"])
def test_any_number_of_decoders_gives_the_same_card(
    codec: str, many: Callable[[str], tuple[Path, Path]], undisturbed: dict[str, Any]
) -> None:
    for workers in (1, 2, 5):
        assert score("killed-never", many(codec), workers=workers)["scored"] == undisturbed


def test_many_decoders_share_what_memory_there_is(tmp_path: Path) -> None:
    """64 cores and one member of almost 2 MB once asked for more than the scorer may take."""
    world = World()
    world.write_truth(tmp_path / "truth")
    large = tiffs.handmade(world.first, tail=bytes(1_700_000))
    items = [zips.Item(NAMES[0].encode(), large, method=0), *world.items()[1:]]
    (tmp_path / "upload.zip").write_bytes(zips.archive(items))
    verdict = child.run(
        spec=world.spec, truth_path=tmp_path / "truth", archive_path=tmp_path / "upload.zip",
        evidence_path=None, timeout_s=60, workers=64, memory_bytes=600 * 2**20,
    )  # fmt: skip
    assert isinstance(verdict, Scored), verdict


REMEMBERING = """
import json, os, sys
from pathlib import Path
from scoring.engine.decode import decoder_worker
from scoring.engine.scorer import pipeline
from scoring.engine.task import specification as specs
from scoring.engine.truth import store

def holds(backwards):
    pieces = []
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            begin, end = (int(n, 16) for n in line.split()[0].split("-"))
            if line.split()[1].startswith("rw"):
                memory.seek(begin)
                pieces.append(memory.read(end - begin))
    data = b"".join(pieces)
    return sum(needle[::-1].encode() in data for needle in backwards)

truth, upload, backwards, found = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4]
serve = decoder_worker.serve
def served(*worker):
    Path(found, str(os.getpid())).write_text(str(holds(backwards)))
    serve(*worker)
decoder_worker.serve = served
pipeline.score(spec=specs.load("flair-1"), truth_path=truth, upload_path=upload, workers=1)
with store.PackedTruth.open(truth):
    print(holds(backwards))
"""


def test_a_decoder_workers_memory_holds_no_truth(upload: tuple[Path, Path], tmp_path: Path) -> None:
    """The truth's index has a digest of every mask: guesses can be checked against it."""
    truth, archive = upload
    data = truth.read_bytes()
    offset, length = struct.unpack("<QQ", data[-24:-8])
    digests = [
        row[6] for row in json.loads(zlib.decompress(data[offset : offset + length]))["patches"]
    ]
    backwards = ",".join(d[::-1] for d in digests)
    done = subprocess.run(
        [sys.executable, "-c", REMEMBERING, truth, archive, backwards, tmp_path],
        cwd=ROOT, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert int(done.stdout) == len(digests)  # the scorer has them, so they can be found
    # Those that were still preparing when all was done have left nothing, or an empty file.
    decoders = [path.read_text() for path in tmp_path.iterdir()]
    assert {found for found in decoders if found} == {"0"}
