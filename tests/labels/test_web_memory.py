"""The web's memory holds no label while sealed masks pass through it, nor after."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import httpx
import pytest
from django.core.files.storage import default_storage
from pytest_django import Settings

from challenge.services.accounts import tokens
from challenge.services.labels import keys, label_jobs
from challenge.workers import labels as worker
from tests.labels.world import CANARY, LabelsWorld, masks_zip, sealed_masks
from tests.live_site import LiveSite
from tests.splits.world import PATCHES, mask

NAME = "masks-7f3a-of-autumn.zip"


def processes(master: int) -> list[int]:
    """Return a server's process and its children's."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text()
    return [master, *(int(one) for one in children.split())]


def found_in_memory(pid: int, wanted: list[bytes]) -> set[bytes]:
    """Return which of the byte strings are anywhere in a process's readable memory."""
    found: set[bytes] = set()
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            start, end = (int(one, 16) for one in span.split("-"))
            if rights[0] != "r" or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except (OSError, OverflowError):  # a mapping that is gone, or no memory
                continue
            found |= {one for one in wanted if one in content}
    return found


def test_no_label_is_in_the_memory_of_the_web(world: LabelsWorld, settings: Settings) -> None:
    keys.announce(keys.labels_key())
    _token, secret = tokens.create(
        user=world.owner, name="t", scopes=["read", "submit", "organise"]
    )
    # More than a segment, so that the sealed file is still on its way in the middle.
    content = masks_zip({"__MACOSX/noise": bytes(range(256)) * 9000})
    sealed = sealed_masks(content, uploader=world.owner.username)
    labels = [CANARY, *(mask(patch).tobytes() for patch in PATCHES)]
    storage = {"STORAGE_URL": f"file://{default_storage.path('')}"}
    uploads = {"UPLOADS_DIR": str(settings.UPLOADS_DIR)}
    site = LiveSite(world.folder, environment=storage | uploads)
    site.start()
    try:
        assert site.process is not None
        pids = processes(site.process.pid)
        assert len(pids) > 1
        names = {"filename": NAME, "purpose": "labels", "phase": "tiny/test"}
        encoded = ",".join(
            f"{key} {b64encode(one.encode()).decode()}" for key, one in names.items()
        )
        head = {"Authorization": f"Bearer {secret}", "Tus-Resumable": "1.0.0"}
        with httpx.Client(base_url=site.url, headers=head, timeout=60) as client:
            made = client.post(
                "/api/v1/uploads",
                headers={"Upload-Length": str(len(sealed)), "Upload-Metadata": encoded},
            )
            assert made.status_code == 201, made.text
            half = len(sealed) // 2
            for start, part in ((0, sealed[:half]), (half, sealed[half:])):
                sent = client.patch(
                    made.headers["Location"],
                    content=part,
                    headers={
                        "Upload-Offset": str(start),
                        "Content-Type": "application/offset+octet-stream",
                    },
                )
                assert sent.status_code == 204, sent.text
                seen = {one for pid in pids for one in found_in_memory(pid, [*labels, b"gunicorn"])}
                assert seen == {b"gunicorn"}, "the search itself finds what is there"
        upload = made.headers["Location"].rstrip("/").rpartition("/")[2]
        label_jobs.create(phase=world.phase, upload_id=upload, actor=world.owner)
        assert worker.install_labels() == 1
        assert httpx.get(f"{site.url}/challenges/tiny/").status_code == 200
        assert {one for pid in pids for one in found_in_memory(pid, labels)} == set()
    except PermissionError:
        pytest.skip("the memory of another process cannot be read here (ptrace_scope)")
    finally:
        site.stop()
