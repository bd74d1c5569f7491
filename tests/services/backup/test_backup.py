"""What a backup has, what a restore refuses, and files that come and go meanwhile."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.test import override_settings

from challenge.models import GroundTruth, Phase, Score, Submission, Team
from challenge.services.backup import inventory, making, manifest, postgres_tools, restoring
from challenge.services.backup.manifest import BackupError, Manifest
from tests import s3_server
from tests.factories import give_score, make_archive, make_phase, make_team, submit
from tests.s3_server import S3Server
from tests.services.backup.sites import Place, empty_database

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """A site's folders: storage, labels, evidence."""
    storage = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(tmp_path / "storage")},
    }
    with override_settings(
        STORAGES={"default": storage, "staticfiles": storage},
        LABELS_DIR=tmp_path / "labels",
        EVIDENCE_DIR=tmp_path / "evidence",
    ):
        for name in ("storage", "labels", "evidence"):
            (tmp_path / name).mkdir()
        yield tmp_path


@pytest.fixture
def scored(folders: Path) -> Submission:
    """A scored submission with archive, labels and evidence, each a file."""
    phase = make_phase()
    submission = submit(make_team(phase.challenge), phase, archive=make_archive(b"PK predictions"))
    give_score(submission)
    Score.objects.update(evidence_name="one.evidence")
    (folders / "evidence" / "one.evidence").write_bytes(b"counts")
    for truth in GroundTruth.objects.all():
        (folders / "labels" / truth.store_name).write_bytes(b"labels")
    return submission


def make(folder: Path, **options: Any) -> Manifest:
    """A backup of another moment than those of the folder."""
    from datetime import timedelta

    from django.utils import timezone

    later = timedelta(hours=len(manifest.moments(folder)))
    return making.make(
        folder, options=making.Options(**options), now=timezone.now() + later
    ).manifest


def test_every_field_that_names_a_file_is_known() -> None:
    named = {
        f"{model.__name__}.{field.name}"
        for model in apps.get_app_config("challenge").get_models()
        for field in model._meta.get_fields()
        if field.name.endswith(("_name", "archive"))
        and "original" not in field.name
        and getattr(field, "max_length", 0) >= 200
    }

    assert named == set(inventory.FIELDS)


