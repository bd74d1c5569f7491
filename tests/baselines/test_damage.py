"""What is damaged, missing or too large is said in a sentence, by command and library alike."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from affine import Affine  # noqa: E402

from baselines import area, cli, networks, polygons, predict, submit  # noqa: E402
from baselines.data import layout, rasters, samples  # noqa: E402
from baselines.data.samples import Options  # noqa: E402
from baselines.data.sentinel import SeriesOptions  # noqa: E402
from baselines.train import building, state  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402
from scoring.client import tus  # noqa: E402
from scoring.engine.task import specification as specs  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:600])


def garble(path: Path) -> None:
    path.write_text("junk {")


def empty(path: Path) -> None:
    path.write_text("\n")


@pytest.mark.parametrize(
    ("pattern", "damage", "said"),
    [
        ("IMG_*.tif", cut, r"patch 07....: .*IMG_07....\.tif: damaged or cut short"),
        ("IMG_*.tif", garble, r"patch 07....: .*IMG_07....\.tif: no GeoTIFF that can be read"),
        ("*_data.npy", cut, r"patch 07....: .*_data\.npy: damaged or cut short"),
        ("*_data.npy", garble, r"patch 07....: .*_data\.npy: damaged or cut short"),
        (
            "*_products.txt",
            empty,
            r"patch 07....: zone D\d{3}_\d{4} Z\w+ has no satellite date: .*_products\.txt",
        ),
        (
            "*_products.txt",
            garble,
            r"patch 07....: zone D\d{3}_\d{4} Z\w+, .*_products\.txt: line 1",
        ),
        ("*centroids*.json", garble, r"centroids_sp_to_patch\.json: no JSON"),
    ],
)
def test_damaged_files_are_named(
    pattern: str, damage: Callable[[Path], None], said: str, tree: Path, tmp_path: Path
) -> None:
    root = tmp_path / "tree"
    shutil.copytree(tree, root)
    damage(min(root.rglob(pattern)))
    with pytest.raises(ValueError, match=said):
        read_tests(root)


def read_tests(root: Path) -> None:
    patches = layout.index(root, part="test").patches
    samples.Files(patches, options=Options(series=SeriesOptions())).gather(range(len(patches)))


def saved_run(folder: Path, *, broken: str = "") -> Path:
    """An untrained run, whole or with something wrong in it."""
    recipe = recipes.changed(
        recipes.load("tiny-unet"),
        {"network.options": {"encoder": "resnet18", "decoder_channels": [32, 24, 16, 12, 8]}},
    )
    state.open_folder(folder, recipe=recipe, seed=1, resume=True)
    state.set_ending(folder, "finished")
    torch.manual_seed(0)
    weights = building.build_network(recipe, patch_px=64).state_dict()
    if broken == "another network":
        weights.popitem()
    content = {"recipe": recipe.to_json(), "network": weights, "patch_px": 64}
    state.save(folder / state.BEST, {"x": 1} if broken == "another program's" else content)
    if broken == "cut":
        cut(folder / state.BEST)
    if broken == "no checkpoint":
        garble(folder / state.BEST)
    return folder


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("cut", "best.ckpt is no whole checkpoint"),
        ("no checkpoint", "best.ckpt is no whole checkpoint"),
        ("another program's", "best.ckpt is no checkpoint of `python -m baselines train`"),
        ("another network", "weights of another network than its recipe 'tiny-unet' says"),
    ],
)
def test_damaged_checkpoints_are_named(broken: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        predict.Predictor(saved_run(tmp_path / "run", broken=broken), device="cpu")


def test_a_damaged_last_epoch_stops_a_resume(tmp_path: Path) -> None:
    run = saved_run(tmp_path / "run")
    recipe = recipes.parse(json.loads((run / state.RUN).read_text())["recipe"])
    garble(run / state.LAST)
    with pytest.raises(ValueError, match=r"last\.ckpt is no whole checkpoint"):
        state.open_folder(run, recipe=recipe, seed=1, resume=True)
    garble(run / state.RUN)
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        state.open_folder(run, recipe=recipe, seed=1, resume=True)


@pytest.mark.parametrize("device", ["gpu", "cuda:0", "cuda"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(device: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"device '{device}': torch sees 0 GPUs here"):
        predict.Predictor(saved_run(tmp_path / "run"), device=device)


def test_a_misspelt_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="device 'cpuu'; allowed are auto, cpu, gpu"):
        predict.Predictor(saved_run(tmp_path / "run"), device="cpuu")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "tiny-unet", "--data", "x", "--out", "y", "--devices", "0"],
        ["predict", "x", "--data", "x", "--out", "y", "--batch-size", "0"],
        ["map", "x", "y", "--out", "z", "--batch-size", "none"],
        ["synth", "x", "--train", "-1"],
    ],
)
def test_numbers_that_cannot_be_are_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2
    assert "a whole number from" in capsys.readouterr().err


def test_files_that_are_not_there_end_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = saved_run(tmp_path / "run")
    out = str(tmp_path / "map.tif")
    assert cli.main(["map", str(run), str(tmp_path / "none.tif"), "--out", out]) == 1
    assert "none.tif: No such file" in capsys.readouterr().err


def test_only_the_wanted_patches_are_predicted_and_all_of_them(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, ids = saved_run(tmp_path / "run"), tmp_path / "ids.csv"
    there = [patch.id for patch in layout.index(tree, part="test").patches]
    command = ["predict", str(run), "--data", str(tree), "--out", str(tmp_path / "out"),
               "--device", "cpu", "--ids", str(ids)]  # fmt: skip
    ids.write_text(f"domain,zone,patch\nD015_2020,Z1_UU,{there[1]}\n")
    assert cli.main(command) == 0
    assert [path.stem[-6:] for path in (tmp_path / "out").iterdir()] == [there[1]]
    ids.write_text("domain,zone,patch\nD015_2020,Z1_UU,999999\n")
    assert cli.main(command) == 1
    assert "lacks 1 of the 1 patches to predict (first: 999999)" in capsys.readouterr().err
    assert cli.main([*command[:-1], "flair-2"]) == 1
    assert "lacks 16046 of the 16050 patches to predict" in capsys.readouterr().err


def test_images_that_a_network_cannot_join_are_refused() -> None:
    network = networks.build("unet", encoder="resnet18").eval()
    with pytest.raises(ValueError, match=r"images of 63 × 64 px; unet needs multiples of 32"):
        network(aerial=torch.zeros(1, 5, 63, 64))


def test_an_unreachable_server_is_reported_at_each_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tus, "FAILURES_MAX", 2)
    monkeypatch.setattr(tus, "PAUSE_FIRST_S", 0.01)
    archive = tmp_path / "x.zip"
    archive.write_bytes(b"zip")
    pauses: list[float] = []
    with pytest.raises(submit.SubmitError, match="upload-gave-up"):
        submit.run(
            archive, server="http://127.0.0.1:9", token="x", phase="a/b", method_name="x",
            on_cut=lambda reason, pause_s: pauses.append(pause_s),
        )  # fmt: skip
    assert pauses == [0.01, 0.02]


_FILL = """
import sys
from pathlib import Path
from baselines.data import cache, layout
from baselines.data.samples import Options
from baselines.data.sentinel import SeriesOptions
patches = layout.index(Path(sys.argv[1]), part="train").patches
options = Options(series=SeriesOptions() if sys.argv[3] == "series" else None)
try:
    cache.build(Path(sys.argv[2]), patches, options=options)
