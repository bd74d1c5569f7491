"""``manage.py install_ground_truth``: complete and correct, or nothing at all."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import rasterio
from django.conf import settings
from django.core.management import CommandError, call_command
from pytest_django import Settings

from challenge.models import AuditEvent, GroundTruth, Phase
from challenge.rules.rounding import CLASS_STEPS, Steps
from challenge.services.challenges import challenges
from scoring.engine.truth.store import PackedTruth
from tests.challenges import folders

pytestmark = pytest.mark.django_db


def write_mask(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 1, "dtype": values.dtype, "compress": "lzw"}
    height, width = values.shape
    # georeferenced like the real ones, or rasterio warns
    transform = rasterio.Affine(0.2, 0, 900_000, 0, -0.2, 6_300_000)
    with rasterio.open(
        path, "w", height=height, width=width, crs="EPSG:2154", transform=transform, **profile
    ) as file:
        file.write(values, 1)


@pytest.fixture
def labels(tmp_path: Path, settings: Settings) -> Path:
    """Masks of the tiny challenge, which is loaded; LABELS_DIR is a folder of its own."""
    challenges.load(folders.write(tmp_path / "tiny"))
    settings.LABELS_DIR = tmp_path / "store"
    root = tmp_path / "masks"
    for number in (1, 2):
        mask = np.full((8, 8), number, dtype=np.uint8)
        mask[0, :4] = 4
        write_mask(root / f"D002_2021/Z1_UU/msk/MSK_00000{number}.tif", mask)
    return root


def install(labels: Path, *words: str) -> str:
    out = StringIO()
    call_command("install_ground_truth", "tiny", "--labels", str(labels), *words, stdout=out)
    return out.getvalue()


def stored() -> list[Path]:
    folder = settings.LABELS_DIR
    return sorted(folder.iterdir()) if folder and folder.exists() else []


def test_it_works(labels: Path) -> None:
    said = install(labels)

    truth = GroundTruth.objects.get()
    assert f"{truth}: registered, 2 patches" in said
    assert Phase.objects.get().ground_truth == truth
    assert truth.patches == [
        ["000001", "D002_2021", "Z1_UU"],
        ["000002", "D002_2021", "Z1_UU"],
    ]
    assert truth.label_pixels == {}
    (path,) = stored()
    assert path.name == truth.store_name
    with PackedTruth.open(path) as packed:
        assert packed.digest == truth.digest
        assert packed.read("000002")[0].tolist() == [2, 2, 2, 2, 1, 1, 1, 1]
    event = AuditEvent.objects.get(action="ground_truth.install")
    assert event.data["commitment"] == truth.commitment


def test_the_digest_of_the_labels_is_told_nowhere(labels: Path) -> None:
    """Whoever rebuilt the labels could check it against a part of their digest."""
    said = install(labels)
    truth = GroundTruth.objects.get()
    told = [said, truth.store_name, str(AuditEvent.objects.get(action="ground_truth.install").data)]
    assert not [text for text in told if truth.digest[:8] in text]
    assert truth.commitment[:12] in said


def test_steps_are_made_of_the_labels_alone(labels: Path) -> None:
    said = install(labels)
    truth = GroundTruth.objects.get()
    steps = Steps.from_json(truth.steps)
    assert (steps.miou, steps.classes) == (0.05, {}), "128 pixels: every class is suppressed"
    assert "every class is too small and suppressed" in said
    assert Phase.objects.get().miou_step == steps.miou
    assert len(bytes.fromhex(truth.rounding_key)) == 32


def test_an_organiser_may_show_more_of_labels_that_need_no_protection(labels: Path) -> None:
    install(labels, "--pixels-per-step", "1")
    steps = Steps.from_json(GroundTruth.objects.get().steps)
    assert steps.classes
    assert set(steps.classes.values()) <= set(CLASS_STEPS)


def test_the_same_labels_are_the_same_version(labels: Path) -> None:
    install(labels)
    said = install(labels)
    assert "was registered already" in said
    assert "was scored against it already" in said
    assert GroundTruth.objects.count() == 1
    assert len(stored()) == 1
    assert AuditEvent.objects.filter(action="ground_truth.install").count() == 1


def test_other_labels_are_a_new_version_and_the_old_one_stays(labels: Path) -> None:
    install(labels)
    write_mask(labels / "D002_2021/Z1_UU/msk/MSK_000001.tif", np.full((8, 8), 2, dtype=np.uint8))
    install(labels)
    assert list(GroundTruth.objects.values_list("version", flat=True)) == [2, 1]
    assert Phase.objects.get().ground_truth == GroundTruth.objects.get(version=2)
    assert len(stored()) == 2


SPOILT = {
    "illegal label": (np.full((8, 8), 9, dtype=np.uint8), "illegal labels: 9 (64 px)"),
    "wrong shape": (np.full((8, 9), 1, dtype=np.uint8), "(8, 9)"),
    "wrong type": (np.full((8, 8), 1, dtype=np.uint16), "uint16"),
}


@pytest.mark.parametrize(("mask", "said"), SPOILT.values(), ids=SPOILT.keys())
def test_a_broken_mask_stops_it_by_name(labels: Path, mask: np.ndarray, said: str) -> None:
    write_mask(labels / "D002_2021/Z1_UU/msk/MSK_000002.tif", mask)
    refused(labels, "MSK_000002.tif", said)


def test_an_unreadable_mask_stops_it_by_name(labels: Path) -> None:
    (labels / "D002_2021/Z1_UU/msk/MSK_000001.tif").write_bytes(b"not a TIFF")
    refused(labels, "MSK_000001.tif", "cannot be read")


def test_a_missing_mask_stops_it_by_id(labels: Path) -> None:
    (labels / "D002_2021/Z1_UU/msk/MSK_000001.tif").unlink()
    refused(labels, "1 of 2 masks are missing: 000001", "")


def test_an_unknown_mask_stops_it_unless_a_subset_is_wanted(labels: Path) -> None:
    other = labels / "D002_2021/Z1_UU/msk/MSK_000003.tif"
    write_mask(other, np.full((8, 8), 1, dtype=np.uint8))
    refused(labels, "MSK_000003.tif", "not expected")

    assert "2 patches" in install(labels, "--subset")
    assert GroundTruth.objects.get().patches[0] == ["000001", "D002_2021", "Z1_UU"]


def test_ids_of_a_list_are_enough(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("domain,zone,patch\nD002_2021,Z9_FF,000002\n")
    (labels / "D002_2021/Z1_UU/msk/MSK_000001.tif").unlink()
    install(labels, "--ids", str(tmp_path / "one.csv"))
    assert GroundTruth.objects.get().patches == [["000002", "D002_2021", "Z9_FF"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--phase", "final"), "tiny has no phase 'final'; there are: test"),
        (("--ids", "nowhere.csv"), "nowhere.csv cannot be read"),
    ],
)
def test_an_unknown_argument_is_reported(labels: Path, words: tuple[str, ...], said: str) -> None:
    refused(labels, said, "", *words)


def test_an_unknown_challenge_is_reported(labels: Path) -> None:
    with pytest.raises(CommandError, match=r"no challenge 'huge'; there are: tiny"):
        call_command("install_ground_truth", "huge", "--labels", str(labels))


def test_without_a_labels_folder_it_says_which_setting(labels: Path, settings: Settings) -> None:
    settings.LABELS_DIR = None
    with pytest.raises(CommandError, match="LABELS_DIR is not set"):
        install(labels)


def refused(labels: Path, named: str, said: str, *words: str) -> None:
    with pytest.raises(CommandError) as caught:
        install(labels, *words)
    assert named in str(caught.value)
    assert said in str(caught.value)
    assert not GroundTruth.objects.exists()
    assert Phase.objects.get().ground_truth is None
    assert stored() == []