def test_files_are_copied_once_and_readable_by_their_owner_alone(
    scored: Submission, tmp_path: Path
) -> None:
    target = tmp_path / "backups"
    first = making.make(target, options=making.Options())
    second = make(target)

    assert (first.copied, first.manifest.missing) == (3, [])
    assert {kind: len(files) for kind, files in second.files.items()} == {
        "stored": 1,
        "labels": 1,
        "evidence": 1,
    }
    assert second.files == first.manifest.files
    files = [path for path in target.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert len(list((target / "files").glob("*/*"))) == 3
    assert sorted(second.secrets) == ["secret_key"]
    assert make(target, secrets=False).secrets == []
    assert not (manifest.moments(target)[-1] / "secrets").exists()


def test_old_backups_go_with_the_files_that_only_they_name(
    scored: Submission, folders: Path
) -> None:
    target = folders / "backups"
    make(target)
    Score.objects.update(evidence_name="two.evidence")
    (folders / "evidence" / "two.evidence").write_bytes(b"other counts")
    make(target)

    assert len(list((target / "files").glob("*/*"))) == 4
    make(target, keep=1)

    assert len(manifest.moments(target)) == 1
    assert len(list((target / "files").glob("*/*"))) == 3
    restoring.check(restoring.choose(target))


def test_a_lost_file_is_named_and_the_rest_is_backed_up(scored: Submission, folders: Path) -> None:
    (folders / "evidence" / "one.evidence").unlink()
    Submission.objects.update(archive_sha256="0" * 64)  # what storage has is not what was accepted

    with pytest.raises(CommandError, match="2 files"):
        call_command("backup", folders / "backups")

    kept = restoring.check(restoring.choose(folders / "backups"))
    assert kept.missing == [f"stored/{scored.archive}", "evidence/one.evidence"]
    assert len(kept.files["labels"]) == 1


def test_a_file_that_was_deleted_meanwhile_is_asked_for_under_a_newer_snapshot(
    scored: Submission, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase, team = scored.entry.phase, make_team(scored.entry.phase.challenge)
    named = inventory.named_files
    calls: list[int] = []

    def named_while_the_site_runs() -> Iterator[inventory.NamedFile]:
        calls.append(1)
        names = list(named())
        if len(calls) == 1:  # the first snapshot has been taken, its files are not copied yet
            default_storage.delete(late.archive)
        yield from names

    late = submit(team, phase, archive=make_archive(b"PK late"))
    monkeypatch.setattr(inventory, "named_files", named_while_the_site_runs)
    original = making._snapshot_of_database
    taken: list[int] = []

    def snapshot() -> Any:
        taken.append(1)
        if len(taken) == 2:  # the row says so by now
            in_another_connection(
                f"UPDATE challenge_submission SET archive_removed_at = now() WHERE id = '{late.pk}'"
            )
        return original()

    monkeypatch.setattr(making, "_snapshot_of_database", snapshot)
    monkeypatch.setattr(making._Copies, "copy_named", skip_first(making._Copies.copy_named))

    kept = make(folders / "backups")

    assert len(taken) == 2
    assert kept.missing == []
    assert late.archive not in kept.files["stored"]
    assert scored.archive in kept.files["stored"]


def skip_first(method: Callable[[Any], list[str]]) -> Callable[[Any], list[str]]:
    """The copy without a snapshot finds nothing, as where all files are new."""
    calls: list[int] = []

    def called(self: Any) -> list[str]:
        calls.append(1)
        return method(self) if len(calls) > 1 else []

    return called


def in_another_connection(statement: str) -> None:
    import psycopg

    from tests.live_site import database_url

    with psycopg.connect(database_url(), autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[arg-type]


def test_labels_that_are_not_here_are_left_out_by_name_alone(
    scored: Submission, folders: Path
) -> None:
    with override_settings(LABELS_DIR=None), pytest.raises(BackupError, match="--without-labels"):
        make(folders / "backups")
    assert manifest.moments(folders / "backups") == []

    with override_settings(LABELS_DIR=None):
        kept = make(folders / "backups", labels=False)
    assert (kept.left_out, kept.missing) == (["labels"], [])


def test_the_program_of_the_servers_version_is_taken(tmp_path: Path) -> None:
    def program(version: int) -> None:
        path = tmp_path / "usr" / str(version) / "bin" / "pg_dump"
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}.3'\n")
        path.chmod(0o755)

    for version in (15, 17, 18):
        program(version)
    with (
        override_settings(POSTGRESQL_PROGRAMS=None),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(postgres_tools, "SYSTEM_FOLDERS", ((str(tmp_path / "usr"), "*/bin"),))
        patch.setenv("PATH", "/nowhere")
        assert postgres_tools.find("pg_dump", at_least=16).major == 17
        with pytest.raises(BackupError, match="postgresql-client-19") as refused:
            postgres_tools.find("pg_dump", at_least=19)
    assert "bin/pg_dump (18)" in str(refused.value)


def test_a_damaged_backup_is_refused_before_anything_is_written(
    scored: Submission, folders: Path
) -> None:
    target = folders / "backups"
    kept = make(target)
    (one,) = kept.files["evidence"].values()
    manifest.path_of(target, one.sha256).write_bytes(b"Counts")

    with pytest.raises(CommandError, match=r"evidence/one\.evidence"):
        call_command("restore", target)
    with pytest.raises(CommandError, match=r"evidence/one\.evidence"):
        call_command("restore", target, "--check")

    (manifest.moments(target)[-1] / "manifest.json").unlink()
    with pytest.raises(CommandError, match="no complete backup"):
        call_command("restore", target)


def test_a_site_with_other_keys_is_told_what_would_not_verify(
    scored: Submission, folders: Path
) -> None:
    make(folders / "backups")

    with (
        override_settings(SECRET_KEY="of another site"),
        pytest.raises(CommandError, match="SECRET_KEY differs") as refused,
    ):
        call_command("restore", folders / "backups")

    assert "receipts are signed with another key" in str(refused.value)
    # The keys are asked for before the database, which has tables here.
    with pytest.raises(CommandError, match="--replace"):
        call_command("restore", folders / "backups", "--replace", "flair")


def test_names_that_lead_out_of_their_folder_are_refused(scored: Submission, folders: Path) -> None:
    make(folders / "backups")
    path = manifest.moments(folders / "backups")[-1] / "manifest.json"
    path.write_text(path.read_text().replace("one.evidence", "../one.evidence"))

    with pytest.raises(CommandError, match="outside its folder"):
        call_command("restore", folders / "backups")


def test_a_database_with_tables_is_replaced_by_name_alone(
    scored: Submission, folders: Path, tmp_path: Path
) -> None:
    make(folders / "backups")
    with empty_database("restored_by_name") as url:
        place = Place(tmp_path / "other", url)
        assert place.manage("restore", folders / "backups").returncode == 0
        Submission.objects.update(method_name="after the backup")
        there = place.folder / "storage" / scored.archive
        assert there.read_bytes() == b"PK predictions"

        refused = place.manage("restore", folders / "backups")
        replaced = place.manage("restore", folders / "backups", "--replace", "restored_by_name")

        assert refused.returncode == 1
        assert "--replace restored_by_name" in refused.stderr
        assert replaced.returncode == 0, replaced.stderr
        assert "0 files written, 1 were there" in replaced.stdout
        assert place.count("state = 'scored'") == 1

        there.write_bytes(b"another archive")
        other = place.manage("restore", folders / "backups", "--replace", "restored_by_name")
        assert other.returncode == 1
        assert f"stored/{scored.archive}" in other.stderr
        assert place.count("state = 'scored'") == 1


@pytest.mark.filterwarnings(s3_server.QUIET)
def test_files_in_an_object_store(
    folders: Path, s3: S3Server, phase: Phase, team: Team, tmp_path: Path
) -> None:
    GroundTruth.objects.all().update(store_name="")
    with override_settings(STORAGES=s3.storages):
        submission = submit(team, phase, archive=make_archive(b"PK in a bucket"))
        default_storage.save("kits/unnamed.zip", ContentFile(b"nobody names it"))
        kept = make(folders / "backups", labels=False)
        assert list(kept.files["stored"]) == [submission.archive]
        s3.clear()
        with empty_database("restored_to_s3") as url:
            place = Place(tmp_path / "other", url, {"STORAGE_URL": s3.storage_url})
            restored = place.manage("restore", folders / "backups")
        assert restored.returncode == 0, restored.stderr
        assert s3.objects() == [f"site/{submission.archive}"]
        assert s3.read(submission.archive) == b"PK in a bucket"
