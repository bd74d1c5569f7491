"""One small world with everybody in it, and a walk over every address of the site."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from challenge.api.root import api
from challenge.models import Challenge, Page, PageVersion, Phase, Submission, Team, Upload, User
from challenge.selectors.messages import Audience
from challenge.services import client_wheel
from challenge.services.accounts import tokens
from challenge.services.challenges import page_editing
from challenge.services.notifications import messages, webhooks
from challenge.services.submissions import evaluations
from challenge.services.teams import merges
from challenge.services.training import training_runs
from tests.factories import (
    make_archive,
    make_card,
    make_challenge,
    make_organiser,
    make_phase,
    make_team,
    make_user,
    submit,
)

ROLES = ("anonymous", "rival", "member", "captain", "organiser", "staff")
# Values that must not leave an open phase: finer than the step of 0.001, counts of true pixels.
MIOU = 0.123456789
TRUTH_PIXELS = 1234567
# Not the seconds of a time such as 17:40:12.351234 or 17:40:10.123456.
LEAK = re.compile(
    r"(?<!\d)0[.,]123[45]|(?<!\d:)\b12[.,]3[45]|1[\s.,'\u202f\u00a0]?234[\s.,'\u202f\u00a0]?567"
)


@dataclass
class World:
    """Team Alpha has a scored submission; Beta are its rivals; Gamma asks Alpha to merge."""

    challenge: Challenge
    phase: Phase
    alpha: Team
    people: dict[str, User]
    submission: Submission
    arguments: dict[str, str]


def make_world(**phase_fields: Any) -> World:
    """Build it: a phase that is open now, a person for each role."""
    now = timezone.now()
    challenge = make_challenge()
    phase = make_phase(
        challenge,
        **{
            "opens_at": now - timedelta(days=2),
            "closes_at": now + timedelta(days=30),
            # Only where teams may choose does the endpoint of choices answer.
            "finals_limit": 2,
        }
        | phase_fields,
    )
    for slug in ("overview", "data", "rules"):
        page = Page.objects.create(
            challenge=challenge, slug=slug, language="en", title=slug, markdown=slug
        )
        page_editing.keep(page, actor=None)
    people = {name: make_user(name) for name in ("rival", "member", "captain")}
    people["organiser"] = make_user("organiser")
    people["staff"] = make_user("staff", is_staff=True)
    make_organiser(challenge, people["organiser"])
    alpha = make_team(challenge, "Alpha", members=[people["captain"], people["member"]])
    make_team(challenge, "Beta", members=[people["rival"]])
    gamma = make_team(challenge, "Gamma")
    submission = submit(alpha, phase, at=now - timedelta(hours=2), archive=make_archive(b"bytes"))
    claim = evaluations.claim(worker="w", now=now - timedelta(hours=1))
    assert claim is not None
    evaluations.complete_scored(
        claim.evaluation_id, attempt=1, card=make_card(MIOU), now=now - timedelta(hours=1)
    )
    invitation, token = merges.invite(team=alpha, actor=people["captain"])
    merge = merges.ask(from_team=gamma, to_team=alpha, actor=gamma.memberships.get().user)
    own, _plain = tokens.create(user=people["captain"], name="t", scopes=["read"])
    hook = webhooks.create(
        user=people["captain"], url="https://example.org/hook", events=["submission.scored"]
    )
    upload = Upload.objects.create(
        user=people["captain"], length_bytes=10, expires_at=now + timedelta(days=1)
    )
    run = training_runs.create(recipe="tiny-unet", data_root="toy", actor=None, phase=phase)
    message = messages.send(
        challenge=challenge,
        actor=people["organiser"],
        subject={"en": "Hello"},
        body={"en": "Welcome."},
        audience=Audience(),
        expected=challenge.registrations.count(),
    )
    arguments = {
        "slug": challenge.slug,
        "run_id": str(run.pk),
        "challenge": challenge.slug,
        "phase": phase.slug,
        "phase_slug": phase.slug,
        "page_slug": "data",
        "site_page": "legal",
        "language": "en",
        "version_id": str(PageVersion.objects.get(slug="data").pk),
        "pk": str(submission.pk),
        "submission_id": str(submission.pk),
        "upload_id": str(upload.pk),
        "team_id": str(alpha.pk),
        "username": "member",
        "stamp": "20260101T000000Z",
        "at": "20260101T000000Z",
        "n": "0",
        "person_id": str(people["captain"].pk),
        "act": "rename",
        "token": token,
        "token_pk": str(own.pk),
        "file_name": client_wheel.build().file_name,
        "invitation_id": str(invitation.pk),
        "request_id": str(merge.pk),
        "webhook_id": str(hook.pk),
        "message_id": str(message.pk),
        "entry_id": "1",
        "grant_id": "1",
        "announcement_id": "1",
        "target": phase.slug,
        "document_id": "1",
        "number": "0",
        "kind": "image",
        "registration_id": str(challenge.registrations.get(user=people["rival"]).pk),
    }
    return World(challenge, phase, alpha, people, submission, arguments)


def routes() -> list[tuple[str, str]]:
    """Every (method, route) of the site but the admin's and the library's own account pages."""
    found: list[tuple[str, str]] = []
    for route in _patterns(get_resolver()):
        if route.startswith(("admin/", "accounts/", "api/^")):
            continue
        if route.startswith("api/v1/uploads"):
            methods = ("GET", "POST") if route.endswith("uploads") else ("HEAD", "PATCH", "DELETE")
            found += [(method, route) for method in methods]
            continue
        if route.startswith("api/v1/") and route != "api/v1/docs":
            continue
        found += [("GET", route), ("POST", route)]
    for path, operations in api.get_openapi_schema()["paths"].items():
        route = path.removeprefix("/").replace("{", "<").replace("}", ">")
        if route.startswith("api/v1/uploads"):
            continue
        found += [(method.upper(), route) for method in operations]
    return sorted(set(found), key=lambda row: (row[1], row[0]))


def admin_routes() -> list[str]:
    """Every route of Django's admin."""
    return [route for route in _patterns(get_resolver()) if route.startswith("admin/")]


