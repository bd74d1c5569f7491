"""Packing a zip of masks in the scorer's process: whole or not at all, no pixel told."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Packed, Rejected
from scoring.engine.task.specification import TaskSpec
from scoring.engine.truth import store
from scoring.engine.truth.pack_writer import TAIL
from tests.scoring import builders

COUNT = 9
CANARY = 213  # no label, and no other number of the messages


def made(folder: Path) -> tuple[TaskSpec, builders.Masks]:
    spec = builders.task()
    truth = builders.masks(spec, count=COUNT)
    expected = tuple(builders.patch(patch_id) for patch_id in truth)
    return replace(spec, expected=expected), truth


def zip_masks(folder: Path, truth: builders.Masks, *, more: dict[str, bytes] | None = None) -> Path:
    path = folder / "masks.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for patch_id, mask in truth.items():
            name = f"MSK_{patch_id}.tif"
            tiff = builders.write_tiff(folder / "rasters" / name, mask)
            archive.write(tiff, f"masks/{name}")
        for name, data in (more or {}).items():
            archive.writestr(name, data)
    return path


def pack(spec: TaskSpec, archive: Path, out: Path) -> Packed | Rejected:
    verdict = child.pack(spec=spec, archive_path=archive, out_path=out, timeout_s=120, workers=2)
    assert isinstance(verdict, Packed | Rejected), verdict
    return verdict


def test_a_zip_packs_to_the_same_labels_as_a_folder(tmp_path: Path) -> None:
    spec, truth = made(tmp_path)
    by_folder = builders.pack_truth(tmp_path / "folder.pack", spec, truth)
    verdict = pack(spec, zip_masks(tmp_path, truth), tmp_path / "zip.pack")
    assert verdict == Packed(COUNT)
    verified = store.verify(tmp_path / "zip.pack")
    assert verified.digest == by_folder.digest
    assert verified.label_pixels == by_folder.label_pixels
    assert verified.zones == by_folder.zones
    with store.PackedTruth.open(tmp_path / "zip.pack") as packed:
        assert (packed.read_labels("003") == truth["003"]).all()


def _forbidden_value(truth: builders.Masks) -> builders.Masks:
    mask = truth["004"].copy()
    mask[0, :7] = CANARY
    return {**truth, "004": mask}


@pytest.mark.parametrize("fault", ["value", "missing", "size", "extra", "bomb", "vrt"])
def test_masks_with_a_fault_are_refused_by_file_and_nothing_is_kept(
    tmp_path: Path, fault: str
) -> None:
    spec, truth = made(tmp_path)
    masks: dict[str, Any] = dict(truth)
    file: str | None = "masks/MSK_004.tif"
    more, code = {}, ""
    match fault:
        case "value":
            masks, code = dict(_forbidden_value(truth)), "values-out-of-range"
        case "missing":
            del masks["004"]
            code, file = "missing-patches", None
        case "size":
            masks["004"], code = np.ones((8, 8), dtype=np.uint8), "raster-size"
        case "extra":
            more, code, file = {"notes.txt": b"x"}, "member-unexpected", "notes.txt"
        case "bomb":
            more, code, file = {"MSK_004.tif": bytes(30_000_000)}, "duplicate-patch", "MSK_004.tif"
        case "vrt":
            del masks["004"]
            more, code = {"masks/MSK_004.tif": b"<VRTDataset rasterXSize='1'/>"}, "raster-not-tiff"
    verdict = pack(spec, zip_masks(tmp_path, masks, more=more), tmp_path / "out.pack")
    assert isinstance(verdict, Rejected)
    assert (verdict.problems[0].code, verdict.problems[0].file) == (code, file)
    told = " ".join(problem.message for problem in verdict.problems)
    assert str(CANARY) not in told
    assert "7 pixels" not in told
    assert verdict.notes == []
    assert [path.name for path in tmp_path.iterdir() if "pack" in path.name] == []


def test_a_packed_file_with_other_masks_than_announced_is_found(tmp_path: Path) -> None:
    spec, truth = made(tmp_path)
    builders.pack_truth(tmp_path / "a.pack", spec, truth)
    other = builders.pack_truth(
        tmp_path / "b.pack", spec, {**truth, "001": np.full_like(truth["001"], 2)}
    )
    assert store.verify(tmp_path / "b.pack").digest == other.digest
    digest = store.verify(tmp_path / "a.pack").digest
    data = (tmp_path / "b.pack").read_bytes()
    offset, size, magic = TAIL.unpack(data[-TAIL.size :])
    index = json.loads(zlib.decompress(data[offset : offset + size]))
    index["digest"] = digest
    forged = zlib.compress(json.dumps(index).encode())
    (tmp_path / "c.pack").write_bytes(
        data[:offset] + forged + TAIL.pack(offset, len(forged), magic)
    )
    with pytest.raises(store.StoreError, match="not those that its digest is of"):
        store.verify(tmp_path / "c.pack")
