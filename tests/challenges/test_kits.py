"""Practice kits, and the starter that makes a first submission out of one."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.test import Client
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from challenge.errors import Refusal
from challenge.models import Phase, PracticeKit, TaskSpec
from challenge.selectors.first_steps import first_steps
from challenge.services import starter
from challenge.services.challenges import challenges, kits
from scoring.engine import synthetic
from scoring.engine.task import specification as specs
from tests import factories

pytestmark = pytest.mark.django_db
SPEC = specs.load("flair-1")
OWN, OTHERS = ("061713", "061714"), ("000001", "000002", "000003")


def tiff(pixels: np.ndarray) -> bytes:
    """A TIFF of [bands, rows, columns]."""
    count, height, width = pixels.shape
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=height, width=width, count=count, dtype="uint8",
            compress="lzw", transform=Affine.scale(2, -2),
        ) as raster:  # fmt: skip
            raster.write(pixels)
        return bytes(memory.read())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and masks of two patches of the phase and three others, laid out as FLAIR's are."""
    folder = tmp_path_factory.mktemp("source")
    for number, patch in enumerate((*OWN, *OTHERS)):
        mask = synthetic.pair(SPEC, seed=number).mask
        noise = np.random.default_rng(number).integers(0, 9, (3, *mask.shape))
        image = (mask * np.array([11, 5, 8])[:, None, None] + noise).astype(np.uint8)
        for name, pixels in ((f"img/IMG_{patch}", image), (f"msk/MSK_{patch}", mask[None])):
            path = folder / "D001_2020" / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tiff(pixels))
    return folder


@pytest.fixture
def phase() -> Phase:
    challenge = factories.make_challenge("kits")
    task = TaskSpec.objects.create(
        challenge=challenge, version=1, digest=SPEC.digest, data=SPEC.to_json()
    )
    return factories.make_phase(
        challenge,
        "practice",
        truth=False,
        task_spec=task,
        labels_public=True,
        public_patches=[[patch, "D001_2020", "Z1_UU"] for patch in OWN],
    )


def run_script(kit: Path, out: Path) -> None:
    command = [sys.executable, "-W", "ignore", str(starter.PATH), str(kit), str(out)]
    subprocess.run(command, cwd=out.parent, check=True, timeout=250)


def run_notebook(kit: Path, out: Path) -> None:
    """Its cells, one after the other, as a kernel runs them."""
    cells = json.loads(starter.notebook())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (out.parent / kit.name).write_bytes(kit.read_bytes())
    program = "import sys; sys.modules['ipykernel'] = sys\n" + "\n".join(code)
    command = [sys.executable, "-W", "ignore", "-"]
    subprocess.run(command, cwd=out.parent, input=program.encode(), check=True, timeout=250)


@pytest.mark.parametrize("run", [run_script, run_notebook])
def test_the_starter_makes_a_zip_that_the_engine_scores(
    phase: Phase, source: Path, tmp_path: Path, run: Callable[[Path, Path], None]
) -> None:
    kits.publish(phase=phase, source=source, actor=None)
    captain = factories.captain_of(factories.make_team(phase.challenge))
    assert [step.done for step in first_steps(captain, phase.challenge)] == [False] * 4
    client = Client()
    client.force_login(captain)
    answer = client.get("/challenges/kits/practice/kit.zip")
    kit = tmp_path / "kits-practice-kit.zip"
    kit.write_bytes(b"".join(answer.streaming_content))
    assert [step.done for step in first_steps(captain, phase.challenge)] == [
        False, True, False, False,
    ]  # fmt: skip
    work = tmp_path / "work"
    work.mkdir()

    run(kit, work / "predictions.zip")

    labels = tmp_path / "labels"
    labels.mkdir()
    for patch in OWN:
        mask = source / "D001_2020" / "msk" / f"MSK_{patch}.tif"
        (labels / mask.name).write_bytes(mask.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "scoring", "score", "--labels", str(labels), "--predictions",
         str(work / "predictions.zip"), "--spec", "flair-1", "--json"],
        capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    card = json.loads(done.stdout)
    assert card["patches"] == len(OWN)
    assert card["overall_accuracy"] > 0.5