def _patterns(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            yield route
        else:
            yield from _patterns(entry, route)


def address(route: str, world: World, **changed: str) -> str:
    """Fill a route's arguments with those of team Alpha."""
    arguments = world.arguments | changed
    if route.startswith("account/tokens/"):
        arguments = arguments | {"pk": arguments["token_pk"]}
    if route.startswith("account/webhooks/"):
        arguments = arguments | {"pk": arguments["webhook_id"]}
    if "/teams/<int:pk>" in route or "/certificates/<int:pk>" in route:
        arguments = arguments | {"pk": arguments["team_id"]}

    if route.startswith("people/<int:pk>"):
        arguments = arguments | {"pk": arguments["person_id"]}
    if "/versions/<int:pk>" in route:
        arguments = arguments | {"pk": arguments["version_id"]}
    if "/messages/<int:pk>" in route:
        arguments = arguments | {"pk": arguments["message_id"]}
    if "/registrations/<int:pk>" in route:
        arguments = arguments | {"pk": arguments["registration_id"]}

    def fill(match: re.Match[str]) -> str:
        return arguments[match[1].rpartition(":")[2]]

    return "/" + re.sub(r"<([^>]+)>", fill, route)


@dataclass
class Visitor:
    """Somebody with a browser and a token of every scope; nobody where ``user`` is None."""

    user: User | None

    def __post_init__(self) -> None:
        self.browser = Client(raise_request_exception=False)
        self.script: dict[str, str] = {}
        if self.user is not None:
            self.browser.force_login(self.user)
            scopes = ["read", "submit", "organise"]
            _row, plain = tokens.create(user=self.user, name="walk", scopes=scopes)
            self.script = {"Authorization": f"Bearer {plain}"}

    def ask(self, method: str, url: str, body: dict[str, Any] | None = None) -> Any:
        """One request whose writes are undone: pages by the browser, the API by the token."""
        with transaction.atomic():
            if not url.startswith("/api/") or url == "/api/v1/docs":
                ask = {"GET": self.browser.get, "HEAD": self.browser.head}.get(method)
                answer = ask(url) if ask else self.browser.post(url, body or {})
            else:
                headers = dict(self.script)
                kind, data = "application/json", json.dumps(body or {})
                if url.startswith("/api/v1/uploads"):
                    headers |= {
                        "Tus-Resumable": "1.0.0",
                        "Upload-Length": "10",
                        "Upload-Offset": "0",
                    }
                    kind, data = "application/offset+octet-stream", ""
                answer = Client(raise_request_exception=False).generic(
                    method, url, data=data, content_type=kind, headers=headers
                )
            transaction.set_rollback(True)
        return answer


def visitor(role: str, world: World) -> Visitor:
    return Visitor(world.people.get(role))


def body_of(answer: Any) -> str:
    """What was sent, as text; of a challenge's export, what it holds."""
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as found:
            names = found.namelist()
            if "texts.jsonl" in names:  # its manifest has the time of day
                names.remove("manifest.json")
                content = b"\n".join(found.read(name) for name in names)
    return bytes(content).decode(errors="replace")


def body_for(method: str, route: str, world: World) -> dict[str, Any]:
    """What a request carries, so that it is refused for who asks and not for what it lacks."""
    rivals = world.people["rival"].memberships.get().team_id
    desk = "organise/challenges/<slug>"
    texts = {"subject": {"en": "Hello"}, "body": {"en": "Welcome."}}
    bodies: dict[tuple[str, str], dict[str, Any]] = {
        ("POST", "challenges/<slug>/registration"): {"accept_terms_version": "1"},
        ("POST", "challenges/<slug>/team"): {"name": "New name"},
        ("PATCH", "challenges/<slug>/team"): {"name": "New name"},
        ("POST", "challenges/<slug>/team/captain"): {"username": "member"},
        ("POST", "invitations/accept"): {"token": world.arguments["token"]},
        ("POST", "challenges/<slug>/team/merge-requests"): {"team_id": rivals},
        ("POST", "challenges/<slug>/team/merge-requests/<request_id>"): {"accepted": True},
        ("POST", "submissions"): {
            "phase": str(world.phase),
            "upload": world.arguments["upload_id"],
            "method_name": "m",
        },
        ("POST", "submissions/<submission_id>/final"): {"chosen": True},
        ("POST", "webhooks"): {"url": "https://example.org/h", "events": ["submission.scored"]},
        ("POST", "organise/challenges/<slug>/registrations/<registration_id>"): {"approved": True},
        ("POST", "challenges/<slug:slug>/desk/people/registrations/<int:pk>/"): {
            "decision": "approve"
        },
        ("POST", "organise/submissions/<submission_id>/rescore"): {"force": True},
        ("POST", "organise/challenges/<slug>/phases/<phase>/rescore"): {"force": True},
        ("POST", "organise/challenges/<slug>/phases/<phase>/result"): {"digest": "0" * 64},
        ("POST", "organise/submissions/<submission_id>/disqualify"): {"reason": "r"},
        ("POST", "organise/submissions/<submission_id>/reinstate"): {"reason": "r"},
        ("PATCH", f"{desk}/admission"): {"approval_required": True},
        ("POST", f"{desk}/admission"): {"entries": "@example.org"},
        ("POST", f"{desk}/admission/check"): {"entries": "@example.org"},
        ("POST", f"{desk}/announcements"): {
            "title": {"en": "Hello"},
            "body": {"en": "Welcome."},
            "mail_to": "nobody",
        },
        ("POST", f"{desk}/phases/<phase>/copies/<target>"): {"digest": "0" * 64},
        ("POST", f"{desk}/phases/<phase>/documents"): {
            "count": 1,
            "wanted": "Code.",
            "deadline": (timezone.now() + timedelta(days=1)).isoformat(),
        },
        ("PATCH", f"{desk}/documents/<request_id>"): {
            "deadline": (timezone.now() + timedelta(days=1)).isoformat(),
        },
        ("POST", f"{desk}/documents/<request_id>"): {"accepted": True},
        ("POST", "challenges/<slug>/phases/<phase>/documents"): {
            "kind": "code",
            "link": "https://example.org/code",
        },
        ("POST", f"{desk}/phases/<phase>/rescores"): {"method": "archives"},
        ("POST", f"{desk}/phases/<phase>/rescores/publish"): {"digest": "0" * 64},
        ("PATCH", f"{desk}/languages"): {"languages": ["en"]},
        ("POST", f"{desk}/messages"): {**texts, "expected": 0},
        ("POST", f"{desk}/messages/preview"): texts,
        ("POST", f"{desk}/messages/test"): texts,
        ("POST", f"{desk}/phases"): {
            "slug": "final",
            "name": {"en": "Final", "fr": "Finale"},
            "opens_at": "2027-01-01T12:00:00Z",
        },
        ("PATCH", f"{desk}/phases/<phase>"): {"changes": {"sort_order": 3}},
        ("POST", f"{desk}/phases/<phase>/preview"): {"changes": {"sort_order": 3}},
        ("POST", f"{desk}/phases/<phase>/settle"): {"reason": "r"},
        ("POST", f"{desk}/role-invitations"): {"email": "new@example.org", "role": "judge"},
        ("PATCH", f"{desk}/roles/<username>"): {"role": "judge"},
        ("POST", f"{desk}/teams/<team_id>/disqualify"): {"reason": "r"},
        ("POST", f"{desk}/teams/<team_id>/grants"): {
            "phase": world.phase.slug,
            "extra_places": 1,
            "until": (timezone.now() + timedelta(days=1)).isoformat(),
            "reason": "r",
        },
        ("PATCH", f"{desk}/time-zone"): {"time_zone": "Europe/Paris"},
    }
    return bodies.get((method, route.removeprefix("api/v1/")), {})
