"""Sealed masks are installed exactly once or not at all, and no pixel is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone
from pytest_django import Settings

from challenge.models import AuditEvent, GroundTruth, LabelJob, Submission, Upload
from challenge.rules.lifecycle import LabelState
from challenge.services.challenges import ground_truth
from challenge.services.labels import installing, keys, label_jobs
from challenge.services.storage import upload_sweep, uploads
from challenge.services.submissions import submissions
from challenge.services.teams import teams
from challenge.workers import labels as worker
from scoring.engine.truth import sealing_keys, store
from tests.factories import make_organiser, make_user
from tests.helpers import refused, run_in_threads
from tests.labels.world import LabelsWorld, masks_zip, other_mask, sealed_masks, upload
from tests.splits.world import PATCHES, mask, tiff

FIRST = next(iter(PATCHES))


def job_of(world: LabelsWorld) -> LabelJob:
    return LabelJob.objects.get(phase=world.phase)


def nothing_is_registered(world: LabelsWorld) -> bool:
    return (
        not GroundTruth.objects.exists()
        and world.phase.ground_truth is None
        and not AuditEvent.objects.filter(action="ground_truth.install").exists()
    )


def test_sealed_masks_become_the_phases_labels(world: LabelsWorld) -> None:
    archive = world.send_masks().upload.archive
    assert worker.install_labels() == 1
    job = job_of(world)
    assert (job.state, job.patches, job.error_code) == (LabelState.INSTALLED, len(PATCHES), "")
    assert job.ground_truth == world.truth
    with store.PackedTruth.open(world.labels_dir / world.truth.store_name) as packed:
        assert (packed.read_labels(FIRST) == mask(FIRST)).all()
        assert packed.zone_of == PATCHES
    by_sealing = world.truth.digest
    world.install()
    assert (world.truth.digest, GroundTruth.objects.count()) == (by_sealing, 1)
    assert not Upload.objects.exists()
    assert job.upload is None
    assert not default_storage.exists(archive)
    event = AuditEvent.objects.get(action="labels.send")
    assert (event.actor, event.data["job"]) == (world.owner, job.pk)


@pytest.mark.parametrize("fault", ["value", "missing", "broken", "bomb", "not-a-zip"])
def test_masks_with_a_fault_are_refused_by_file_and_hold_no_pixel(
    world: LabelsWorld, fault: str
) -> None:
    name = f"MSK_{FIRST}.tif"
    whole = masks_zip(
        {
            "value": {name: other_mask()},
            "missing": {name: None},
            "broken": {name: tiff(mask(FIRST))[:-40]},
            "bomb": {name: bytes(3_000_000)},
            "not-a-zip": {},
        }[fault]
    )
    if fault == "not-a-zip":
        whole = b"7z\xbc\xaf\x27\x1c" + bytes(100)
    world.send(sealed_masks(whole, uploader=world.owner.username))
    worker.install_labels()
    job = job_of(world)
    assert (job.state, job.error_code) == (LabelState.REFUSED, "masks-invalid")
    first = job.problems[0]
    assert (
        first["code"]
        == {
            "value": "values-out-of-range",
            "missing": "missing-patches",
            "broken": "raster-truncated",
            "bomb": "member-too-large",
            "not-a-zip": "archive-not-zip",
        }[fault]
    )
    assert first["file"] == (None if fault in ("missing", "not-a-zip") else name)
    assert "219" not in str(job.problems)
    assert nothing_is_registered(world)
    assert not Upload.objects.exists()


def _flipped(data: bytes) -> bytes:
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


def test_what_was_changed_or_sealed_for_something_else_is_refused(
    world: LabelsWorld, settings: Settings
) -> None:
    content, mine = masks_zip(), world.owner.username
    right = sealed_masks(content, uploader=mine)
    other_key = sealing_keys.public_bytes(sealing_keys.new_key())
    cases = {
        "seal-altered": _flipped(right),
        "seal-cut": right[:-1],
        "seal-key": sealed_masks(content, uploader=mine, public=other_key),
        "seal-purpose": sealed_masks(content, uploader=mine, phase="final"),
    }
    for code, data in cases.items():
        job = world.send(data)
        worker.install_labels()
        job.refresh_from_db()
        assert (job.state, job.error_code) == (LabelState.REFUSED, code)
    # The same bytes again, sent by another owner: they were sealed by somebody else.
    job = world.send(right, user=make_organiser(world.phase.challenge))
    worker.install_labels()
    job.refresh_from_db()
    assert job.error_code == "seal-purpose"
    settings.LABELS_LIMIT_BYTES = len(content) - 1
    job = world.send(right)
    worker.install_labels()
    job.refresh_from_db()
    assert job.error_code == "seal-too-large"
    assert nothing_is_registered(world)


def test_masks_that_are_not_sealed_are_deleted_at_once(world: LabelsWorld) -> None:
    row = upload(world.owner, world.phase, masks_zip())
    with refused("labels-not-sealed"):
        label_jobs.create(phase=world.phase, upload_id=row.pk, actor=world.owner)
    assert not Upload.objects.exists()
    assert not LabelJob.objects.exists()


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def _killed(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.parametrize(
    ("module", "step"),
    [
        (installing, "_unseal"),
        (installing.child, "pack"),
        (installing.store, "verify"),
        (ground_truth.splits, "decide"),
        (ground_truth.audit, "record"),
        (label_jobs, "complete"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_kill_at_any_step_leaves_nothing_and_the_next_attempt_installs(
    world: LabelsWorld, monkeypatch: pytest.MonkeyPatch, module: Any, step: str
) -> None:
    world.send_masks()
    with monkeypatch.context() as patched:
        patched.setattr(module, step, _killed)
        with pytest.raises(Killed):
            worker.install_labels()
    assert nothing_is_registered(world)
    assert job_of(world).state == LabelState.INSTALLING
    later = timezone.now() + timedelta(hours=1)
    assert label_jobs.sweep(now=later).requeued == [job_of(world).pk]
    assert worker.install_labels() == 1
    assert job_of(world).state == LabelState.INSTALLED
    assert GroundTruth.objects.count() == 1


def test_a_kill_after_the_registration_deletes_the_copy_later(
    world: LabelsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.send_masks()
    with monkeypatch.context() as patched:
        patched.setattr(label_jobs, "delete_copy", _killed)
        with pytest.raises(Killed):
            worker.install_labels()
    assert job_of(world).state == LabelState.INSTALLED
    label_jobs.sweep(now=timezone.now())
    assert not Upload.objects.exists()


def test_a_worker_that_was_given_up_registers_nothing(
    world: LabelsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.send_masks()
    complete = label_jobs.complete

    def late(job_id: int, **arguments: Any) -> None:
        later = timezone.now() + timedelta(hours=1)
        label_jobs.sweep(now=later)
        complete(job_id, **arguments)

    with monkeypatch.context() as patched:
        patched.setattr(label_jobs, "complete", late)
        claim = label_jobs.claim(worker="w")
        assert claim is not None
        with refused("late-worker"):
            installing.install(
                claim,
                key=keys.labels_key(),
                on_progress=lambda _: None,
                should_stop=lambda: False,
            )
    assert nothing_is_registered(world)


def test_two_workers_take_a_job_once(world: LabelsWorld) -> None:
    world.send_masks()
    claims: list[Any] = []
    run_in_threads(lambda: claims.append(label_jobs.claim(worker="w")), count=4)
    assert len([one for one in claims if one is not None]) == 1


def test_sealed_labels_wait_for_their_worker_and_never_become_a_submission(
    world: LabelsWorld,
) -> None:
    teams.register(
        user=world.owner,
        challenge=world.phase.challenge,
        accept_terms_version=world.phase.challenge.terms_version,
    )
    row = upload(world.owner, world.phase, sealed_masks(masks_zip(), uploader="x"))
    with refused("upload-not-found"):
        uploads.archive_of(user=world.owner, upload_id=row.pk)
    assert not submissions.Submission.objects.exists()
    job = label_jobs.create(phase=world.phase, upload_id=row.pk, actor=world.owner)
    with refused("labels-upload-used"):
        label_jobs.create(phase=world.phase, upload_id=row.pk, actor=world.owner)
    later = timezone.now() + timedelta(days=30)
    upload_sweep.sweep(now=later)
    assert Upload.objects.filter(pk=row.pk).exists()
    label_jobs.cancel(job=job, actor=world.owner)
    assert not Upload.objects.exists()
    job.refresh_from_db()
    assert job.state == LabelState.CANCELLED
    assert Submission.objects.count() == 0


def test_only_owners_send_labels_and_few_at_a_time(world: LabelsWorld) -> None:
    data = sealed_masks(masks_zip(), uploader=world.owner.username)
    with refused("not-organiser"):
        upload(make_user(), world.phase, data)
    for _ in range(3):
        upload(world.owner, world.phase, data)
    with refused("labels-upload-count"):
        upload(world.owner, world.phase, data)


def test_a_failure_of_ours_keeps_the_copy_for_another_try(
    world: LabelsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = world.send_masks()

    def no_room(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(installing.child, "pack", no_room)
        worker.install_labels()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (LabelState.FAILED, "worker-misconfigured")
    label_jobs.requeue(job=job, actor=world.owner)
    worker.install_labels()
    assert job_of(world).state == LabelState.INSTALLED