except ValueError as wrong:
    print(wrong)
print([path.name for path in Path(sys.argv[2]).iterdir()])
"""


@pytest.mark.parametrize("what", ["images", "series"])
def test_a_full_disk_is_reported_and_kills_no_process(
    what: str, tree: Path, tmp_path: Path
) -> None:
    """On a real file system of 100 kB (500 kB hold the images), in a room of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = {"images": "100k", "series": "500k"}[what]
    room = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = f'mount -t tmpfs -o size={size} none "$0" && exec "$@"'
    inside = [*room, "sh", "-c", mount, str(disk)]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system lets nobody mount a small file system of his own")
    done = subprocess.run(
        [*inside, sys.executable, "-c", _FILL, str(tree), str(disk), what],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, left = done.stdout.splitlines()
    assert said.startswith("not enough free space for 12 decoded patches in ")
    assert left == "[]"


def test_sieving_keeps_to_the_data(tmp_path: Path) -> None:
    """A small region beside a hole joins its neighbours, not the hole; a small hole stays."""
    classes = np.zeros((40, 40), dtype=np.uint8)
    classes[:, 20:] = 3
    classes[10:30, :10] = area.NO_CLASS
    classes[18:20, 10:12] = 7  # touches the hole
    classes[5:7, 30:32] = area.NO_CLASS
    place = rasters.Georeference("EPSG:2154", Affine(0.2, 0, 650_000, 0, -0.2, 6_860_000))
    with rasterio.open(
        tmp_path / "map.tif", "w", driver="GTiff", width=40, height=40, count=1, dtype="uint8",
        crs=place.crs, transform=place.transform, nodata=area.NO_CLASS,
    ) as target:  # fmt: skip
        target.write(classes, 1)
    out = tmp_path / "map.gpkg"
    polygons.write(tmp_path / "map.tif", out=out, spec=specs.load("flair-1"), sieve_px=30)
    import shapely
    from pyogrio import raw

    about, _, geometry, fields = raw.read(out)
    values = dict(zip(about["fields"], fields, strict=True))
    covered = shapely.union_all(shapely.from_wkb(geometry)).area
    assert covered == pytest.approx((classes != area.NO_CLASS).sum() * 0.04)
    assert sum(values["area_m2"]) == pytest.approx(covered)
    assert sorted(set(values["class_id"].tolist())) == [0, 3]
