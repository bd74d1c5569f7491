"""Phases whose labels anyone can download: no patch of theirs is hidden in another phase."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from challenge.errors import Refusal
from challenge.models import GroundTruth, Phase
from challenge.services.challenges import challenges, phases
from challenge.services.challenges.toml_document import FileMistakes
from tests.challenges import folders
from tests.challenges.test_install import write_mask
from tests.factories import make_challenge, make_phase, make_truth

PRACTICE = """\
[[phases]]
slug = "practice"
name = { en = "Practice", fr = "Échauffement" }
opens_at = 2024-01-01T00:00:00Z
labels_public = true
ids_csv = "practice-ids.csv"

[[results]]
"""
PRACTICE_IDS = "domain,zone,patch\nD004_2021,Z8_NF,000717\nD014_2020,Z12_UU,011282\n"


def write(folder: Path, *, ids: str = PRACTICE_IDS, labels_public: str = "true") -> Path:
    """The tiny challenge with a practice phase on patches beyond the task's."""
    folders.write(folder, replacing="[[results]]\n", by=PRACTICE)
    toml = folder / "challenge.toml"
    text = toml.read_text(encoding="utf-8")
    toml.write_text(text.replace("labels_public = true", f"labels_public = {labels_public}"))
    (folder / "practice-ids.csv").write_text(ids)
    return folder


def write_masks(root: Path, *patch_ids: str) -> Path:
    for patch_id in patch_ids:
        write_mask(root / f"MSK_{patch_id}.tif", np.full((8, 8), 1, dtype=np.uint8))
    return root


def install(masks: Path, *words: str, phase: str = "practice") -> None:
    call_command(
        "install_ground_truth",
        "tiny",
        "--phase",
        phase,
        "--labels",
        str(masks),
        *words,
        verbosity=0,
    )


@pytest.fixture
def store(tmp_path: Path, settings: Settings) -> Path:
    settings.LABELS_DIR = tmp_path / "store"
    return settings.LABELS_DIR


@pytest.mark.django_db
def test_labels_are_hidden_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    challenges.load(write(tmp_path))
    flags = dict(Phase.objects.values_list("slug", "labels_public"))
    assert flags == {"test": False, "practice": True}
    assert challenges.load(tmp_path).changes == []


@pytest.mark.parametrize("labels_public", ["true", "false"])
def test_a_file_whose_practice_has_hidden_patches_is_refused(
    tmp_path: Path, labels_public: str
) -> None:
    """With public labels it teaches the hidden ones; without, the list must be of the task."""
    ids = PRACTICE_IDS + "D002_2021,Z1_UU,000002\n"
    write(tmp_path, ids=ids, labels_public=labels_public)
    with pytest.raises(FileMistakes) as caught:
        challenges.challenge_file.read(tmp_path)
    said = str(caught.value)
    if labels_public == "true":
        assert (
            "phases[1].labels_public: is true, but 1 of its patches belong to phase 'test'" in said
        )
        assert "first: 000002" in said
    else:
        assert "patch 000717 is not one of the task's expected patches" in said


@pytest.mark.django_db
def test_what_is_installed_for_such_a_phase_is_public(tmp_path: Path, store: Path) -> None:
    challenges.load(write(tmp_path / "tiny"))
    install(write_masks(tmp_path / "masks", "000717", "011282"))
    install(write_masks(tmp_path / "hidden", "000001", "000002"), phase="test")
    flags = dict(GroundTruth.objects.values_list("name", "labels_public"))
    assert flags == {"practice": True, "test": False}
    assert challenges.load(tmp_path / "tiny").changes == []


@pytest.mark.django_db
def test_the_command_can_say_so_too(tmp_path: Path, store: Path) -> None:
    challenges.load(folders.write(tmp_path / "tiny"))
    masks = write_masks(tmp_path / "masks", "000001", "000002")
    install(masks, phase="test")
    assert not Phase.objects.get().labels_public
    install(masks, "--public-labels", phase="test")
    assert Phase.objects.get().labels_public
    assert GroundTruth.objects.get().labels_public


@pytest.mark.django_db
@pytest.mark.parametrize("public", ["practice", "test"])
def test_public_labels_with_hidden_patches_are_not_installed(
    tmp_path: Path, store: Path, public: str
) -> None:
    challenges.load(write(tmp_path / "tiny"))
    masks = write_masks(tmp_path / "masks", "000001", "000717")
    (tmp_path / "ids.csv").write_text("domain,zone,patch\nD,Z,000001\nD,Z,000717\n")
    words = ("--ids", str(tmp_path / "ids.csv"))
    with pytest.raises(CommandError) as caught:
        install(masks, *words, phase=public)
    assert "of phase practice, whose labels are public, belong to phase test" in str(caught.value)
    assert "take other patches for practice" in str(caught.value)
    assert not GroundTruth.objects.exists()


@pytest.mark.django_db
def test_a_phase_is_not_made_public_over_labels_that_are_hidden_elsewhere(
    tmp_path: Path, store: Path
) -> None:
    """A practice phase that was loaded on hidden patches stays hidden when the file changes."""
    write(tmp_path / "tiny", ids=folders.IDS, labels_public="false")
    challenges.load(tmp_path / "tiny")
    install(write_masks(tmp_path / "masks", "000001", "000002"))
    write(tmp_path / "tiny")
    with pytest.raises(FileMistakes, match="2 patches of phase practice, whose labels are public"):
        challenges.load(tmp_path / "tiny")
    assert not Phase.objects.get(slug="practice").labels_public

    fitting = write_masks(tmp_path / "fitting", "000717", "011282")
    words = ("--ids", str(tmp_path / "tiny/practice-ids.csv"), "--public-labels")
    install(fitting, *words)
    challenges.load(tmp_path / "tiny")
    assert Phase.objects.get(slug="practice").labels_public


@pytest.mark.django_db
def test_a_truth_is_not_published_for_a_phase_that_shares_its_patches() -> None:
    challenge = make_challenge()
    hidden = make_phase(challenge)
    practice = make_phase(challenge, "practice", truth=False)
    truth = make_truth(challenge, "practice")
    GroundTruth.objects.filter(pk=truth.pk).update(labels_public=True)
    truth.refresh_from_db()
    with pytest.raises(Refusal, match="no patch in common") as caught:
        phases.publish_truth(phase=practice, actor=None, ground_truth=truth)
    assert caught.value.code == "phase-labels-shared"

    Phase.objects.filter(pk=hidden.pk).delete()
    phases.publish_truth(phase=practice, actor=None, ground_truth=truth)
    practice.refresh_from_db()
    assert practice.labels_public
