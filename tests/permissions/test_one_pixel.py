"""Two submissions that differ in one pixel look the same in every answer of an open phase."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.core import mail
from django.core.cache import cache
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from challenge.models import Evaluation, Score, Submission, WebhookDelivery
from challenge.services import maintenance
from challenge.services.accounts import accounts
from challenge.services.notifications import mails
from challenge.services.notifications import webhooks as webhook_service
from challenge.services.submissions import evaluations
from tests.factories import captain_of, give_score, make_archive, make_card, make_user, submit
from tests.permissions.world import (
    MIOU,
    TRUTH_PIXELS,
    Visitor,
    World,
    address,
    body_of,
    make_world,
    routes,
    visitor,
)

pytestmark = pytest.mark.django_db

SEEN_BY = ("anonymous", "rival", "captain", "organiser")
# The standing submissions of both teams have MIOU. One pixel more or less of a large test moves
# the figures by about this.
PIXEL = 1e-6
# Headers that say when an answer was made, or to which request.
CLOCK = ("Set-Cookie", "Date", "Expires", "X-Request-ID")
CSRF = re.compile(r'(csrfmiddlewaretoken" value="|X-CSRFToken&quot;: &quot;)[^"&]+')


@dataclass
class Scene:
    """Alpha stands with MIOU, Beta as well; Alpha's second submission waits for its verdict."""

    world: World
    second: Submission
    now: datetime
    visitors: dict[str, Visitor]
    operator: Visitor


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    world = make_world()
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    free = shutil.disk_usage("/")  # the page of health shows it, and other tests write meanwhile
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: free)
    rivals = world.people["rival"].memberships.get().team
    give_score(
        submit(rivals, world.phase, at=now - timedelta(minutes=50)),
        MIOU,
        at=now - timedelta(minutes=45),
    )
    webhook_service.create(
        user=world.people["organiser"],
        url="https://example.org/organisers",
        events=["submission.scored"],
        challenge=world.challenge,
    )
    second = submit(
        world.alpha,
        world.phase,
        at=now - timedelta(minutes=30),
        method="second try",
        archive=make_archive(b"other bytes"),
        mail_on_result=True,
    )
    visitors = {role: visitor(role, world) for role in SEEN_BY}
    for person in visitors.values():
        person.ask("GET", "/")  # whoever has a CSRF cookie has other ETags than who has none
    operator = Visitor(make_user("operator", is_superuser=True))
    operator.ask("GET", "/")
    return Scene(world, second, now, visitors, operator)


def one_pixel(change: int) -> dict[str, Any]:
    """A score card with ``change`` pixels more right than that of MIOU, all figures moved."""
    card = make_card(MIOU + change * PIXEL)
    right = [[TRUTH_PIXELS + change, 2, 1], [0, 12, 4], [0, 0, 0]]
    card["confusion"] = right
    card["overall_accuracy"] += change * PIXEL  # type: ignore[operator]
    card["mean_f1"] += change * PIXEL  # type: ignore[operator]
    for line in card["classes"]:
        for key in ("precision", "recall", "f1"):
            line[key] += change * PIXEL  # type: ignore[literal-required, operator]
    for domain in card["domains"].values():
        domain["confusion"] = right
    # The draw of the random rounding hangs on the digest alone: both runs draw alike, and as for
    # the submissions that stand.
    card["content_digest"] = make_card(MIOU)["content_digest"]
    return dict(card)


def sequences() -> dict[str, int | None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname || '.' || quote_ident(sequencename), last_value FROM pg_sequences"
        )
        return dict(cursor.fetchall())


def put_back(values: dict[str, int | None]) -> None:
    """Sequences do not roll back; keys of rows are to be the same in both runs."""
    with connection.cursor() as cursor:
        for name, value in values.items():
            cursor.execute("SELECT setval(%s, %s, %s)", [name, value or 1, value is not None])


