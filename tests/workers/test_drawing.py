"""Pictures of patches: drawn of what is published, told to those who may see it, removed."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.utils import timezone
from PIL import Image

from challenge.models import GroundTruth, PatchPictures, Phase, Submission
from challenge.selectors import pictures as selector
from challenge.selectors import submissions as submissions_selector
from challenge.services import maintenance
from challenge.services.challenges import kits
from challenge.services.submissions import pictures as service
from challenge.services.submissions import retention
from challenge.workers import drawing, scoring
from scoring.engine.metrics import metrics
from scoring.engine.metrics.evidence import load
from scoring.engine.pictures import choosing
from tests.challenges.test_kits import tiff
from tests.factories import captain_of, make_team
from tests.helpers import refused
from tests.permissions.world import Visitor
from tests.splits.world import PATCHES, SIDE_PX, SplitWorld, make_split_world, mask

pytestmark = pytest.mark.django_db(transaction=True)
FIRST, SECOND, *_REST = PATCHES


@pytest.fixture
def world(tmp_path: Path, settings: Any) -> SplitWorld:
    made = make_split_world(tmp_path)
    settings.LABELS_DIR = made.labels_dir
    settings.EVIDENCE_DIR = made.evidence_dir
    made.labels_dir.mkdir(exist_ok=True)
    made.install()
    return made


@pytest.fixture
def publish(world: SplitWorld, tmp_path: Path) -> Callable[..., None]:
    """Publish a kit of images of so many bands and of a type, all of one value a band."""

    def kit(bands: int = 5, value: int = 40) -> None:
        for patch in PATCHES:
            path = tmp_path / "kit" / "images" / f"IMG_{patch}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.full((bands, SIDE_PX, SIDE_PX), value, np.uint8)
            path.write_bytes(tiff(pixels))
        kits.publish(phase=world.phase, source=tmp_path / "kit", actor=None)

    return kit


def make_public(world: SplitWorld) -> None:
    GroundTruth.objects.update(labels_public=True)
    Phase.objects.filter(pk=world.phase.pk).update(labels_public=True)


def stored() -> set[str]:
    if not default_storage.exists(service.FOLDER):
        return set()
    return {f"{service.FOLDER}/{name}" for name in default_storage.listdir(service.FOLDER)[1]}


def pixels(name: str, submission: Submission, visitor: Visitor) -> np.ndarray:
    answer = visitor.ask("GET", f"/submissions/{submission.pk}/pictures/{name}/")
    assert answer.status_code == 200
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))


def test_of_public_labels_the_worst_median_and_best_patch_and_each_class_are_drawn(
    world: SplitWorld, publish: Callable[..., None]
) -> None:
    make_public(world)
    publish()
    team = make_team(world.phase.challenge)
    submission = world.submit(team, wrong_px={FIRST: 40, SECOND: 3})
    scoring.score()
    assert drawing.draw_pictures() == 1
    row = PatchPictures.objects.get()
    assert (row.state, row.error_code, row.with_labels) == ("succeeded", "", True)
    reasons = [(one["reason"], one["patch"]) for one in row.rows]
    assert reasons[:1] == [("worst", FIRST)]
    assert [reason for reason, _patch in reasons] == ["worst", "median", "best", "class", "class"]
    evidence = load(world.evidence_dir / row.evaluation.score.evidence_name)
    matrix = evidence.patch_matrices(0, 1)[0]
    assert row.rows[0]["value"] == float(metrics.measure(matrix, spec=evidence.spec).miou)
    assert (row.rows[0]["rank"], row.rows[0]["of"]) == (len(PATCHES), len(PATCHES))
    assert row.rows[0]["wrong"] == 40 / SIDE_PX**2

    visitor = Visitor(captain_of(team))
    page = visitor.ask("GET", f"/submissions/{submission.pk}/").content.decode()
    assert f"Patch {FIRST}, prediction: mIoU" in page
    assert "worst of 16" in page
    assert f"Patch {FIRST}, errors: 62.50 % of the pixels are wrong" in page
    errors = pixels("0/errors", submission, visitor)
    wrong = (errors == (200, 16, 46)).all(axis=2)
    assert wrong.sum() == 40
    assert wrong.reshape(-1)[:40].all()
    labels, predicted = (
        pixels(f"0/{kind}", submission, visitor) for kind in ("labels", "prediction")
    )
    assert ((labels != predicted).any(axis=2) == wrong).all()
    assert (len(np.unique(labels.reshape(-1, 3), axis=0))) == len(np.unique(mask(FIRST)))
    assert abs(int(pixels("0/image", submission, visitor).mean()) - 40) < 4
    stranger = Visitor(captain_of(make_team(world.phase.challenge, "Stranger")))
    assert (
        stranger.ask("GET", f"/submissions/{submission.pk}/pictures/0/labels/").status_code == 404
    )


def test_of_hidden_labels_no_picture_depends_on_them(
    world: SplitWorld, publish: Callable[..., None], settings: Any
) -> None:
    """Neither which patches, nor a picture, nor a figure: not for the team, not after the close."""
    publish(bands=1)
    team = make_team(world.phase.challenge)
    submission = world.submit(team, wrong_px={FIRST: 40})
    scoring.score()
    # Nothing of the labels is opened: they need not even be there.
    truth = world.labels_dir / world.truth.store_name
    truth.rename(truth.with_suffix(".away"))
    assert drawing.draw_pictures() == 1
    row = PatchPictures.objects.get()
    assert (row.state, row.error_code, row.with_labels) == ("succeeded", "", False)
    assert [one["patch"] for one in row.rows] == [
        choice.patch for choice in choosing.samples(list(PATCHES), seed=str(world.phase))
    ]
    told = {key for one in row.rows for key, value in one.items() if value is not None}
    assert told == {"patch", "reason"}
    assert {name.partition("-")[2] for name in row.files} == {"image", "prediction"}
    visitor = Visitor(captain_of(team))
    for closes in (timezone.now() + timedelta(days=1), timezone.now() - timedelta(days=90)):
        Phase.objects.update(closes_at=closes, opens_at=closes - timedelta(days=1))
        page = visitor.ask("GET", f"/submissions/{submission.pk}/").content.decode()
        assert f"/submissions/{submission.pk}/pictures/0/prediction/" in page
        assert "/labels/" not in page.partition('id="patches"')[2].partition("</section>")[0]
        for kind in ("labels", "errors"):
            url = f"/submissions/{submission.pk}/pictures/0/{kind}/"
            assert visitor.ask("GET", url).status_code == 404


def test_pictures_chosen_by_scores_are_not_shown_once_the_labels_are_hidden(
    world: SplitWorld, publish: Callable[..., None]
) -> None:
    make_public(world)
    publish()
    team = make_team(world.phase.challenge)
    submission = world.submit(team)
    scoring.score()
    drawing.draw_pictures()
    user = captain_of(team)
    seen = submissions_selector.detail(submission.pk, user=user)
    assert selector.of_submission(seen) is not None
    name = PatchPictures.objects.get().stored_name
    for change in ({"labels_public": False}, {"labels_public": True, "visibility": "organisers"}):
        Phase.objects.update(**change)
        shown = submissions_selector.detail(submission.pk, user=user)
        assert selector.of_submission(shown) is None
        with refused("not-found"):
            selector.file_of(submission.pk, name="0-image", user=user)
    Phase.objects.update(labels_public=False)
    maintenance.sweep()
    assert not default_storage.exists(name)
    assert not PatchPictures.objects.get().with_labels


def test_a_kit_that_comes_later_is_drawn_by_the_sweep_and_one_that_goes_takes_the_pictures(
    world: SplitWorld, publish: Callable[..., None]
) -> None:
    submission = world.submit()
    scoring.score()
    assert not PatchPictures.objects.exists()
    publish()
    maintenance.sweep()
    assert drawing.draw_pictures() == 1
    first = PatchPictures.objects.get()
    publish(value=41)
    shown = submissions_selector.detail(submission.pk, user=captain_of(submission.entry.team))
    assert selector.of_submission(shown) is None
    maintenance.sweep()
    assert drawing.draw_pictures() == 1
    second = PatchPictures.objects.get()
    assert (first.pk == second.pk, default_storage.exists(first.stored_name)) == (False, False)
    Submission.objects.filter(pk=submission.pk).update(archive_removed_at=timezone.now())
    service.remove_unneeded()
    assert not PatchPictures.objects.exists()
    assert not default_storage.exists(second.stored_name)


def test_a_team_that_removes_an_archive_removes_its_pictures(
    world: SplitWorld, publish: Callable[..., None]
) -> None:
    publish()
    team = make_team(world.phase.challenge)
    worse = world.submit(team, wrong_px={FIRST: 60})
    world.submit(team)
    scoring.score()
    assert drawing.draw_pictures() == 2
    name = PatchPictures.objects.get(evaluation__submission=worse).stored_name
    retention.remove_archive(submission=worse, actor=captain_of(team))
    assert not PatchPictures.objects.filter(evaluation__submission=worse).exists()
    assert not default_storage.exists(name)


def test_a_worker_without_the_evidence_leaves_the_pictures_to_another(
    world: SplitWorld, publish: Callable[..., None]
) -> None:
    make_public(world)
    publish()
    world.submit()
    scoring.score()
    (evidence,) = world.evidence_dir.iterdir()
    away = evidence.rename(evidence.with_suffix(".away"))
    assert drawing.draw_pictures() == 0
    away.rename(evidence)
    assert drawing.draw_pictures() == 1
    service.sweep()
    assert PatchPictures.objects.get().state == "succeeded"


def test_a_killed_worker_leaves_them_to_the_next_and_is_fenced(
    world: SplitWorld, publish: Callable[..., None]
) -> None:
    publish()
    world.submit()
    scoring.score()
    before = stored()
    lost = service.claim(worker="lost", label_files=[], evidence_files=[])
    assert lost is not None
    maintenance.sweep(now=timezone.now() + timedelta(hours=1))
    assert drawing.draw_pictures() == 1
    with refused("late-worker"):
        service.complete(
            lost.pictures_id, attempt=lost.attempt, choices=[], pictures={"0-image": b"x"}
        )
    row = PatchPictures.objects.get()
    assert (row.state, row.attempt) == ("succeeded", 2)
    assert stored() - before == {row.stored_name}


def test_an_image_that_is_damaged_has_no_row_and_the_others_are_drawn(
    world: SplitWorld, tmp_path: Path, publish: Callable[..., None]
) -> None:
    publish()
    shown = [one.patch for one in choosing.samples(list(PATCHES), seed=str(world.phase))]
    path = tmp_path / "kit" / "images" / f"IMG_{shown[0]}.tif"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 60])
    kits.publish(phase=world.phase, source=tmp_path / "kit", actor=None)
    world.submit()
    scoring.score()
    drawing.draw_pictures()
    row = PatchPictures.objects.get()
    assert row.state == "succeeded"
    assert {one["patch"] for one in row.rows} <= set(shown)
