"""The desk by the API, with a real HTTP client: each act, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone
from pytest_django import Settings

from challenge.models import (
    AuditEvent,
    Challenge,
    Grant,
    Invitation,
    MessageDelivery,
    Phase,
    RankLine,
    Registration,
    TeamDisqualification,
    User,
)
from challenge.rules.roles import Role
from challenge.services.challenges import roles
from tests import factories
from tests.api.conftest import World, build_world, caller, token_of
from tests.live_site import LiveSite


@dataclass
class Desk:
    """A person with a token at the desk of a challenge."""

    url: str
    headers: dict[str, str]

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return the status and the answer."""
        answer = httpx.request(method, self.url + path, json=body, headers=self.headers, timeout=30)
        return answer.status_code, answer.json()

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """Return the answer of what must succeed."""
        status, answer = self.ask(method, path, body)
        assert status == 200, answer
        return answer

    def code(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Return status and code of what must be refused."""
        status, answer = self.ask(method, path, body)
        assert status >= 400, answer
        return status, answer["code"]


@pytest.fixture
def scene(site: LiveSite) -> tuple[LiveSite, World]:
    return site, build_world()


def desk_of(
    scene: tuple[LiveSite, World], person: User | None = None, scopes: list[str] | None = None
) -> Desk:
    site, world = scene
    token = token_of(person or world.organiser, scopes or ["organise"])
    base = f"{site.url}/api/v1/organise/challenges/{world.challenge.slug}"
    return Desk(base, {"Authorization": f"Bearer {token}"})


def test_roles_are_invited_changed_and_revoked(scene: tuple[LiveSite, World]) -> None:
    _site, world = scene
    desk, judge = desk_of(scene), factories.make_user("judy")
    invited = desk.done("POST", "/role-invitations", {"email": "judy@example.org", "role": "judge"})
    again = {"email": "judy@example.org", "role": "editor"}
    assert desk.code("POST", "/role-invitations", again) == (409, "invitation-open")
    assert desk.code("POST", "/role-invitations", {"email": "x", "role": "judge"}) == (
        422,
        "email-invalid",
    )
    past = {"email": "a@example.org", "role": "judge", "expires_at": "2001-01-01T00:00:00Z"}
    assert desk.code("POST", "/role-invitations", past) == (422, "role-expiry-invalid")
    number = {**past, "expires_at": 1_900_000_000}
    assert desk.code("POST", "/role-invitations", number) == (422, "request-invalid")
    listed = desk.done("GET", "/roles")
    assert [one["username"] for one in listed["items"]] == ["olga"]
    assert [one["id"] for one in listed["invitations"]] == [invited["id"]]
    token = Invitation.objects.get(pk=invited["id"]).mail_token
    roles.accept(token=token, user=judge)
    until = (timezone.now() + timedelta(days=9)).isoformat()
    changed = desk.done("PATCH", "/roles/judy", {"role": "editor", "expires_at": until})
    assert (changed["role"], changed["granted_by"]) == ("editor", "olga")
    editor = desk_of(scene, judge)
    assert editor.done("GET", "/roles")["invitations"] is None
    assert editor.code("PATCH", "/roles/judy", {"role": "owner"}) == (403, "role-missing")
    assert editor.code("DELETE", "/roles/olga") == (403, "role-missing")
    assert desk.code("DELETE", "/roles/olga") == (409, "last-owner")
    assert desk.code("PATCH", "/roles/olga", {"role": "judge"}) == (409, "last-owner")
    assert desk.code("PATCH", "/roles/ada", {"role": "judge"}) == (404, "not-found")
    editor.done("DELETE", "/roles/judy")  # one's own
    assert editor.code("GET", "/roles") == (403, "not-organiser")
    other = desk.done("POST", "/role-invitations", {"email": "b@example.org", "role": "owner"})
    desk.done("DELETE", f"/role-invitations/{other['id']}")
    assert desk.code("DELETE", f"/role-invitations/{other['id']}") == (404, "not-found")
    acts = AuditEvent.objects.filter(challenge=world.challenge, action__startswith="role.")
    assert list(acts.order_by("pk").values_list("action", flat=True)) == [
        *("role.invite", "role.accept", "role.change", "role.leave"),
        *("role.invite", "role.withdraw-invitation"),
    ]


def test_a_token_to_read_is_refused_and_so_is_an_owner_without_a_second_factor(
    world: World, settings: Settings
) -> None:
    base = f"/organise/challenges/{world.challenge.slug}"
    refused = caller(world.organiser, ["read", "submit"]).get(f"{base}/roles")
    assert (refused.status_code, refused.json()["code"]) == (403, "token-scope-missing")
    settings.SECOND_FACTOR_REQUIRED = True
    olga = caller(world.organiser, ["organise"])
    assert olga.get(f"{base}/roles").status_code == 200
    for method, path, body in (
        ("POST", "/role-invitations", {"email": "a@example.org", "role": "judge"}),
        ("POST", f"/teams/{world.team.pk}/disqualify", {"reason": "r"}),
        ("PATCH", "/phases/test", {"changes": {"sort_order": 1}}),
        ("PATCH", "/admission", {"approval_required": True}),
    ):
        answer = olga.call(method, base + path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "second-factor-missing"), path


def test_registrations_are_admitted_by_a_list(scene: tuple[LiveSite, World]) -> None:
    _site, world = scene
    desk = desk_of(scene)
    desk.done("PATCH", "/admission", {"approval_required": True})
    world.challenge.refresh_from_db()
    factories.register(factories.make_user("nina"), world.challenge)
    waiting = Registration.objects.get(user__username="nina")
    assert waiting.state == Registration.State.PENDING
    text = "email;name\n@ign.fr;\nbob@example.org;Bob\nnobody;x\n"
    report = desk.done("POST", "/admission/check", {"entries": text})
    assert report["new"] == ["@ign.fr", "bob@example.org"]
    assert report["bad"] == [{"line": 4, "found": "nobody"}]
    assert desk.code("POST", "/admission", {"entries": text}) == (422, "admission-line-invalid")
    assert desk.code("POST", "/admission", {"entries": "#"}) == (422, "admission-empty")
    assert desk.done("POST", "/admission", {"entries": "@ign.fr"}) == {"added": 1, "approved": 0}
    listed = desk.done("GET", "/admission")
    assert (listed["approval_required"], listed["items"][0]["value"]) == (True, "@ign.fr")
    desk.done("DELETE", f"/admission/{listed['items'][0]['id']}")
    assert desk.code("DELETE", f"/admission/{listed['items'][0]['id']}") == (404, "not-found")
    desk.done("POST", f"/registrations/{waiting.pk}", {"approved": True})
    waiting.refresh_from_db()
    assert waiting.state == Registration.State.APPROVED


def test_a_team_is_disqualified_reinstated_and_granted_more(
    scene: tuple[LiveSite, World],
) -> None:
    _site, world = scene
    desk, team = desk_of(scene), f"/teams/{world.team.pk}"
    lines = RankLine.objects.filter(entry__team=world.team)
    assert lines.exists()
    assert desk.code("POST", f"{team}/disqualify", {"reason": " "}) == (422, "reason-missing")
    assert desk.code("POST", f"{team}/reinstate", {}) == (409, "team-not-disqualified")
    desk.done("POST", f"{team}/disqualify", {"reason": "Two accounts."})
    assert not lines.exists()
    assert desk.code("POST", f"{team}/disqualify", {"reason": "r"}) == (
        409,
        "team-already-disqualified",
    )
    listed = desk.done("GET", "/teams?only=disqualified")["items"]
    assert [(one["name"], one["submission_count"]) for one in listed] == [("Alpha", 2)]
    desk.done("POST", f"{team}/reinstate", {"reason": "A mistake."})
    assert lines.exists()
    assert TeamDisqualification.objects.get().lifted_reason == "A mistake."
    assert desk.code("POST", "/teams/999999/disqualify", {"reason": "r"}) == (404, "not-found")

    until = (timezone.now() + timedelta(days=40)).isoformat()
    wanted = {"phase": "test", "until": until, "reason": "An outage."}
    assert desk.code("POST", f"{team}/grants", wanted) == (422, "grant-empty")
    early = wanted | {"late": True, "until": (timezone.now() + timedelta(days=1)).isoformat()}
    assert desk.code("POST", f"{team}/grants", early) == (422, "grant-late-before-close")
    past = wanted | {"extra_places": 1, "until": "2001-01-01T00:00:00Z"}
    assert desk.code("POST", f"{team}/grants", past) == (422, "grant-until-invalid")
    assert desk.code("POST", f"{team}/grants", wanted | {"phase": "none"}) == (404, "not-found")
    granted = desk.done("POST", f"{team}/grants", wanted | {"late": True, "extra_places": 2})
    assert (granted["late"], granted["extra_places"]) == (True, 2)
    assert [one["id"] for one in desk.done("GET", f"{team}/grants")["items"]] == [granted["id"]]
    desk.done("DELETE", f"/grants/{granted['id']}")
    assert Grant.objects.get().withdrawn_at is not None
    assert desk.code("DELETE", f"/grants/{granted['id']}") == (409, "grant-over")


def test_a_message_is_previewed_tried_sent_and_looked_up(scene: tuple[LiveSite, World]) -> None:
    _site, world = scene
    desk = desk_of(scene)
    User.objects.filter(username="bob").update(mail_on_message=False)
    texts = {"subject": {"en": "News"}, "body": {"en": "A new test set."}}
    shown = desk.done("POST", "/messages/preview", texts)
    assert (shown["recipients"], shown["opted_out"]) == (1, 1)
    assert "A new test set." in shown["mails"][0]["text"]
    narrowed = texts | {"audience": {"phase": "test", "rank_to": 1}}
    assert desk.done("POST", "/messages/preview", narrowed)["recipients"] == 0
    nowhere = texts | {"audience": {"phase": "none"}}
    assert desk.code("POST", "/messages/preview", nowhere) == (422, "message-audience-invalid")
    empty = {"subject": {"en": "News"}, "body": {}}
    assert desk.code("POST", "/messages/test", empty) == (422, "message-empty")
    assert desk.done("POST", "/messages/test", texts) == {"mails": 1}
    assert not MessageDelivery.objects.exists()
    stale = desk.code("POST", "/messages", texts | {"expected": 2})
    assert stale == (409, "message-audience-changed")
    sent = desk.done("POST", "/messages", texts | {"expected": 1})
    assert (sent["recipients"], sent["sent_by"]) == (1, "olga")
    assert [one["id"] for one in desk.done("GET", "/messages")["items"]] == [sent["id"]]
    detail = desk.done("GET", f"/messages/{sent['id']}")
    assert [one["username"] for one in detail["unsent"]] == ["ada"]
    observer = desk_of(scene, factories.make_organiser(world.challenge, role=Role.OBSERVER))
    assert observer.done("GET", f"/messages/{sent['id']}")["unsent"] is None
    assert observer.code("POST", "/messages", texts | {"expected": 1}) == (403, "role-missing")


def test_a_phase_is_added_changed_once_confirmed_and_settled(
    scene: tuple[LiveSite, World],
) -> None:
    _site, world = scene
    desk = desk_of(scene)
    name = {"en": "Final", "fr": "Finale"}
    new = {"slug": "final", "name": name, "opens_at": "2040-01-01T12:00:00+01:00"}
    made = desk.done("POST", "/phases", new | {"finals_limit": 2})
    assert made["settings"]["finals_limit"] == 2
    assert made["settings"]["is_published"] is False
    assert desk.code("POST", "/phases", new) == (409, "phase-slug-taken")
    assert desk.code("POST", "/phases", new | {"slug": "new"}) == (422, "phase-slug-invalid")
    nameless = new | {"slug": "other", "name": {}}
    assert desk.code("POST", "/phases", nameless) == (422, "phase-text-invalid")
    half = new | {"slug": "half", "name": {"en": "Half"}}
    assert desk.code("POST", "/phases", half) == (422, "text-language-missing")
    assert desk.code("PATCH", "/languages", {"languages": ["de"]}) == (422, "request-invalid")
    desk.done("PATCH", "/languages", {"languages": ["en"]})
    desk.done("POST", "/phases", half)
    published = new | {"slug": "other", "is_published": True}
    assert desk.code("POST", "/phases", published) == (422, "request-invalid")

    before = desk.done("GET", "/phases/test")
    assert before["settings"]["visibility"] == "public"
    freeze = {"frozen_at": (timezone.now() - timedelta(hours=4)).isoformat()}
    assert desk.code("PATCH", "/phases/test", {"changes": freeze}) == (409, "phase-unconfirmed")
    asked = desk.done("POST", "/phases/test/preview", {"changes": freeze})
    assert asked["consequences"] == [{"code": "freeze-hides", "params": {"n": 3}}]
    other = {"changes": {"visibility": "organisers"}, "confirmed": asked["confirmation"]}
    assert desk.code("PATCH", "/phases/test", other) == (409, "phase-confirmation-stale")
    confirmed = {"changes": freeze, "confirmed": asked["confirmation"], "seen": before["seen"]}
    saved = desk.done("PATCH", "/phases/test", confirmed)
    assert saved["changed"] == ["frozen_at"]
    stale = {"changes": {"sort_order": 4}, "seen": before["seen"]}
    assert desk.code("PATCH", "/phases/test", stale) == (409, "phase-changed-meanwhile")
    fresh = {"changes": {"sort_order": 4}, "seen": saved["seen"]}
    assert desk.done("PATCH", "/phases/test", fresh)["changed"] == ["sort_order"]
    wrong = {"changes": {"closes_at": "2001-01-01T00:00:00Z"}}
    assert desk.code("PATCH", "/phases/test", wrong) == (422, "phase-window-invalid")
    editor = desk_of(scene, factories.make_organiser(world.challenge, role=Role.EDITOR))
    show = {"changes": {"is_published": True}}
    assert editor.code("PATCH", "/phases/final", show) == (403, "role-missing")

    assert desk.code("POST", "/phases/test/settle", {"reason": "r"}) == (409, "phase-not-closed")
    Phase.objects.filter(slug="test").update(closes_at=timezone.now() - timedelta(minutes=1))
    assert editor.code("POST", "/phases/test/settle", {"reason": "r"}) == (403, "role-missing")
    desk.done("POST", "/phases/test/settle", {"reason": "The queue is ours."})
    assert desk.code("POST", "/phases/test/settle", {"reason": "r"}) == (409, "phase-settled")
    assert desk.done("GET", "/phases/test")["settled_at"] is not None
    assert desk.code("PATCH", "/time-zone", {"time_zone": "Paris"}) == (422, "zone-unknown")
    desk.done("PATCH", "/time-zone", {"time_zone": "Europe/Paris"})
    assert Challenge.objects.get(slug="abc").time_zone == "Europe/Paris"
