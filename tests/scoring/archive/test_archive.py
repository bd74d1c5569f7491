"""Which file is the prediction of which patch: ids, forms of names, strangers, the missing."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoring.engine.archive import listing as archive
from scoring.engine.problems.problems import Refused
from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Rejected
from scoring.engine.task import specification as specs
from tests.scoring.attacks import tiffs, zips
from tests.shared_data import shared_data

FLAIR_1, FLAIR_2 = range(61713, 77413), range(77413, 93463)


@pytest.fixture(scope="module")
def spec() -> specs.TaskSpec:
    return specs.load("flair-1")


def listed(
    path: Path, names: list[str], spec: specs.TaskSpec, ids: tuple[str, ...] | None = None
) -> archive.Listing:
    """The listing of an archive of one-byte files."""
    path.write_bytes(zips.archive([zips.Item(n.encode(), b"x", method=0) for n in names]))
    listing = archive.open_upload(path, spec=spec, expected_ids=ids)
    listing.close()
    return listing


def test_a_complete_submission_is_listed(spec: specs.TaskSpec, tmp_path: Path) -> None:
    names = [f"preds/PRED_{n:06d}.tif" for n in FLAIR_1]
    listing = listed(tmp_path / "a.zip", names, spec)
    assert len(listing.members) == 15_700
    assert not listing.problems
    assert [m.name for m in listing.members] == names


def test_predictions_of_the_other_challenge_are_recognised(
    spec: specs.TaskSpec, tmp_path: Path
) -> None:
    listing = listed(tmp_path / "a.zip", [f"PRED_IMG_{n:06d}.tif" for n in FLAIR_2], spec)
    first, second = listing.problems
    assert first.code == "foreign-patches"
    assert "16050 file(s) belong to another challenge, FLAIR #2 test" in first.message
    assert "077413, 077414" in first.message
    assert second.code == "missing-patches"


def test_training_patches_are_recognised(spec: specs.TaskSpec, tmp_path: Path) -> None:
    listing = listed(tmp_path / "a.zip", ["PRED_000001.tif"], spec)
    assert "FLAIR training and validation" in next(iter(listing.problems)).message


def test_the_missing_are_counted_and_ten_are_named(spec: specs.TaskSpec, tmp_path: Path) -> None:
    listing = listed(tmp_path / "a.zip", [f"PRED_{n:06d}.tif" for n in FLAIR_1[12:]], spec)
    (problem,) = listing.problems
    assert problem.params["count"] == 12
    assert problem.params["ids"] == ", ".join(f"{n:06d}" for n in FLAIR_1[:10])


def test_without_a_list_any_id_of_the_form_is_legal(spec: specs.TaskSpec, tmp_path: Path) -> None:
    listing = listed(tmp_path / "a.zip", ["PRED_000007.tif", "PRED_999999.tif"], spec, ())
    assert [m.id for m in listing.members] == ["000007", "999999"]
    assert not listing.problems


def test_ids_may_be_words_and_their_case_is_the_lists_own(
    spec: specs.TaskSpec, tmp_path: Path
) -> None:
    task = dataclasses.replace(spec, prediction_pattern=r"PRED_(?P<id>[A-Z0-9_-]+)", elsewhere=())
    ids = ("D012-2019_AF-S1-27_5-10", "D012-2019_AF-S1-27_5-11")
    listing = listed(tmp_path / "a.zip", [f"pred_{i.lower()}.tif" for i in ids], task, ids)
    assert tuple(m.id for m in listing.members) == ids
    assert not listing.problems


def test_twenty_problems_are_listed_and_the_rest_counted(
    spec: specs.TaskSpec, tmp_path: Path
) -> None:
    names = [f"notes-{n}.txt" for n in range(60)]
    listing = listed(tmp_path / "a.zip", names, spec, ("061713",))
    assert len(list(listing.problems)) == 20
    assert listing.problems.more == 40


def test_the_limit_on_entries_grows_with_the_challenge(
    spec: specs.TaskSpec, tmp_path: Path
) -> None:
    names = [f"PRED_{n:06d}.tif" for n in range(105)]
    with pytest.raises(Refused, match="105 entries; at most 104"):
        listed(tmp_path / "a.zip", names, spec, ("061713",))


LISTER = """
import json, resource, sys, time
from pathlib import Path
from scoring.engine.archive import listing as archive
from scoring.engine.task import specification as specs
from scoring.engine.problems.problems import Refused
spec, seconds = specs.load("flair-1"), []
for path in sys.argv[1:]:
    started_s = time.process_time()
    try:
        listing = archive.open_upload(path, spec=spec)
        result = [p.code for p in listing.problems], listing.problems.more
    except Refused as refused:
        result = [refused.problem.code], 0
    seconds.append(time.process_time() - started_s)
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
print(json.dumps([*result, seconds[1] / seconds[0], peak]))
"""


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ({"name": b"\x1b" * 440}, "member-name-unsafe"),
        ({"name": "\u202e".encode() * 145, "flags": 0x800}, "member-unexpected"),
        ({"name": "\U0001f600".encode() * 110, "flags": 0x800}, "member-unexpected"),
        ({"name": b"/a" * 220}, "member-unexpected"),
        ({"name": b"/PRED_061713.tif"}, "duplicate-patch"),
        ({"name": b".tif", "extra": b"\x99\x99\0\0" * 100}, "member-header-mismatch"),
        ({"name": b"x" * 600}, "archive-directory-too-large"),
    ],
    ids=lambda case: "",
)
def test_as_many_bad_entries_as_are_allowed_cost_little(
    case: dict[str, Any], code: str, tmp_path: Path
) -> None:
    """62,900 names that have to be escaped once took 8 times as long as plain ones, and 266 MB."""
    plain, path = tmp_path / "plain.zip", tmp_path / "crowd.zip"
    plain.write_bytes(zips.crowd(62_900, name=b".tif"))
    path.write_bytes(zips.crowd(62_900, **case))
    done = subprocess.run(
        [sys.executable, "-c", LISTER, plain, path], cwd=Path(__file__).parents[3], check=True,
        capture_output=True, timeout=300,
    )  # fmt: skip
    codes, more, times_plain, peak_bytes = json.loads(done.stdout)
    assert code in codes
    assert more > 60_000 or len(codes) == 1
    assert times_plain < 6
    assert peak_bytes < 200 * 2**20


def test_an_upload_above_the_limit_is_refused_before_it_is_read(
    spec: specs.TaskSpec, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        file.truncate(spec.limits.archive_bytes + 1)
    with pytest.raises(Refused, match="5000000001 bytes"):
        archive.open_upload(path, spec=spec)


def test_a_folder_is_listed_like_a_zip(spec: specs.TaskSpec, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "PRED_IMG_061713.tif").write_bytes(b"x")
    (tmp_path / "deep" / "PRED_061713.TIF").write_bytes(b"x")
    (tmp_path / "deep" / ".DS_Store").write_bytes(b"x")
    listing = archive.open_upload(tmp_path, spec=spec, expected_ids=("061713",))
    assert [p.code for p in listing.problems] == ["duplicate-patch"]
    assert [n.code for n in listing.notes] == ["note-ignored-files"]


def test_a_linked_folder_is_not_followed(spec: specs.TaskSpec, tmp_path: Path) -> None:
    (tmp_path / "preds").mkdir()
    (tmp_path / "preds" / "etc").symlink_to("/etc")
    listing = archive.open_upload(tmp_path / "preds", spec=spec, expected_ids=("061713",))
    assert [(p.code, p.file) for p in listing.problems] == [("member-not-regular", "etc")]


def test_a_path_that_does_not_exist(spec: specs.TaskSpec, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no such file") as refused:
        archive.open_upload(tmp_path / "none.zip", spec=spec)
    assert refused.value.problem.code == "path-missing"


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_file_that_shrinks_after_it_was_listed_is_named(
    form: str, spec: specs.TaskSpec, tmp_path: Path
) -> None:
    path = tmp_path / "upload"
    if form == "folder":
        path.mkdir()
        shrinking = path / "PRED_061713.tif"
        shrinking.write_bytes(b"x" * 99)
    else:
        shrinking = path
        path.write_bytes(zips.archive([zips.Item(b"PRED_061713.tif", b"x" * 99, method=0)]))
    listing = archive.open_upload(path, spec=spec, expected_ids=("061713",))
    (member,) = listing.members
    assert listing.read(member) == b"x" * 99
    os.truncate(shrinking, 60)
    with pytest.raises(Refused) as refused:
        listing.read(member)
    assert refused.value.problem.code == "file-unreadable"
    assert refused.value.problem.file == "PRED_061713.tif"
    listing.close()


@pytest.mark.skipif(shared_data() is None, reason="the shared sample data are not here")
def test_the_official_sample_is_listed(spec: specs.TaskSpec) -> None:
    folder = shared_data()
    assert folder is not None
    path = folder / "official_sample" / "predictions_TOY.zip"
    listing = archive.open_upload(path, spec=spec)
    listing.close()
    (problem,) = listing.problems
    assert problem.params["count"] == 15_650
    assert len(listing.members) == 50


@pytest.mark.parametrize("form", ["zip", "stored zip", "folder"])
@pytest.mark.parametrize("isolate", [True, False])
def test_an_upload_that_is_too_large_for_its_type_says_the_type_first(
    form: str, isolate: bool, spec: specs.TaskSpec, tmp_path: Path
) -> None:
    """Of fifteen thousand rasters of int64 the type is to be changed, not the number."""
    pixels = np.zeros((512, 512), dtype=np.int64)
    raster = tiffs.by_gdal(pixels)
    names = [f"PRED_{n:06d}.tif" for n in (61713, 61714, 61715)]
    limits = dataclasses.replace(spec.limits, archive_bytes=5_000_000)
    upload = tmp_path / "upload"
    if form == "folder":
        upload.mkdir()
        for name in names:
            (upload / name).write_bytes(raster)
    else:
        method = 0 if form == "stored zip" else 8
        items = [zips.Item(name.encode(), raster, method=method) for name in names]
        upload.write_bytes(zips.archive(items))
    verdict = child.validate(
        spec=dataclasses.replace(spec, limits=limits),
        archive_path=upload,
        expected_ids=[name[5:11] for name in names],
        timeout_s=120,
        isolate=isolate,
    )
    assert isinstance(verdict, Rejected)
    size_code = "archive-inflates-too-large" if form == "zip" else "archive-too-large"
    codes = [problem.code for problem in verdict.problems]
    assert codes == ["raster-type", size_code, *["member-too-large"] * 3]
    assert verdict.problems[0].message.startswith("PRED_061713.tif: Pixels are int64: write uint8")


def test_the_example_in_a_message_has_an_id_where_only_the_truth_knows_them(
    spec: specs.TaskSpec, tmp_path: Path
) -> None:
    """As on a worker: the stored specification lists no patches."""
    path = tmp_path / "a.zip"
    bare = dataclasses.replace(spec, expected=())
    (problem,) = listed(path, ["preds\\PRED_061713.tif"], bare, ids=("061713",)).problems
    assert "names such as PRED_061713.tif" in problem.message
    assert "Compress-Archive" in problem.text("fr")