def test_a_kit_holds_images_and_examples_and_no_mask_that_is_scored(
    phase: Phase, source: Path, tmp_path: Path
) -> None:
    hidden = factories.make_phase(phase.challenge, "test", truth=False)
    Phase.objects.filter(pk=hidden.pk).update(public_patches=[[OTHERS[0], "D", "Z"]])

    packed = tmp_path / "source.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in source.rglob("*.tif"):
            archive.write(path, path.relative_to(source))
    first = kits.publish(phase=phase, source=packed, actor=None)
    again = kits.publish(phase=phase, source=source, actor=None)

    assert (first.changed, again.changed) == (True, False)
    with default_storage.open(first.kit.stored_name) as file:
        names = set(zipfile.ZipFile(file).namelist())
    assert names == {
        "ids.csv",
        "task.json",
        *(f"images/{patch}.tif" for patch in OWN),
        *(f"examples/{kind}/{patch}.tif" for kind in ("images", "labels") for patch in OTHERS[1:]),
    }
    kits.remove(phase=phase, actor=factories.make_organiser(phase.challenge))
    assert not PracticeKit.objects.exists()


def test_a_source_that_does_not_do_is_refused_by_name(phase: Phase, tmp_path: Path) -> None:
    path = tmp_path / "IMG_061713.tif"
    path.write_bytes(tiff(np.zeros((1, 256, 512), np.uint8)))
    with pytest.raises(Refusal) as refused:
        kits.publish(phase=phase, source=tmp_path, actor=None)
    assert refused.value.code == "kit-images-missing"
    (tmp_path / "IMG_061714.tif").write_bytes(path.read_bytes())
    with pytest.raises(CommandError, match="256 × 512 px") as stopped:
        call_command("publish_kit", "kits/practice", str(tmp_path))
    assert "IMG_06171" in str(stopped.value)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(Refusal, match="leave one of them"):
        kits.publish(phase=phase, source=tmp_path, actor=None)
    with pytest.raises(Refusal, match="neither a folder nor a zip"):
        kits.publish(phase=phase, source=path, actor=None)
    with pytest.raises(Refusal) as denied:
        kits.publish(phase=phase, source=tmp_path, actor=factories.make_user())
    assert denied.value.code == "not-organiser"


def test_masks_of_scored_patches_are_not_published_as_images(phase: Phase, tmp_path: Path) -> None:
    """Named unlike the task's pattern, and no image beside them."""
    for number, patch in enumerate(OWN):
        mask = synthetic.pair(SPEC, seed=number).mask
        path = tmp_path / "given" / f"GROUND_TRUTH_{patch}.tif"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(tiff(mask[None]))
    for folder in ("given", "labels"):
        with pytest.raises(Refusal) as refused:
            kits.publish(phase=phase, source=tmp_path, actor=None)
        assert refused.value.code == "kit-image-like-mask"
        assert "GROUND_TRUTH_06171" in str(refused.value)
        (tmp_path / folder).rename(tmp_path / ("labels" if folder == "given" else "images"))
    assert not PracticeKit.objects.exists()
    # An organiser who says that they are images, radar's for one, is believed.
    assert kits.publish(phase=phase, source=tmp_path, actor=None).kit.image_count == len(OWN)


def test_a_challenge_file_names_the_source_of_a_kit(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "flair-1"
    folder.mkdir()
    shipped = specs.SHIPPED / "flair-1"
    for path in shipped.rglob("*.*"):
        (folder / path.relative_to(shipped)).parent.mkdir(parents=True, exist_ok=True)
        (folder / path.relative_to(shipped)).write_bytes(path.read_bytes())
    (folder / "practice-ids.csv").write_text(
        "domain,zone,patch\n" + "".join(f"D004_2021,Z1_NN,{patch}\n" for patch in OTHERS)
    )
    text = (folder / "challenge.toml").read_text()
    line = 'ids_csv = "practice-ids.csv"'
    (folder / "challenge.toml").write_text(text.replace(line, f'{line}\nkit = "kit"'))
    (folder / "kit").symlink_to(source, target_is_directory=True)
    with pytest.raises(challenges.FileMistakes, match="outside the challenge's folder"):
        challenges.load(folder)
    (folder / "kit").unlink()
    with pytest.raises(challenges.FileMistakes, match="no folder or zip 'kit'"):
        challenges.load(folder)
    source.rename(folder / "kit")
    try:
        report = challenges.load(folder)
        assert "phase practice: kit: 3 images, 0 labelled examples" in report.changes
        assert challenges.load(folder).changes == []
    finally:
        (folder / "kit").rename(source)
