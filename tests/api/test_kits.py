"""Practice kits by API and by the command: told, fetched, resumed, checked by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from challenge.models import Phase, PracticeKit
from tests import factories
from tests.api.conftest import token_of
from tests.api.test_command import Terminal
from tests.live_site import LiveSite

pytestmark = pytest.mark.django_db(transaction=True)
CONTENT = bytes(range(256)) * 4096
URL = "/api/v1/challenges/kits/phases/practice/kit"


def publish(content: bytes = CONTENT, *, sha256: str = "") -> Phase:
    """A phase with a kit of these bytes."""
    phase = factories.make_phase(factories.make_challenge("kits"), "practice")
    PracticeKit.objects.create(
        phase=phase,
        stored_name=default_storage.save("kits/some.zip", ContentFile(content)),
        sha256=sha256 or hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        image_count=3,
        example_count=2,
        published_at=timezone.now(),
    )
    return phase


@pytest.fixture
def served(tmp_path: Path, transactional_db: None) -> Iterator[LiveSite]:
    storage = {"STORAGE_URL": f"file://{Path(default_storage.path(''))}"}
    site = LiveSite(tmp_path, environment=storage)
    site.start()
    yield site
    site.stop()


def test_a_kit_is_told_and_comes_whole_or_from_a_byte_on() -> None:
    phase = publish()
    user = factories.captain_of(factories.make_team(phase.challenge))
    client = Client(headers={"authorization": f"Bearer {token_of(user)}"})
    kit = client.get(URL).json()
    assert (kit["bytes"], kit["images"], kit["examples"]) == (len(CONTENT), 3, 2)
    assert kit["file_name"] == "kits-practice-kit.zip"
    assert kit["url"].endswith(f"{URL}/archive")
    whole = client.get(kit["url"])
    assert hashlib.sha256(whole.getvalue()).hexdigest() == kit["sha256"]
    rest = client.get(kit["url"], headers={"Range": "bytes=1000000-"})
    assert (rest.status_code, rest.getvalue()) == (206, CONTENT[1000000:])
    last = len(CONTENT) - 1
    assert rest.headers["Content-Range"] == f"bytes 1000000-{last}/{len(CONTENT)}"
    beyond = client.get(kit["url"], headers={"Range": f"bytes={len(CONTENT)}-"})
    assert beyond.status_code == 416
    PracticeKit.objects.all().delete()
    assert client.get(URL).status_code == 404


def test_the_command_resumes_a_kit_and_checks_it(served: LiveSite, tmp_path: Path) -> None:
    phase = publish()
    user = factories.captain_of(factories.make_team(phase.challenge))
    home = tmp_path / "home"
    home.mkdir()
    flair = Terminal(home, served.url)
    flair.run("login", "--server", served.url, "--token", token_of(user))
    digest = hashlib.sha256(CONTENT).hexdigest()
    draft = home / f"kits-practice-kit.zip.{digest[:12]}.part"
    draft.write_bytes(CONTENT[:700000])
    flair.run("download", "kit", "kits/practice")
    assert (home / "kits-practice-kit.zip").read_bytes() == CONTENT
    assert [path.name for path in home.glob("*.zip*")] == ["kits-practice-kit.zip"]
    draft.write_bytes(b"!" + CONTENT[1:700000])
    said = flair.run("download", "kit", "kits/practice", "--force", code=3)
    assert digest in said.stdout + said.stderr
    flair.run("download", "kit", "kits/practice", "--force")
    assert (home / "kits-practice-kit.zip").read_bytes() == CONTENT
