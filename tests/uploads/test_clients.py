"""Clients that others wrote, and our own, through a network that breaks again and again."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from uuid import UUID

import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from challenge.embedded.data_folder import ROOT
from challenge.models import Upload
from scoring.client import tus as our_tus
from scoring.client.api import Api
from scoring.client.credentials import Account
from tests.live_site import LiveSite
from tests.uploads.cutting import cutting

SIZE = 12_000_000
CUTS = [1_500_000, 300_000, 2_000_000, 700_000]
TUS_JS = "tus-js-client@4.3.1"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upload") / "predictions.zip"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where tus-js-client lies, fetched once for this checkout. No node, no pass."""
    folder = ROOT / ".data" / "npm-tus"
    folder.mkdir(parents=True, exist_ok=True)
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node, "node is needed for the test with tus-js-client: install Debian's nodejs and npm"
    assert npm, "npm is needed for the test with tus-js-client: install Debian's npm"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "node_modules" / "tus-js-client").is_dir():
            (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
            command = [npm, "install", "--no-audit", "--no-fund", "--save-exact", TUS_JS]
            subprocess.run(command, cwd=folder, check=True, timeout=300, capture_output=True)
    return folder


def finished(location: str, file: Path) -> bool:
    """Wait until the upload is stored, and compare it with the file."""
    upload_id = UUID(location.strip().rstrip("/").rsplit("/", 1)[-1])
    for _turn in range(200):
        upload = Upload.objects.get(id=upload_id)
        if upload.archive:
            return upload.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        time.sleep(0.05)
    return False


def test_tuspy_with_cuts(site: LiveSite, token: str, file: Path) -> None:
    with cutting(site.port, CUTS.copy()) as proxy, file.open("rb") as stream:
        client = TusClient(
            f"{proxy.url}/api/v1/uploads", headers={"Authorization": f"Bearer {token}"}
        )
        uploader = client.uploader(
            file_stream=stream, chunk_size=4_000_000, retries=10, retry_delay=0.1
        )
        # tuspy asks for the offset in its retry, where a cut is an error again: resume by hand.
        for _turn in range(20):
            try:
                uploader.upload()
                break
            except (TusCommunicationError, TusUploadFailed, ConnectionError):
                time.sleep(0.1)
        assert proxy.made == len(CUTS)
        assert finished(str(uploader.url), file)
        # What was kept was not sent again: four cuts cost less than four chunks.
        assert proxy.sent_bytes < SIZE + 4 * 4_000_000


def test_tus_js_client_with_cuts(
    site: LiveSite, token: str, file: Path, node_modules: Path
) -> None:
    with cutting(site.port, CUTS.copy()) as proxy:
        result = run_node(node_modules, proxy.url, token, file)
        assert result.returncode == 0, result.stderr
        assert proxy.made == len(CUTS)
        assert finished(result.stdout, file)


def test_tus_js_client_survives_sigkill_of_the_server(
    site: LiveSite, token: str, file: Path, node_modules: Path
) -> None:
    def kill_soon() -> None:
        while not any(part_sizes(site)):
            time.sleep(0.01)
        site.kill()
        site.start()

    killer = threading.Thread(target=kill_soon)
    killer.start()
    result = run_node(node_modules, site.url, token, file)
    killer.join()
    assert result.returncode == 0, result.stderr
    assert finished(result.stdout, file)


def run_node(modules: Path, url: str, token: str, file: Path) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).with_name("tus_upload.mjs")
    command = ["node", str(script), str(modules), url, token, str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def part_sizes(site: LiveSite) -> list[int]:
    sizes = []
    for part in (site.folder / "uploads").glob("*.part"):
        try:
            sizes.append(part.stat().st_size)
        except FileNotFoundError:
            continue  # finished between the two calls
    return sizes


@pytest.fixture
def memories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLAIR_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_our_client_with_cuts(site: LiveSite, token: str, file: Path, memories: Path) -> None:
    seen: list[int] = []
    with cutting(site.port, CUTS.copy()) as proxy, Api(Account(proxy.url, token)) as api:
        upload = our_tus.upload(
            file,
            api=api,
            on_progress=lambda done, _total: seen.append(done),
            on_cut=lambda _reason, _wait_s: None,
        )
        assert proxy.made == len(CUTS)
    assert finished(upload, file)
    assert seen[-1] == SIZE


def test_our_client_resumes_after_it_was_killed(
    site: LiveSite, token: str, file: Path, memories: Path
) -> None:
    class Killed(BaseException):
        """What SIGKILL is to a program: nothing after it runs."""

    def die(done: int, _total: int) -> None:
        if done > 5_000_000:
            raise Killed

    with Api(Account(site.url, token)) as api, pytest.raises(Killed):
        our_tus.upload(file, api=api, on_progress=die, on_cut=lambda _r, _w: None)
    seen: list[int] = []
    with Api(Account(site.url, token)) as api:
        upload = our_tus.upload(
            file,
            api=api,
            on_progress=lambda done, _total: seen.append(done),
            on_cut=lambda _r, _w: None,
        )
    assert seen[0] > 3_000_000
    assert Upload.objects.count() == 1
    assert finished(upload, file)
