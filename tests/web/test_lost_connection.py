"""An upload whose connection breaks, in a real browser: it goes on, also after coming back.

Between browser and server stands a cable of our own (a TCP relay) that is slow, can be cut with all
that is under way on it, and mended.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.core.management import call_command
from playwright.sync_api import Browser, Dialog, Page, Route, expect
from pytest_django import DjangoDbBlocker

from challenge.models import Submission, Upload
from tests.helpers import run_in_threads
from tests.live_site import LiveSite, free_port
from tests.web import archives, seed
from tests.web.browser import open_page, sign_in

pytestmark = pytest.mark.django_db

SUBMIT = "/challenges/flair-1/practice/submit/"
PIECE_BYTES = 8192


class Cable:
    """A TCP relay to a port of this machine."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self.bytes_per_s = 1e9
        self.open: set[socket.socket] = set()
        self.whole = threading.Event()
        self.whole.set()
        self.server = socket.socket()
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # a narrow one: what the browser has sent must not wait in buffers by the megabyte
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE_BYTES)
        self.server.bind(("127.0.0.1", port))
        self.server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection; new ones end as soon as they are made."""
        self.whole.clear()
        for one in list(self.open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self.whole.set()

    def close(self) -> None:
        self.cut()
        self.server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _address = self.server.accept()
            except OSError:
                return
            if not self.whole.is_set():
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.target))
            self.open |= {near, far}
            for ends in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._relay, args=ends, daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                if up:
                    time.sleep(len(piece) / self.bytes_per_s)
                sink.sendall(piece)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
            self.open.discard(one)


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    made = Cable(free_port(), free_port())
    yield made
    made.close()


@pytest.fixture(scope="module")
def archive(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    cable: Cable,
) -> Iterator[Path]:
    """A valid archive for the practice phase of a served site that Ada takes part in."""
    folder = tmp_path_factory.mktemp("cable")
    site = LiveSite(
        folder,
        environment={"SITE_URL": f"http://127.0.0.1:{cable.port}"},
        port=cable.target,
    )
    with django_db_blocker.unblock():
        try:
            phase = seed.populate(teams=5)
            practice = phase.challenge.phases.get(slug="practice")
            site.start()
            # large beside what the machine's own buffers take up
            yield archives.make_huge_zip(
                folder / "predictions.zip", [row[0] for row in practice.public_patches]
            )
        finally:
            site.stop()
            call_command("flush", interactive=False, verbosity=0)


def delete_what_ada_sent() -> None:
    Submission.objects.filter(upload__user__username="ada").delete()
    Upload.objects.filter(user__username="ada").delete()


@pytest.fixture
def page(archive: Path, cable: Cable, browser: Browser) -> Iterator[Page]:
    """Ada on the upload page, her archive chosen and found good; she has not sent it before."""
    run_in_threads(delete_what_ada_sent, count=1)
    cable.mend()
    cable.bytes_per_s = 1e9
    context, page, _complaints = open_page(browser, f"http://127.0.0.1:{cable.port}")
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto(SUBMIT)
    choose(page, archive)
    yield page
    context.close()


def choose(page: Page, archive: Path) -> None:
    page.set_input_files("input[name=archive]", archive)
    expect(page.locator("[data-report-body]")).to_contain_text("Nothing that would be rejected")


def send_slowly(page: Page, cable: Cable, archive: Path, *, method: str) -> None:
    """Press Submit and wait until a part of the archive is under way."""
    cable.bytes_per_s = archive.stat().st_size / 8
    page.get_by_label("Method", exact=True).fill(method)
    page.locator("[data-send]").click()
    expect(page.locator("[data-progress-text]")).to_contain_text("a second")
    page.wait_for_timeout(2500)


def test_it_goes_on_when_the_connection_is_back(page: Page, cable: Cable, archive: Path) -> None:
    send_slowly(page, cable, archive, method="Through the tunnel")
    cable.cut()
    text = page.locator("[data-progress-text]")
    expect(text).to_have_text("The connection is lost; trying again.")
    page.get_by_role("button", name="Pause").click()
    expect(text).to_have_text("Paused")
    cable.mend()
    cable.bytes_per_s = 1e9
    page.get_by_role("button", name="Resume").click()
    page.wait_for_url("**/submissions/**")
    expect(page.locator("h1")).to_contain_text("Through the tunnel")
    assert Submission.objects.get(method_name="Through the tunnel").archive_bytes == (
        archive.stat().st_size
    )


def test_a_returning_visitor_sends_only_the_missing_bytes(
    page: Page, cable: Cable, archive: Path
) -> None:
    send_slowly(page, cable, archive, method="Twice")
    cable.cut()
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    page.wait_for_timeout(300)
    cable.mend()
    page.goto("/challenges/flair-1/")
    assert asked == ["beforeunload"]
    page.goto(SUBMIT)
    stopped = page.locator("p[data-stopped]")
    expect(stopped).to_contain_text("predictions.zip was not sent to its end")
    begun = page.evaluate("Object.values(localStorage).map(JSON.parse)[0].uploadUrl")
    head = page.request.fetch(begun, method="HEAD", headers={"Tus-Resumable": "1.0.0"})
    assert 0 < int(head.headers["upload-offset"]) < archive.stat().st_size
    # another phase does not take up what was begun for this one
    page.goto(SUBMIT.replace("practice", "test"))
    page.wait_for_load_state("networkidle")
    expect(stopped).to_be_hidden()

    page.goto(SUBMIT)
    cable.bytes_per_s = 1e9
    choose(page, archive)
    page.get_by_label("Method", exact=True).fill("Twice")
    sent: list[str] = []
    page.on("request", lambda one: sent.append(f"{one.method} {one.url}"))
    page.locator("[data-send]").click()
    page.wait_for_url("**/submissions/**")
    assert f"PATCH {begun}" in sent
    assert not [one for one in sent if one.startswith("POST") and one.endswith("/uploads")]


def test_the_page_warns_when_it_would_arrive_too_late(
    page: Page, cable: Cable, archive: Path
) -> None:
    late = page.locator("p[data-late]")
    page.locator("[data-submit]").evaluate(
        "form => { form.dataset.closes = new Date(Date.now() + 3000).toISOString(); }"
    )
    send_slowly(page, cable, archive, method="Too late")
    expect(late).to_be_visible()
    cable.bytes_per_s = 1e9
    page.wait_for_url("**/submissions/**")


def fill_and_send(page: Page, method: str) -> None:
    page.get_by_label("Method", exact=True).fill(method)
    page.locator("[data-send]").click()


def refuse_posts(route: Route) -> None:
    if route.request.method == "POST":
        route.abort("internetdisconnected")
    else:
        route.continue_()


def count_uploads() -> int:
    return Upload.objects.filter(user__username="ada").count()


def test_the_last_step_is_tried_again_until_the_server_answers(page: Page) -> None:
    text = page.locator("[data-progress-text]")
    page.route(f"**{SUBMIT}", refuse_posts)
    fill_and_send(page, "Offline at the end")
    expect(text).to_contain_text("has arrived, but the server cannot be reached")
    page.unroute(f"**{SUBMIT}")
    page.wait_for_url("**/submissions/**")
    expect(page.locator("h1")).to_contain_text("Offline at the end")


def test_a_lost_answer_leads_to_the_submission_that_was_made(page: Page) -> None:
    answered: list[int] = []

    def lose_first_answer(route: Route) -> None:
        answer = route.fetch()
        answered.append(answer.status)
        if len(answered) == 1:
            route.abort("connectionreset")
        else:
            route.fulfill(response=answer)

    page.route(f"**{SUBMIT}", lose_first_answer)
    fill_and_send(page, "Answer lost")
    page.wait_for_url("**/submissions/**")
    assert answered == [201, 201]
    assert Submission.objects.filter(method_name="Answer lost").count() == 1


def test_who_was_signed_out_meanwhile_submits_what_has_arrived(page: Page) -> None:
    text = page.locator("[data-progress-text]")
    before = count_uploads()

    attempts: list[str] = []

    def sign_out_first(route: Route) -> None:
        attempts.append(route.request.method)
        if len(attempts) == 1:
            page.context.clear_cookies()
            route.abort("connectionreset")  # the next attempt has no cookies
        else:
            route.continue_()

    page.route(f"**{SUBMIT}", sign_out_first)
    fill_and_send(page, "Signed out")
    expect(text).to_contain_text("has arrived, but you are signed out")
    with page.context.expect_page() as opened:
        text.get_by_role("link", name="Sign in").click()
    second = opened.value
    second.fill("[name=login]", "ada@example.org")
    second.fill("[name=password]", seed.PASSWORD)
    second.locator("main form button").click()
    second.wait_for_url(f"**{SUBMIT}")
    expect(second.locator("[data-submit]")).to_contain_text("predictions.zip")
    expect(second.get_by_role("button", name="Submit this archive").first).to_be_enabled()
    second.close()

    page.locator("[data-send]").click()
    page.wait_for_url("**/submissions/**")
    expect(page.locator("h1")).to_contain_text("Signed out")
    assert count_uploads() == before + 1


def test_an_upload_that_arrived_is_offered_until_it_is_submitted(page: Page) -> None:
    page.route(f"**{SUBMIT}", refuse_posts)
    fill_and_send(page, "Never mind")
    text = page.locator("[data-progress-text]")
    expect(text).to_contain_text("has arrived, but the server")
    page.goto("/challenges/flair-1/")
    page.unroute(f"**{SUBMIT}")
    page.goto(SUBMIT)
    page.get_by_label("Method", exact=True).fill("From the list")
    newest = page.get_by_role("button", name="Submit this archive").first
    upload = newest.get_attribute("value")
    newest.click()
    page.wait_for_url("**/submissions/**")
    expect(page.locator("h1")).to_contain_text("From the list")
    page.goto(SUBMIT)
    expect(page.locator(f"button[value='{upload}']")).to_have_count(0)
    assert not Submission.objects.filter(method_name="Never mind").exists()


def test_the_same_archive_again_is_asked_about(page: Page, archive: Path) -> None:
    fill_and_send(page, "The first time")
    page.wait_for_url("**/submissions/**")
    page.goto(SUBMIT)
    choose(page, archive)
    expect(page.get_by_label("Submit the same archive again")).to_be_hidden()
    fill_and_send(page, "The second time")
    text = page.locator("[data-progress-text]")
    expect(text).to_contain_text("Your team submitted this very archive before")
    before = count_uploads()
    page.get_by_label("Submit the same archive again").check()
    page.locator("[data-send]").click()
    page.wait_for_url("**/submissions/**")
    expect(page.locator("h1")).to_contain_text("The second time")
    assert count_uploads() == before


def test_a_refusal_after_the_upload_keeps_it(page: Page) -> None:
    page.get_by_text("More about the method").click()
    page.locator("[name=code_url]").evaluate("field => { field.type = 'text'; }")
    page.locator("[name=code_url]").fill("not an address")
    before = count_uploads()
    fill_and_send(page, "Wrong address")
    text = page.locator("[data-progress-text]")
    expect(text).to_contain_text("it was not submitted")
    expect(text).to_contain_text("Code")
    page.locator("[name=code_url]").fill("https://example.org/code")
    page.locator("[data-send]").click()
    page.wait_for_url("**/submissions/**")
    assert count_uploads() == before + 1


def test_a_session_that_ends_during_the_upload_is_said_in_words_of_the_page(
    page: Page, cable: Cable, archive: Path
) -> None:
    page.context.clear_cookies()
    fill_and_send(page, "Expired")
    text = page.locator("[data-progress-text]")
    expect(text).to_contain_text("You are signed out. Sign in in another tab")
    expect(text).not_to_contain_text("Bearer")
    expect(page.locator("button[data-pause]")).to_be_hidden()
    second = page.context.new_page()
    sign_in(second, "ada@example.org", seed.PASSWORD)
    second.close()
    page.locator("[data-send]").click()
    page.wait_for_url("**/submissions/**")
    expect(page.locator("h1")).to_contain_text("Expired")


def test_going_back_after_a_submission_shows_a_page_that_works(page: Page) -> None:
    fill_and_send(page, "Back")
    page.wait_for_url("**/submissions/**")
    page.go_back()
    page.wait_for_url(f"**{SUBMIT}")
    expect(page.locator("[data-send]")).to_be_visible()
    expect(page.locator("input[name=archive]")).to_be_enabled()
    # as a browser does that kept the page in memory
    page.evaluate("document.querySelector('[data-send]').hidden = true")
    with page.expect_navigation():
        page.evaluate(
            "window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
        )
    expect(page.locator("[data-send]")).to_be_visible()
