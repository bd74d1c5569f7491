"""Packed labels reach a scoring worker on another machine through storage, and nobody else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import current_app
from django.apps import apps
from django.conf import settings as django_settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from pytest_django import Settings

from challenge.models import GroundTruth
from challenge.services.labels import distribution, keys
from challenge.services.labels.distribution import stored_name
from challenge.workers import labels as worker
from challenge.workers import readiness
from scoring.engine.truth import sealing_keys
from tests.labels.world import CANARY, LabelsWorld
from tests.splits.world import PATCHES, mask, tiff


@contextmanager
def other_machine(settings: Settings, folder: Path) -> Iterator[Path]:
    """A scoring worker's settings: a LABELS_DIR of its own, no key of the labels worker."""
    mine = settings.LABELS_DIR, settings.LABELS_KEY_DIR
    settings.LABELS_DIR, settings.LABELS_KEY_DIR = folder / "other", None
    settings.LABELS_DIR.mkdir(exist_ok=True)
    yield settings.LABELS_DIR
    settings.LABELS_DIR, settings.LABELS_KEY_DIR = mine


def test_a_worker_elsewhere_fetches_labels_and_split_and_scores(
    world: LabelsWorld, settings: Settings
) -> None:
    world.install("--public-share", "0.5")
    assert worker.distribute_labels() == 2
    assert worker.distribute_labels() == 0
    submission = world.submit()
    with other_machine(settings, world.folder) as folder:
        assert world.score() == 1
        names = sorted(path.name for path in folder.iterdir())
        assert names == sorted(path.name for path in world.labels_dir.iterdir())
        for name in names:
            assert (folder / name).read_bytes() == (world.labels_dir / name).read_bytes()
    assert submission.evaluations.get().score.miou == 1.0


def _altered(name: str) -> None:
    data = Path(default_storage.path(name)).read_bytes()
    _replace(name, data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])


def _replace(name: str, data: bytes) -> None:
    default_storage.delete(name)
    assert default_storage.save(name, ContentFile(data)) == name


@pytest.mark.parametrize("fault", ["absent", "altered", "other-labels", "no-key", "path"])
def test_what_is_not_what_was_installed_is_neither_kept_nor_scored_with(
    world: LabelsWorld, settings: Settings, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    world.install()
    worker.distribute_labels()
    key = keys.scoring_key()
    assert key is not None
    name = stored_name(world.truth.store_name, key=key)
    match fault:
        case "absent":
            default_storage.delete(name)
        case "altered":
            _altered(name)
        case "other-labels":
            GroundTruth.objects.update(digest="0" * 64)
        case "no-key":
            settings.SCORING_KEY_DIR = world.folder / "nothing"
        case "path":
            GroundTruth.objects.update(store_name="../stolen.truth")
    world.submit()
    with other_machine(settings, world.folder) as folder, caplog.at_level(logging.ERROR):
        assert distribution.fetch_missing(readiness.label_files()) == []
        assert world.score() == 0
        assert list(folder.iterdir()) == []
    assert fault == "path" or "cannot be fetched" in caplog.text
    assert not (world.folder / "stolen.truth").exists()


def test_no_pixel_is_found_anywhere_but_with_the_labels_worker(
    world: LabelsWorld, caplog: pytest.LogCaptureFixture
) -> None:
    patch = next(iter(PATCHES))
    canaries = [CANARY, mask(patch).tobytes(), tiff(mask(patch))]
    with caplog.at_level(logging.DEBUG, logger="challenge"):
        job = world.send_masks()
        searched = [_database(), _storage(), _broker()]
        worker.install_labels()
        job.refresh_from_db()
        assert job.state == "installed"
    searched += [_database(), _storage(), _broker(), caplog.text.encode()]
    assert all(len(one) > 100 for one in (searched[0], searched[1], searched[-1]))
    for canary in canaries:
        assert not any(canary in place for place in searched)
        # As PostgreSQL writes bytes, and as JSON lists them.
        assert not any(canary.hex().encode() in place for place in searched)
        assert not any(str(list(canary[:16])).encode()[1:-1] in place for place in searched)
    assert world.key_file.stat().st_mode & 0o077 == 0
    private = world.key_file.read_bytes()
    assert not any(private[60:120] in place for place in searched)
    public = sealing_keys.public_bytes(keys.labels_key())
    assert public != sealing_keys.public_bytes(keys.scoring_key())  # type: ignore[arg-type]


def _database() -> bytes:
    with connection.cursor() as cursor:
        texts = []
        for model in apps.get_models():
            cursor.execute(f'SELECT t::text FROM "{model._meta.db_table}" t')
            texts += [row[0] for row in cursor.fetchall()]
    return "\n".join(texts).encode()


def _storage() -> bytes:
    roots = (Path(default_storage.path("")), Path(django_settings.UPLOADS_DIR))
    files = {path for root in roots for path in root.rglob("*") if path.is_file()}
    return b"\n".join(path.read_bytes() for path in sorted(files))


def _broker() -> bytes:
    with current_app.connection_for_read() as broker:
        server = broker.default_channel.client
        return b"\n".join(server.dump(key) or b"" for key in server.scan_iter())
