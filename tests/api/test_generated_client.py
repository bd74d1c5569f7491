"""A client that a public generator makes from our document submits and reads a score."""

from __future__ import annotations

import importlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from challenge.embedded.data_folder import ROOT
from challenge.models import Submission
from tests import factories
from tests.api.conftest import build_world, token_of
from tests.live_site import LiveSite


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The generated package, made without a single warning."""
    folder = tmp_path_factory.mktemp("generated")
    command = shutil.which("openapi-python-client", path=str(Path(sys.executable).parent))
    assert command, "openapi-python-client is missing: make install"
    config = folder / "config.yaml"
    # The generator knows neither tus's own content type for bytes nor those of files.
    config.write_text(
        "content_type_overrides:\n"
        "  application/offset+octet-stream: application/octet-stream\n"
        "  application/zip: application/octet-stream\n"
        "  application/pdf: application/octet-stream\n"
        "  application/x-latex: text/plain\n"
        "post_hooks: []\n",
        encoding="utf-8",
    )
    result = subprocess.run(
        [
            *(
                command,
                "generate",
                "--config",
                str(config),
                "--path",
                str(ROOT / "docs" / "openapi.json"),
            ),
            *("--output-path", str(folder / "flair_api"), "--meta", "none", "--fail-on-warning"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=folder,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    sys.path.insert(0, str(folder))
    yield importlib.import_module("flair_api")
    sys.path.remove(str(folder))


def test_it_submits_and_reads_a_score(generated: Any, site: LiveSite) -> None:
    world = build_world()
    token = token_of(world.captain)
    with generated.AuthenticatedClient(base_url=site.url, token=token) as client:
        submit_and_read(client)


def submit_and_read(client: Any) -> None:
    def call(package: str, name: str) -> Any:
        return importlib.import_module(f"flair_api.api.{package}.{name}")

    models = importlib.import_module("flair_api.models")
    created = call("uploads", "upload_create").sync_detailed(
        client=client, tus_resumable=models.UploadCreateTusResumable("1.0.0"), upload_length=7
    )
    assert created.status_code == 201
    upload = UUID(created.headers["Location"].rsplit("/", 1)[-1])
    types = importlib.import_module("flair_api.types")
    sent = call("uploads", "upload_append").sync_detailed(
        upload,
        client=client,
        body=types.File(payload=io.BytesIO(b"PK zip!")),
        tus_resumable=models.UploadAppendTusResumable("1.0.0"),
        upload_offset=0,
    )
    assert sent.status_code == 204
    body = models.SubmissionIn(phase="abc/test", upload=upload, method_name="generated")
    submission = call("submissions", "create_submission").sync(client=client, body=body)
    assert isinstance(submission, models.SubmissionOut)
    assert submission.state == "queued"

    factories.give_score(Submission.objects.get(id=submission.id), 0.625)
    score = call("submissions", "get_score").sync(submission.id, client=client)
    assert isinstance(score, models.ScoreOut)
    assert score.miou == 0.625
    board = call("phases", "get_leaderboard").sync("abc", "test", client=client)
    assert isinstance(board, models.BoardOut)
    assert board.rows[0].team == "Alpha"
    problem = call("submissions", "create_submission").sync(client=client, body=body)
    assert isinstance(problem, models.Problem)
    assert problem.code == "upload-used"


def test_curl_is_enough(site: LiveSite, tmp_path: Path) -> None:
    """What docs/participants.md shows with curl, as a shell runs it."""
    curl = shutil.which("curl")
    assert curl, "curl is missing"
    world = build_world()
    token = token_of(world.captain)
    (tmp_path / "p.zip").write_bytes(b"PK zip!")

    def run(*words: str) -> str:
        command = [curl, "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {token}", *words]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    tus = ("-H", "Tus-Resumable: 1.0.0")
    head = run("-i", "-X", "POST", *tus, "-H", "Upload-Length: 7", f"{site.url}/api/v1/uploads")
    location = next(
        line.split()[1] for line in head.splitlines() if line.lower().startswith("location:")
    )
    run(
        *("-X", "PATCH", *tus, "-H", "Upload-Offset: 0"),
        *("-H", "Content-Type: application/offset+octet-stream"),
        *("--data-binary", "@p.zip", location),
    )
    body = {"phase": "abc/test", "upload": location.rsplit("/", 1)[-1], "method_name": "curl"}
    answer = run(
        *("-H", "Content-Type: application/json", "-d", json.dumps(body)),
        f"{site.url}/api/v1/submissions",
    )
    assert json.loads(answer)["state"] == "queued"


def test_two_submits_of_one_upload_at_once_give_one_submission(site: LiveSite) -> None:
    import threading

    world = build_world()
    before = Submission.objects.count()
    headers = {"Authorization": f"Bearer {token_of(world.captain)}", "Tus-Resumable": "1.0.0"}
    with httpx.Client(base_url=f"{site.url}/api/v1/", headers=headers) as client:
        created = client.post(
            "uploads",
            headers={
                "Upload-Length": "2",
                "Content-Type": "application/offset+octet-stream",
            },
            content=b"PK",
        )
        upload = created.headers["Location"].rsplit("/", 1)[-1]
        body = {"phase": "abc/test", "upload": upload, "method_name": "twice"}
        statuses: list[int] = []

        def send() -> None:
            statuses.append(client.post("submissions", json=body).status_code)

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(statuses) == [201, 409, 409, 409]
    assert Submission.objects.count() == before + 1
