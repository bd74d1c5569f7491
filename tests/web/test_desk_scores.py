"""The desk's pages of scores: a re-score asked for, confirmed, published; queueing asks first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from challenge.models import Evaluation, Phase, Rescore, TaskSpec, User
from challenge.rules.roles import Role
from challenge.services.submissions import rescores
from tests import factories
from tests.factories import NOON
from tests.services.submissions.test_rescoring import (
    ALL_OF_A,
    ONLY_A,
    SOME_OF_BOTH,
    board,
    make_scored,
)
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults, sign_in_as

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with override_settings(EVIDENCE_DIR=tmp_path):
        yield tmp_path


@pytest.fixture
def phase(folder: Path) -> Phase:
    phase = factories.make_phase(
        factories.make_challenge(title={"en": "Land cover", "fr": "Occupation du sol"}),
        opens_at=NOON - timedelta(days=2),
        closes_at=timezone.now() + timedelta(days=30),
    )
    make_scored(phase, folder, "wide", SOME_OF_BOTH)
    make_scored(phase, folder, "narrow", ALL_OF_A)
    factories.make_task(phase.challenge, classes=ONLY_A)
    return phase


def signed_in(phase: Phase, role: Role = Role.OWNER) -> Client:
    client = Client()
    client.force_login(factories.make_organiser(phase.challenge, role=role))
    return client


def page(phase: Phase) -> str:
    return reverse("web:desk-rescore", args=[phase.challenge.slug, phase.slug])


def post(client: Client, phase: Phase, act: str, **fields: Any) -> Any:
    address = reverse("web:desk-rescore-act", args=[phase.challenge.slug, phase.slug, act])
    return client.post(address, fields, follow=True)


def work() -> None:
    claim = rescores.claim(worker="w")
    assert claim is not None
    rescores.work(claim, worker="w")


def wanted(phase: Phase, method: str = "evidence") -> dict[str, Any]:
    newest = TaskSpec.objects.latest("version")
    return {"labels": phase.ground_truth_id, "task": newest.pk, "method": method}


def test_an_owner_asks_sees_who_moves_and_publishes(phase: Phase) -> None:
    owner = signed_in(phase)
    assert (
        "a worker makes the preview"
        in post(owner, phase, "request", **wanted(phase)).content.decode()
    )
    work()
    shown = owner.get(page(phase)).content.decode()
    assert "2 scores from evidence" in shown
    row = Rescore.objects.get()
    assert row.digest in shown
    stale = post(owner, phase, "publish", digest="f" * 64).content.decode()
    assert "nothing was published" in stale
    post(owner, phase, "publish", digest=row.digest)
    work()
    assert board(phase) == [(1, "narrow", 1.0), (2, "wide", 0.67)]
    assert "published" in owner.get(page(phase)).content.decode()


def test_every_act_that_queues_asks_first_with_the_count(phase: Phase) -> None:
    owner = signed_in(phase)
    for act, fields in (("queue", {"which": "all"}), ("request", wanted(phase, "archives"))):
        Evaluation.objects.filter(state="queued").delete()
        asked = post(owner, phase, act, **fields)
        assert asked.status_code == 409
        assert ": 2. Left as they are" in asked.context["means"].replace(
            " (they wait already, are scored, or their archive was removed)", ""
        )
        assert not Evaluation.objects.filter(state="queued").exists()
        confirmed = asked.context["confirmation"]
        answer = post(owner, phase, act, **fields, confirmed=confirmed)
        assert answer.status_code == 200
        assert Evaluation.objects.filter(state="queued").count() == 2


def test_one_submission_and_what_failed(phase: Phase) -> None:
    judge = signed_in(phase, Role.JUDGE)
    first = phase.entries.get(team__name="wide").submissions.get()
    one = {"which": "one", "submission": str(first.pk)}
    asked = post(judge, phase, "queue", **one)
    assert asked.status_code == 409
    post(judge, phase, "queue", **one, confirmed=asked.context["confirmation"])
    assert Evaluation.objects.get(state="queued").submission == first
    assert post(judge, phase, "queue", which="one", submission="nonsense").status_code == 200
    Evaluation.objects.filter(state="queued").update(state="failed")
    assert "The 1 that failed" in judge.get(page(phase)).content.decode()
    asked = post(judge, phase, "queue", which="failed")
    post(judge, phase, "queue", which="failed", confirmed=asked.context["confirmation"])
    assert Evaluation.objects.get(state="queued").submission == first


@pytest.mark.parametrize(
    ("role", "allowed"), [(Role.JUDGE, {"queue"}), (Role.EDITOR, set()), (Role.OBSERVER, set())]
)
def test_what_a_role_does_not_allow_is_refused(phase: Phase, role: Role, allowed: set[str]) -> None:
    post(signed_in(phase), phase, "request", **wanted(phase))
    other = signed_in(phase, role)
    for act in ("request", "again", "publish", "missing", "give-up", "queue"):
        answer = post(other, phase, act, **wanted(phase))
        assert answer.status_code == (409 if act in allowed else 403), act


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_no_page_has_violations_overflows_or_console_errors(
    live_server: LiveServer,
    browser: Browser,
    phase: Phase,
    folder: Path,
    width_px: int,
    language: str,
    theme: str,
) -> None:
    owner = factories.make_organiser(phase.challenge, factories.make_user("olive"))
    make_scored(phase, folder, "Laboratoire de télédétection", SOME_OF_BOTH)
    (folder / "Laboratoire de télédétection").unlink()
    context, shown, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    sign_in_as(User.objects.get(pk=owner.pk), context, site=live_server.url)
    faults: list[str] = []
    scores = reverse("web:desk-scores", args=[phase.challenge.slug])
    for address in (scores, page(phase)):
        shown.goto(address)
        assert shown.locator("html").get_attribute("lang") == language
        faults += find_faults(shown, address, width_px=width_px)
    shown.locator("input[name=method]").first.check()
    shown.locator("form[action$='/request/'] button").click()
    work()
    shown.goto(page(phase))
    assert shown.locator("table tbody tr").count() == 3
    faults += find_faults(shown, "preview", width_px=width_px)
    shown.locator("form[action$='/missing/'] button").click()
    faults += find_faults(shown, "confirmation", width_px=width_px)
    shown.locator("button[name=confirmed]").click()
    assert Evaluation.objects.filter(state="queued").count() == 1
    assert faults == []
    # The page that asks is an answer 409, of which a browser complains.
    assert [line for line in complaints if "409" not in line] == []
    context.close()
