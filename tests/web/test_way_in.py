"""The way in, on a real site: the command it serves, and a newcomer's way to a first score."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from playwright.sync_api import Browser, Locator, expect
from pytest_django import DjangoDbBlocker

from challenge.models import GroundTruth, Phase
from challenge.services import client_wheel
from tests import factories
from tests.live_site import LiveSite, collect_static_files
from tests.web.browser import open_page
from tests.web.conftest import Visit
from tests.workers.real import Worker, make_real_phase

# Marked so that the test database is made; what the server is to see is committed.
pytestmark = pytest.mark.django_db
PATCHES = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("way-in")


@pytest.fixture(scope="module")
def site(
    folder: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[LiveSite]:
    """A demonstration's site with one phase on public labels and a worker; flushed at the end."""
    storage = Path(default_storage.path(""))
    mails = {"EMAIL_URL": f"file://{folder / 'mails'}", "DEMO_MAILS_DIR": str(folder / "mails")}
    static = collect_static_files(folder / "static")
    live = LiveSite(folder, {"STORAGE_URL": f"file://{storage}", **mails, **static})
    worker = Worker(folder / "labels")
    with django_db_blocker.unblock():
        try:
            phase = make_real_phase(folder / "labels", patches=PATCHES)
            Phase.objects.filter(pk=phase.pk).update(labels_public=True)
            GroundTruth.objects.update(labels_public=True)
            for slug in ("overview", "rules"):
                for language in ("en", "fr"):
                    phase.challenge.pages.create(
                        slug=slug, language=language, title=slug, markdown="Be kind."
                    )
            worker.start()
            live.start()
            yield live
        finally:
            live.stop()
            worker.stop()
            call_command("flush", interactive=False, verbosity=0)


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pip_installs_the_command_from_the_site(site: LiveSite, folder: Path) -> None:
    """By the line that pages show; what it needs besides is that of the development environment."""
    environment = folder / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=folder)
    python = environment / "bin" / "python"
    address = f"{site.url}/client/{client_wheel.build().file_name}"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps")

    run(*pip, "--disable-pip-version-check", address, cwd=folder)

    needed = {"PYTHONPATH": sysconfig.get_path("purelib"), "FLAIR_LANG": "en"}
    asked = "import scoring.client; print(scoring.client.__file__)"
    assert run(python, "-c", asked, cwd=folder, **needed).startswith(str(environment))
    flair = environment / "bin" / "flair"
    assert run(flair, "--version", cwd=folder, **needed).startswith("flair ")
    listed = run(flair, "phases", "--server", site.url, cwd=folder, **needed)
    assert "abc/test" in listed
    assert "open" in listed


def test_the_wheel_says_what_it_needs_and_no_site(visit: Visit) -> None:
    made = client_wheel.build()
    answer = visit().get(f"/client/{made.file_name}")
    assert answer.content == made.content
    assert visit().get("/client/flair_client-0.0.1-py3-none-any.whl").status_code == 404
    version, needed = client_wheel._project()
    assert made.file_name.startswith(f"flair_client-{version}+")
    assert [line for line in needed if line.startswith("httpx")]
    assert not [line for line in needed if line.startswith("django")]


def test_the_page_of_tokens_ends_with_the_line_that_logs_in(visit: Visit) -> None:
    page = visit(factories.make_user()).get("/account/tokens/").content.decode()
    assert client_wheel.install_command().replace('"', "&quot;") in page
    assert f">{client_wheel.login_command()}<" in page


@pytest.mark.parametrize(
    ("language", "take_part", "sign_up", "confirm", "accept", "join", "sample", "scored"),
    [
        (
            "en", "Take part in abc", "Sign up", "Confirm",
            "I have read the rules and accept them.", "Take part", "A valid sample zip",
            "Class by class",
        ),
        (
            "fr", "Participer à abc", "S’inscrire", "Confirmer",
            "J’ai lu le règlement et je l’accepte.", "Participer", "Un zip d’exemple valide",
            "Classe par classe",
        ),
    ],
)  # fmt: skip
def test_a_newcomer_reaches_a_score_in_eight_clicks_on_a_phone(
    site: LiveSite, browser: Browser, folder: Path, language: str, take_part: str, sign_up: str,
    confirm: str, accept: str, join: str, sample: str, scored: str,
) -> None:  # fmt: skip
    """Every click on the site counts, and the one in the mail; the file comes from the site."""
    context, page, complaints = open_page(browser, site.url, width_px=390, language=language)
    clicks = 0

    def click(target: Locator) -> None:
        nonlocal clicks
        clicks += 1
        target.click()

    page.goto("/")
    click(page.get_by_role("link", name=take_part))
    page.fill("[name=email]", f"walker-{language}@example.org")
    page.fill("[name=username]", f"walker-{language}")
    page.fill("[name=password1]", "correct-horse-7")
    page.fill("[name=password2]", "correct-horse-7")
    click(page.locator("main").get_by_role("button", name=sign_up))
    page.wait_for_url("**/accounts/confirm-email/")  # the mail is written before the answer
    page.goto("/demo/mails/")
    click(page.locator(".mail-text a[href*=confirm-email]").first)
    click(page.get_by_role("button", name=confirm))
    click(page.get_by_label(accept))
    click(page.get_by_role("button", name=join))
    expect(page.locator("#first-steps")).to_be_visible()
    field = page.locator("input[name=archive]")
    box, kit = field.bounding_box(), page.locator("#kit").bounding_box()
    assert box is not None
    assert kit is not None
    assert box["y"] < kit["y"]
    with page.expect_download() as fetched:
        click(page.get_by_role("link", name=sample).first)
    archive = folder / f"sample-{language}.zip"
    fetched.value.save_as(archive)
    field.set_input_files(archive)
    page.fill("[name=method_name]", "Sample")
    expect(page.locator("[data-report-body]")).to_be_visible()
    click(page.locator("[data-send]"))
    page.wait_for_url("**/submissions/**")
    expect(page.locator("#classes")).to_have_text(scored)
    assert clicks == 8

    page.go_back()
    page.goto(page.url)
    expect(page.locator(".checklist li.done")).to_have_count(3)
    assert complaints == []
    context.close()
