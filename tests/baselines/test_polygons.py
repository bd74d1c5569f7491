"""A map as polygons: tile by tile, small regions merged, borders smoothed on both sides alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio import Affine

shapely = pytest.importorskip("shapely", reason="the extra `baselines` is not installed")
raw = pytest.importorskip("pyogrio.raw", reason="the extra `baselines` is not installed")

from baselines import area, polygons  # noqa: E402
from scoring.engine.task import specification as specs  # noqa: E402

SPEC = specs.load("flair-1")


def smooth_map(side: int) -> NDArray[np.uint8]:
    """Classes with round borders and a hole without data: no rectangle that is simple already."""
    rows, columns = np.mgrid[:side, :side] / 20
    values = np.sin(rows) + np.cos(columns * 1.3) + np.sin((rows + columns) / 2)
    classes = np.digitize(values, (-1.5, -0.5, 0.5, 1.5)).astype(np.uint8)
    classes[side // 2 : side // 2 + 15, 30:60] = 255
    return classes


def stored(path: Path, classes: NDArray[np.uint8]) -> Path:
    height, width = classes.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8", nodata=255,
        crs="EPSG:2154", transform=Affine(0.2, 0, 650_000, 0, -0.2, 6_860_000), tiled=True,
    ) as target:  # fmt: skip
        target.write(classes, 1)
    return path


def read(path: Path) -> tuple[Any, dict[str, Any]]:
    about, _, geometry, fields = raw.read(path)
    return shapely.from_wkb(geometry), dict(zip(about["fields"], fields, strict=True))


def test_simplified_polygons_are_valid_and_share_their_borders(tmp_path: Path) -> None:
    classes = smooth_map(200)
    raster = stored(tmp_path / "map.tif", classes)
    found = {}
    for metres in (0.0, 0.8):
        out = tmp_path / f"{metres}.gpkg"
        count = polygons.write(raster, out=out, spec=SPEC, simplify_m=metres, tile_px=128)
        shapes, fields = read(out)
        assert count == len(shapes)
        assert shapely.is_valid(shapes).all()
        # Nothing overlaps or gapes: the parts are as large as their union, which is the data.
        whole = shapely.union_all(shapes, grid_size=1e-6)
        has_data = (classes != 255).sum() * 0.04
        assert whole.area == pytest.approx(has_data)
        assert shapely.area(shapes).sum() == pytest.approx(has_data)
        assert fields["area_m2"] == pytest.approx(shapely.area(shapes))
        found[metres] = shapes
    points = [int(shapely.get_num_coordinates(found[metres]).sum()) for metres in (0.0, 0.8)]
    assert points[1] < points[0] * 0.6
    # Both sides of each border have the same corners, within each tile.
    for left, top in ((0, 0), (0, 128), (128, 0), (128, 128)):
        tile = shapely.box(
            650_000 + left * 0.2, 6_860_000 - (top + 128) * 0.2,
            650_000 + (left + 128) * 0.2, 6_860_000 - top * 0.2,
        )  # fmt: skip
        inside = found[0.8][shapely.covered_by(found[0.8], shapely.buffer(tile, 1e-6))]
        assert len(inside) > 3
        assert shapely.coverage_is_valid(inside)


def test_a_region_that_tiles_cut_keeps_its_size_when_small_ones_are_merged(tmp_path: Path) -> None:
    classes = np.zeros((64, 64), dtype=np.uint8)
    classes[28:36, 28:36] = 5  # 64 px, a quarter of it in each of four tiles
    classes[4:7, 4:7] = 3
    raster = stored(tmp_path / "map.tif", classes)
    out = tmp_path / "map.gpkg"
    polygons.write(raster, out=out, spec=SPEC, sieve_px=40, tile_px=32)
    shapes, fields = read(out)
    ids = fields["class_id"]
    assert set(ids.tolist()) == {0, 5}
    assert shapely.area(shapes[ids == 5]).sum() == pytest.approx(64 * 0.04)
    assert (ids == 5).sum() == 4


def test_memory_does_not_grow_with_the_area(tmp_path: Path) -> None:
    """Sixteen times the pixels, in a process of its own each: its most memory stays."""
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from baselines import polygons\n"
        "from scoring.engine.task import specification as specs\n"
        "polygons.write(Path(sys.argv[1]), out=Path(sys.argv[2]), spec=specs.load('flair-1'),\n"
        "               tile_px=256)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    rows, columns = np.mgrid[:256, :256]
    tile = ((rows // 8 + columns // 8) % 5).astype(np.uint8)
    peaks = []
    for times in (2, 8):
        raster = stored(tmp_path / f"{times}.tif", np.tile(tile, (times, times)))
        done = subprocess.run(
            [sys.executable, "-c", code, str(raster), str(tmp_path / f"{times}.gpkg")],
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 40, peaks


def test_a_file_of_polygons_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    raster = stored(tmp_path / "map.tif", smooth_map(256))
    out = tmp_path / "map.gpkg"
    before = polygons.write(raster, out=out, spec=SPEC, tile_px=128)
    first = out.read_bytes()

    def fail(count: int) -> None:
        raise OSError(f"no space left after {count}")

    with pytest.raises(OSError, match="no space left"):
        polygons.write(raster, out=out, spec=SPEC, tile_px=128, on_progress=fail)
    assert out.read_bytes() == first
    assert polygons.write(raster, out=out, spec=SPEC, tile_px=128) == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["map.gpkg", "map.tif"]


def test_a_map_that_cannot_be_optimised_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = stored(tmp_path / ".map.tif.part", smooth_map(64))

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise rasterio.errors.RasterioIOError("No space left on device")

    monkeypatch.setattr(area.raster_files, "copy", fail)
    with pytest.raises(OSError, match=r"lies in .*\.map\.tif\.part"):
        area._optimise(part, out=tmp_path / "map.tif")
    assert part.exists()
    assert not (tmp_path / "map.tif").exists()
