"""The drill: back up a site under load, lose everything, restore it elsewhere, go on."""

from __future__ import annotations

import shutil
import stat
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from challenge.models import Evaluation, GroundTruth, Phase, Score
from challenge.services.accounts import tokens
from challenge.services.submissions import receipts
from tests.factories import captain_of, make_team
from tests.live_site import LiveSite, database_url
from tests.services.backup.sites import Place, empty_database
from tests.workers.real import Worker, make_real_phase, make_zip

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("running_servers"),
]
PATCHES = 40
QUEUE = 12  # submissions that wait, whatever the machine's speed: as one is scored, one comes
KEY = "the key of the first site, which signs its receipts, is as long as this"


class PlacedWorker(Worker):
    """A scoring worker of a site."""

    def __init__(self, place: Place) -> None:
        super().__init__(place.folder / "labels")
        self.place = place

    def environment(self) -> dict[str, str]:
        return super().environment() | self.place.environment


def waiting() -> int:
    """How many submissions wait in the first site."""
    return Evaluation.objects.filter(state="queued").count()


class Load(threading.Thread):
    """Uploads and submits by API, so that `QUEUE` submissions wait, until told to stop."""

    def __init__(self, site: LiveSite, phase: Phase, token: str, archive: bytes) -> None:
        super().__init__()
        self.url, self.phase, self.archive = f"{site.url}/api/v1/", str(phase), archive
        self.headers = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}
        self.accepted: list[str] = []
        self.problems: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        try:
            with httpx.Client(base_url=self.url, headers=self.headers, timeout=60) as client:
                while not self.stopping.wait(0.05):
                    if waiting() < QUEUE:
                        self.submit(client)
        finally:
            connection.close()

    def submit(self, client: httpx.Client) -> None:
        created = client.post(
            "uploads",
            headers={
                "Upload-Length": str(len(self.archive)),
                "Content-Type": "application/offset+octet-stream",
            },
            content=self.archive,
        )
        upload = created.headers.get("Location", "").rsplit("/", 1)[-1]
        body = {"phase": self.phase, "upload": upload, "method_name": "under load"}
        answer = client.post("submissions", json=body)
        if answer.status_code == 201:
            self.accepted.append(answer.json()["id"])
        else:
            self.problems.append(answer.text)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "first", database_url(), {"SECRET_KEY": KEY})


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Place]:
    with empty_database("restored_elsewhere") as url:
        yield Place(tmp_path / "second", url)


def test_a_site_that_was_lost_under_load_goes_on_elsewhere(
    place: Place, elsewhere: Place, tmp_path: Path
) -> None:
    phase = make_real_phase(place.folder / "labels", patches=PATCHES)
    GroundTruth.objects.exclude(pk=phase.ground_truth_id).delete()  # has no file
    now = timezone.now()
    Phase.objects.update(opens_at=now - timedelta(days=1), closes_at=now + timedelta(days=1))
    team = make_team(phase.challenge)
    _row, token = tokens.create(
        user=captain_of(team), name="load", scopes=["read", "submit", "organise"]
    )
    first = LiveSite(place.folder, environment=place.environment)
    worker = PlacedWorker(place)
    loads = [
        Load(first.running(), phase, token, make_zip(patches=PATCHES, value=value))
        for value in (1, 2)
    ]
    backups = tmp_path / "backups"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        worker.start()
        for load in loads:
            load.start()
        worker.wait_until(
            lambda: Score.objects.exists() and waiting() >= QUEUE // 2, "a score and a queue"
        )

        before = [one for load in loads for one in load.accepted]
        made = place.manage("backup", backups)

        assert made.returncode == 0, made.stderr
        scored = Score.objects.order_by("pk")[0].evaluation.submission_id
        receipt = httpx.get(
            f"{first.url}/api/v1/submissions/{scored}/receipt", headers=headers, timeout=60
        ).json()
    finally:
        for load in loads:
            load.stopping.set()
            load.join()
        worker.kill()
        first.kill()
    assert not [problem for load in loads for problem in load.problems]
    (folder,) = sorted(backups.glob("2*"))
    assert stat.S_IMODE((folder / "secrets" / "secret_key").stat().st_mode) == 0o600
    assert (folder / "secrets" / "secret_key").read_text() == KEY
    shutil.rmtree(place.folder)  # all that the first site had but its database, used no more

    elsewhere.more |= {"SECRET_KEY": "", "SECRET_KEY_FILE": str(folder / "secrets/secret_key")}
    restored = elsewhere.manage("restore", backups)
    assert restored.returncode == 0, restored.stderr
    verified = elsewhere.manage("verify_queue")
    assert verified.returncode == 0, verified.stderr
    with psycopg.connect(elsewhere.database) as restored_database:
        rows = restored_database.execute("SELECT id FROM challenge_submission")
        kept = {str(row[0]) for row in rows}
    assert set(before) <= kept, "accepted before the backup, and not in it"
    assert elsewhere.count("state = 'queued'") > 0

    second = LiveSite(elsewhere.folder, environment=elsewhere.environment)
    worker = PlacedWorker(elsewhere)
    try:
        worker.start()
        second.start()
        api = f"{second.url}/api/v1"
        key = httpx.get(f"{api}/receipts/key", timeout=60).json()["key"]
        assert receipts.verify(receipt, key=key)
        again = httpx.get(f"{api}/submissions/{scored}/receipt", headers=headers, timeout=60).json()
        assert {**again["receipt"], "signed_at": ""} == {**receipt["receipt"], "signed_at": ""}
        worker.wait_until(lambda: elsewhere.count("state = 'queued'") == 0, "an empty queue")

        def is_scored() -> bool:
            # What was being scored at the backup's moment is taken up by the sweep.
            assert elsewhere.manage("sweep").returncode == 0
            return elsewhere.count("state <> 'scored'") == 0

        worker.wait_until(is_scored, "every submission of the backup scored")
    finally:
        worker.stop()
        second.stop()
    assert elsewhere.manage("verify_queue").returncode == 0
