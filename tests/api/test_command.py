"""``flair`` against a real server, a real worker and real labels, as a participant types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.files.storage import default_storage

from challenge.models import Phase, Submission, Upload
from scoring.client import tus
from tests.api.conftest import token_of
from tests.factories import captain_of, make_team
from tests.live_site import LiveSite
from tests.workers.real import Worker, make_real_phase, make_zip

pytestmark = pytest.mark.django_db(transaction=True)
PATCHES = 4


@dataclass
class Terminal:
    """Runs the command with a home of its own."""

    home: Path
    server: str

    def run(
        self, *argv: str, code: int = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        found = subprocess.run(
            [sys.executable, "-m", "scoring.client", *argv],
            cwd=self.home,
            env=os.environ
            | {
                "FLAIR_CONFIG_DIR": str(self.home / "config"),
                "FLAIR_CACHE_DIR": str(self.home / "cache"),
                "FLAIR_LANG": "en",
                "PYTHONPATH": str(Path(__file__).parents[2]),
            }
            | environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert found.returncode == code, found.stdout + found.stderr
        return found


@pytest.fixture
def served(tmp_path: Path, transactional_db: None) -> Iterator[LiveSite]:
    storage = {"STORAGE_URL": f"file://{Path(default_storage.path(''))}"}
    site = LiveSite(tmp_path, environment=storage)
    site.start()
    yield site
    site.stop()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path / "labels")
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture
def phase(worker: Worker) -> Phase:
    return make_real_phase(worker.labels, patches=PATCHES)


def test_a_participant_joins_submits_and_reads_the_score(
    served: LiveSite, worker: Worker, phase: Phase, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    captain = captain_of(make_team(phase.challenge, "Alpha"))
    flair = Terminal(home, served.url)
    folder = home / "preds"
    folder.mkdir()
    (home / "made.zip").write_bytes(make_zip(patches=PATCHES))
    subprocess.run(
        [sys.executable, "-m", "zipfile", "-e", str(home / "made.zip"), str(folder)], check=True
    )

    # Nobody yet: a wrong token is refused and not kept.
    flair.run("login", "--server", served.url, "--token", "flair_no_no", code=4)
    assert not (home / "config").exists()
    shown = flair.run("login", "--server", served.url, "--token", token_of(captain))
    assert captain.username in shown.stderr

    # Check: a folder with a patch missing, in French and as JSON.
    (folder / "PRED_003.tif").rename(home / "kept.tif")
    shown = flair.run("check", "preds", "--phase", "abc/test", code=1, FLAIR_LANG="fr")
    assert "003" in shown.stdout
    assert "manqu" in shown.stdout
    shown = flair.run("check", "preds", "--phase", "abc/test", "--json", code=1)
    found = json.loads(shown.stdout)
    assert found["valid"] is False
    assert "003" in found["errors"][0]["message"]
    (home / "kept.tif").rename(folder / "PRED_003.tif")

    # Pack it, check the zip offline, submit it and read the score.
    packed = json.loads(flair.run("pack", "preds", "--phase", "abc/test", "--json").stdout)
    assert (packed["valid"], packed["count"]) == (True, PATCHES)
    flair.run("check", "preds.zip", "--phase", "abc/test", "--offline")

    # What the phase would refuse for its size is not called valid, online or offline.
    limit_bytes, size_bytes = phase.archive_limit_bytes, (home / "preds.zip").stat().st_size
    Phase.objects.filter(pk=phase.pk).update(archive_limit_bytes=size_bytes - 1)
    for how in ([], ["--offline"]):
        shown = flair.run("check", "preds.zip", "--phase", "abc/test", "--json", *how, code=1)
        (error,) = json.loads(shown.stdout)["errors"]
        assert error["code"] == "archive-too-large"
        assert error["params"] == {"size_bytes": size_bytes, "limit_bytes": size_bytes - 1}
    Phase.objects.filter(pk=phase.pk).update(archive_limit_bytes=limit_bytes)

    shown = flair.run(
        *("submit", "preds.zip", "--phase", "abc/test", "--method", "U-Net"),
        *("--code-url", "https://example.org/code", "--json", "--timeout", "60"),
    )
    submission = json.loads(shown.stdout)
    assert submission["state"] == "scored", worker.log_tail()
    assert 0 < submission["score"]["miou"] < 1
    assert submission["archive"]["sha256"] == packed["sha256"]
    assert len(submission["score"]["classes"]) == 3

    # The same file again is another submission; an archive that is not valid is not even sent.
    shown = flair.run(
        *("submit", "preds.zip", "--phase", "abc/test", "--method", "U-Net", "--no-wait", "--json")
    )
    assert json.loads(shown.stdout)["number"] == 2
    (home / "bad.zip").write_bytes(b"PK nonsense")
    flair.run("submit", "bad.zip", "--phase", "abc/test", "--method", "x", code=1)
    assert Submission.objects.count() == 2

    # Unchecked, the server says the same, and the code tells scripts.
    shown = flair.run(
        *("submit", "bad.zip", "--phase", "abc/test", "--method", "x"),
        *("--no-check", "--timeout", "60"),
        code=1,
    )
    assert "rejected" in shown.stdout

    shown = flair.run("status", submission["id"])
    assert f"mIoU {100 * submission['score']['miou']:.2f} %" in shown.stdout
    shown = flair.run("status")
    assert shown.stdout.count("U-Net") == 2
    shown = flair.run("leaderboard", "abc/test")
    assert "Alpha *" in shown.stdout
    assert flair.run("leaderboard", "abc/test", "--csv").stdout.startswith("rank,team,")

    flair.run("download", "ids", "abc/test", "-o", "ids.csv")
    assert (home / "ids.csv").read_text().splitlines()[0] == "domain,zone,patch"
    flair.run("download", "archive", submission["id"], "-o", "back.zip")
    assert (home / "back.zip").read_bytes() == (home / "preds.zip").read_bytes()
    flair.run("download", "receipt", submission["id"], "-o", "receipt.json")
    receipt = json.loads((home / "receipt.json").read_text())
    assert receipt["receipt"]["archive_sha256"] == packed["sha256"]
    flair.run("download", "receipt", submission["id"], "-o", "receipt.json", code=2)

    flair.run("login", "--forget")
    flair.run("status", code=4)


def test_what_ends_a_submission_ends_it_before_the_first_byte(
    served: LiveSite, worker: Worker, phase: Phase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.stop()  # what is handed in waits
    captain = captain_of(make_team(phase.challenge, "Alpha"))
    home = tmp_path / "home"
    home.mkdir()
    flair = Terminal(home, served.url)
    (home / "made.zip").write_bytes(make_zip(patches=PATCHES))
    (home / "file").touch()
    (home / "PRED_001.tif").touch()
    submit = ("submit", "made.zip", "--phase", "abc/test", "--method", "m")
    server = {"FLAIR_SERVER": served.url, "FLAIR_TOKEN": token_of(captain)}

    # A token that could hand in and not read the score is told so at once, or not waited with.
    may_only_submit = server | {"FLAIR_TOKEN": token_of(captain, ["submit"])}
    shown = flair.run(*submit, code=1, **may_only_submit)
    assert "read" in shown.stderr
    assert not Upload.objects.exists()
    shown = flair.run(*submit, "--no-wait", "--json", **may_only_submit)
    assert json.loads(shown.stdout)["number"] == 1

    # A home that cannot be written is no hindrance, nor is a pause that passed before the score.
    nowhere = server | {"FLAIR_CACHE_DIR": str(home / "file"), "FLAIR_CONFIG_DIR": "/proc/no"}
    shown = flair.run(*submit, "--timeout", "0", "--json", code=5, **nowhere)
    (error,) = json.loads(shown.stdout)["errors"]
    assert error["state"] == "queued"
    assert Submission.objects.filter(pk=error["id"]).exists()
    assert shown.stderr == ""
    shown = flair.run("pack", ".", "--phase", "abc/test", "-o", "file/x.zip", code=2, **nowhere)
    assert "cannot be read or written" in shown.stderr

    # What an earlier run began, and a token that may not go on with it.
    monkeypatch.setenv("FLAIR_CACHE_DIR", str(home / "cache"))
    begun = tus.Memory(tus.File.of(home / "made.zip"), served.url)
    begun.write(f"{served.url}/api/v1/uploads/{uuid4()}")
    shown = flair.run(*submit, code=1, **server | {"FLAIR_TOKEN": token_of(captain, ["read"])})
    assert "does not have the scope “submit”" in shown.stderr
    begun.forget()

    Phase.objects.filter(pk=phase.pk).update(daily_limit=2)
    began_s = time.monotonic()
    shown = flair.run(*submit, code=1, **server)
    assert "2 a UTC day" in shown.stderr
    assert time.monotonic() - began_s < 20  # it is not asked again and again
    assert Upload.objects.filter(submission=None).count() == 0