def score_and_look(
    scene: Scene, change: int, look: Callable[[Scene], dict[str, str]]
) -> dict[str, str]:
    """Score the waiting submission, look, and undo it all."""
    before = sequences()
    cache.clear()
    mail.outbox.clear()
    try:
        with transaction.atomic():
            claim = evaluations.claim(worker="w", now=scene.now)
            assert claim is not None
            assert claim.submission_id == scene.second.pk
            evaluations.complete_scored(
                claim.evaluation_id,
                attempt=claim.attempt,
                card=one_pixel(change),  # type: ignore[arg-type]
                now=scene.now,
            )
            seen = look(scene)
            transaction.set_rollback(True)
        return seen
    finally:
        put_back(before)


def everything(scene: Scene) -> dict[str, str]:
    """Return every answer, header and message that anybody gets, by who and where."""
    maintenance.sweep(now=scene.now)
    seen: dict[str, str] = {}
    first, second = scene.world.submission, scene.second
    for role, person in scene.visitors.items():
        urls = set()
        for method, route in routes():
            if method == "GET":
                for pk in (first.pk, second.pk):
                    urls.add(
                        address(route, scene.world, pk=str(pk), submission_id=str(pk))
                        if "submission" in route
                        else address(route, scene.world)
                    )
        board = reverse("web:leaderboard", args=[scene.world.challenge.slug, "test"])
        urls |= {f"{board}?sort={key}" for key in ("rank", "team", "date", "entries", "a", "b")}
        urls |= {f"{board}?sort=a&up=1", f"{board}?q=second"}
        api = f"/api/v1/challenges/{scene.world.challenge.slug}/phases/test/leaderboard"
        urls |= {f"{api}?format=csv"}
        compare = reverse("web:submission", args=[second.pk])
        urls |= {f"{compare}?with={first.pk}"}
        asked = [(person, url) for url in sorted(urls)]
        if role == "organiser":
            asked += [(scene.operator, url) for url in sorted(admin_addresses())]
        for who, url in asked:
            answer = who.ask("GET", url)
            headers = {k: v for k, v in answer.headers.items() if k not in CLOCK}
            seen[f"{role} {url}"] = CSRF.sub(
                "", f"{answer.status_code} {headers}\n{body_of(answer)}"
            )
    for pk in (first.pk, second.pk):
        url = f"/api/v1/submissions/{pk}/archive"
        answer = scene.visitors["captain"].ask("DELETE", url)
        seen[f"captain DELETE {url}"] = f"{answer.status_code} {body_of(answer)}"
    seen["export"] = str(accounts.export(user=captain_of(scene.world.alpha)))
    mails.send_due(now=scene.now)
    seen["mails"] = "\n".join(f"{m.to} {m.subject} {m.body}" for m in mail.outbox)
    assert seen["mails"]
    news = WebhookDelivery.objects.filter(event="submission.scored").order_by("pk")
    seen["webhooks"] = "\n".join(f"{one.webhook_id} {one.payload}" for one in news)
    assert "miou" in seen["webhooks"]
    return seen


def admin_addresses() -> set[str]:
    """The operators' lists, those with values in every order, and their rows."""
    urls = set()
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        urls.add(reverse(f"{name}_changelist"))
        if model in (Evaluation, Score, Submission):
            urls |= {f"{reverse(f'{name}_changelist')}?o={column}" for column in range(1, 9)}
            keys = model._default_manager.values_list("pk", flat=True)
            urls |= {reverse(f"{name}_change", args=[pk]) for pk in keys}
    return urls


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    assert one.keys() == other.keys()
    return [where for where in one if one[where] != other[where]]


def test_one_pixel_more_or_less_changes_no_answer(scene: Scene) -> None:
    right = score_and_look(scene, 1, everything)
    wrong = score_and_look(scene, -1, everything)
    assert not differences(right, wrong)
    assert len(right) > 200


def test_the_comparison_sees_a_difference_that_shows(scene: Scene) -> None:
    def board(scene: Scene) -> dict[str, str]:
        url = reverse("web:leaderboard-json", args=[scene.world.challenge.slug, "test"])
        return {"board": body_of(scene.visitors["anonymous"].ask("GET", url))}

    worse = score_and_look(scene, -1, board)
    better = score_and_look(scene, 100_000, board)
    assert differences(worse, better) == ["board"]
