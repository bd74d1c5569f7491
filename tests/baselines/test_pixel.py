"""The floor: pixel by pixel, without torch."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from baselines import cli, pixel
from baselines.data import layout, rasters


def test_it_beats_the_commonest_class(tree: Path) -> None:
    train = layout.index(tree, part="train").patches
    masks = [rasters.read(patch.mask)[0] for patch in train if patch.mask]
    images = [rasters.read(patch.image) for patch in train]
    model = pixel.fit(images[:8], masks[:8])
    right = np.concatenate(
        [
            (pixel.predict(model, image) + 1 == np.minimum(mask, 13)).ravel()
            for image, mask in zip(images[8:], masks[8:], strict=True)
        ]
    )
    commonest = max((mask == label).mean() for mask in [np.stack(masks[8:])] for label in range(20))
    assert right.mean() > commonest + 0.1


def test_the_command_writes_one_raster_a_patch(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "preds.zip"
    assert cli.main(["pixel", str(tree), "--out", str(out)]) == 0
    assert '"predicted": 4' in capsys.readouterr().out
    with zipfile.ZipFile(out) as archive:
        assert sorted(archive.namelist()) == [f"PRED_0774{n}.tif" for n in (13, 14, 15, 16)]
        raster = tmp_path / "PRED_077413.tif"
        raster.write_bytes(archive.read(raster.name))
    values = rasters.read(raster)
    assert values.shape == (1, 64, 64)
    assert values.max() <= 12


def test_no_label_no_model(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pixel", str(tmp_path), "--out", str(tmp_path / "x.zip")]) == 1
    assert "no IMG_######.tif" in capsys.readouterr().err


def test_synth_and_pixel_need_no_torch() -> None:
    """The demo of the site runs them where torch is not installed."""
    code = (
        "import sys\n"
        "import baselines.cli, baselines.pixel, baselines.data.synth\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
