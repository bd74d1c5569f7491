"""The desk's last acts by the API: documents, reveal, certificates, copies, announcements."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from challenge.models import (
    Announcement,
    AuditEvent,
    DocumentRequest,
    Evaluation,
    Phase,
    PixelComparison,
    Team,
)
from challenge.rules.lifecycle import RunState
from challenge.rules.roles import Role
from challenge.selectors import documents
from challenge.services import maintenance
from challenge.services.teams import winner_documents
from scoring.engine.truth.split import CountedZones
from tests.api.conftest import Caller, caller
from tests.factories import (
    captain_of,
    give_score,
    make_organiser,
    make_phase,
    make_task,
    make_team,
    make_truth,
    make_user,
    submit,
)
from tests.permissions.world import Visitor
from tests.services.leaderboard.test_final_results import sign

pytestmark = pytest.mark.django_db

DESK = "/organise/challenges/abc"
PHASE = f"{DESK}/phases/test"
OWN = "/challenges/abc/phases/test/documents"


def later(days: int = 3) -> str:
    return (timezone.now() + timedelta(days=days)).isoformat()


def done(answer: Any) -> Any:
    """Return the answer of what must succeed."""
    assert answer.status_code == 200, answer.content
    return answer.json()


def code_of(answer: Any) -> tuple[int, str]:
    """Return status and code of what must be refused."""
    return answer.status_code, answer.json()["code"]


def organiser(phase: Phase, role: Role) -> Caller:
    return caller(make_organiser(phase.challenge, role=role), ["organise", "read"])


@pytest.fixture
def settled(phase: Phase, team: Team) -> list[Team]:
    """Two teams of a settled phase, the best first; the font of certificates lacks one's name."""
    teams = [make_team(phase.challenge, "東京 U-Net"), team]
    for row, miou in zip(teams, (0.7, 0.5), strict=True):
        give_score(submit(row, phase), miou=miou)
    Phase.objects.update(grace_minutes=0, closes_at=timezone.now() - timedelta(days=1))
    maintenance.sweep(now=timezone.now())
    return teams


def test_documents_are_asked_for_delivered_and_judged(settled: list[Team]) -> None:
    first, second = settled
    phase = Phase.objects.select_related("challenge").get()
    judge, observer = organiser(phase, Role.JUDGE), organiser(phase, Role.OBSERVER)
    captain = caller(captain_of(first))
    assert code_of(captain.get(OWN)) == (404, "not-found")
    listed = done(judge.get(f"{PHASE}/documents"))
    assert (listed["ready"], listed["items"]) == (True, [])
    assert [(one["rank"], one["team_id"]) for one in listed["next"]] == [
        (1, first.pk),
        (2, second.pk),
    ]
    ask = {"count": 1, "wanted": "Code and report", "deadline": later()}
    assert code_of(observer.post(f"{PHASE}/documents", ask)) == (403, "role-missing")
    past = judge.post(f"{PHASE}/documents", ask | {"deadline": "2020-01-01T00:00:00Z"})
    assert code_of(past) == (422, "documents-deadline-invalid")
    (asked,) = done(judge.post(f"{PHASE}/documents", ask))["items"]
    assert (asked["team_id"], asked["state"], asked["documents"]) == (first.pk, "asked", [])

    assert done(captain.get(OWN))["wanted"] == "Code and report"
    bad = captain.post(OWN, {"kind": "code", "link": "javascript:alert(1)"})
    assert code_of(bad) == (422, "url-invalid")
    link = {"kind": "code", "link": "https://example.org/x"}
    assert code_of(caller(captain_of(second)).post(OWN, link)) == (404, "not-found")
    done(captain.post(OWN, link))
    row = documents.own_request(captain_of(first), phase)
    pdf = SimpleUploadedFile("report.pdf", b"%PDF-1.7 report")
    kept = winner_documents.deliver(
        row=row, actor=captain_of(first), kind="report", file=pdf.file, file_name="report.pdf"
    )
    url = f"{OWN}/{kept.pk}"
    for person in (captain, judge):
        answer = person.get(url)
        assert b"".join(answer.streaming_content) == b"%PDF-1.7 report"
        assert answer["Content-Disposition"].startswith("attachment;")
    for person in (observer, caller(captain_of(second)), caller(make_user("stranger"))):
        assert code_of(person.get(url)) == (404, "not-found")

    one = f"{DESK}/documents/{asked['id']}"
    assert code_of(judge.post(one, {"accepted": False})) == (422, "reason-missing")
    done(judge.post(one, {"accepted": False, "reason": "No code."}))
    assert code_of(judge.post(one, {"accepted": True})) == (409, "documents-decided")
    done(judge.call("PATCH", one, {"deadline": later(9)}))
    done(judge.post(one, {"accepted": True}))
    assert code_of(judge.call("PATCH", one, {"deadline": later()})) == (409, "documents-decided")
    assert DocumentRequest.objects.get().state == DocumentRequest.State.ACCEPTED
    listed = done(observer.get(f"{PHASE}/documents"))
    assert [one["team_id"] for one in listed["next"]] == [second.pk]
    assert [one["kind"] for one in listed["items"][0]["documents"]] == ["code", "report"]
    assert code_of(judge.post(f"{DESK}/documents/{asked['id'] + 1}", {"accepted": True})) == (
        404,
        "not-found",
    )


def test_certificates_are_listed_with_what_their_font_lacks_and_taken(
    settled: list[Team],
) -> None:
    first, second = settled
    phase = Phase.objects.select_related("challenge", "task_spec").get()
    judge, editor = organiser(phase, Role.JUDGE), organiser(phase, Role.EDITOR)
    assert code_of(judge.get(f"{PHASE}/certificates")) == (404, "not-found")
    assert code_of(judge.get(f"{PHASE}/certificates.zip")) == (404, "not-found")
    sign(phase)
    listed = done(editor.get(f"{PHASE}/certificates"))
    assert (listed["version"], listed["languages"]) == (1, ["en", "fr"])
    assert [(one["team_id"], one["unshown"]) for one in listed["items"]] == [
        (first.pk, "東京"),
        (second.pk, ""),
    ]
    page = Visitor(make_organiser(phase.challenge, role=Role.JUDGE))
    shown = page.ask("GET", "/challenges/abc/desk/phases/test/result/").content.decode()
    assert "<li>東京 U-Net: <bdi>東京</bdi></li>" in shown
    assert shown.count("<bdi>") == 1
    assert code_of(editor.get(f"{PHASE}/certificates.zip")) == (403, "role-missing")
    packed = b"".join(judge.get(f"{PHASE}/certificates.zip").streaming_content)
    with zipfile.ZipFile(io.BytesIO(packed)) as found:
        assert len(found.namelist()) == 4
    assert AuditEvent.objects.filter(action="certificates.export").count() == 1
    own = f"/challenges/abc/phases/test/certificates/{second.pk}"
    answer = caller(captain_of(second)).get(f"{own}?language=fr")
    assert (answer["Content-Type"], answer.content[:5]) == ("application/pdf", b"%PDF-")
    assert code_of(caller(captain_of(first)).get(own)) == (404, "not-found")
    assert code_of(caller(captain_of(second)).get(f"{own}?language=de")) == (
        422,
        "request-invalid",
    )


def test_a_reveal_is_asked_for_once(settled: list[Team]) -> None:
    phase = Phase.objects.select_related("challenge").get()
    judge, observer = organiser(phase, Role.JUDGE), organiser(phase, Role.OBSERVER)
    told = done(judge.get(f"{PHASE}/reveal"))
    assert (told["obstacle"]["code"], told["pending"]) == ("reveal-no-private-zones", False)
    assert code_of(judge.post(f"{PHASE}/reveal")) == (409, "reveal-no-private-zones")
    Phase.objects.update(counted_zones=CountedZones.PUBLIC.value)
    assert done(observer.get(f"{PHASE}/reveal"))["obstacle"] is None
    assert code_of(observer.post(f"{PHASE}/reveal")) == (403, "role-missing")
    done(judge.post(f"{PHASE}/reveal", {"partial": True}))
    assert code_of(judge.post(f"{PHASE}/reveal")) == (409, "reveal-asked")
    told = done(judge.get(f"{PHASE}/reveal"))
    assert (told["pending"], told["revealed_at"], told["failure"]) == (True, None, "")
    assert AuditEvent.objects.get(action="phase.reveal-request").data["partial"] is True


def test_the_best_are_copied_as_the_plan_said(settled: list[Team]) -> None:
    phase = Phase.objects.select_related("challenge").get()
    judge, observer = organiser(phase, Role.JUDGE), organiser(phase, Role.OBSERVER)
    target = make_phase(phase.challenge, slug="final")
    target.ground_truth = make_truth(phase.challenge, "final")
    target.task_spec = make_task(phase.challenge)
    target.save()
    copies = f"{PHASE}/copies/final"
    assert code_of(judge.get(f"{PHASE}/copies/other")) == (404, "not-found")
    same = done(judge.get(f"{PHASE}/copies/test"))
    assert [one["code"] for one in same["obstacles"]] == ["copy-same-phase"]
    plan = done(observer.get(copies))
    assert [one["team_id"] for one in plan["submissions"]] == [team.pk for team in settled]
    assert code_of(observer.post(copies, {"digest": plan["digest"]})) == (403, "role-missing")
    assert code_of(judge.post(copies, {"digest": "0" * 64})) == (409, "copy-changed-meanwhile")
    made = done(judge.post(copies, {"digest": plan["digest"]}))["items"]
    assert [one["team_id"] for one in made] == [team.pk for team in settled]
    assert Evaluation.objects.filter(submission__entry__phase=target).count() == 2
    again = done(judge.get(copies))
    assert (len(again["copied_before"]), again["submissions"]) == (2, [])


def test_a_comparison_is_cancelled(settled: list[Team]) -> None:
    phase = Phase.objects.select_related("challenge").get()
    judge, observer = organiser(phase, Role.JUDGE), organiser(phase, Role.OBSERVER)
    comparison = f"{PHASE}/comparison"
    assert code_of(judge.call("DELETE", comparison)) == (404, "not-found")
    done(judge.post(comparison, {"best": 2}))
    assert code_of(observer.call("DELETE", comparison)) == (403, "role-missing")
    done(judge.call("DELETE", comparison))
    assert PixelComparison.objects.get().state == RunState.CANCELLED


def test_announcements_are_published_and_withdrawn(phase: Phase) -> None:
    base = "/organise/challenges/abc/announcements"
    editor, judge = organiser(phase, Role.EDITOR), organiser(phase, Role.JUDGE)
    sent = {"title": {"en": "New data"}, "body": {"en": "**Look**"}, "mail_to": "subscribers"}
    assert code_of(judge.post(base, sent)) == (403, "role-missing")
    assert code_of(editor.post(base, sent | {"body": {}})) == (422, "message-empty")
    assert code_of(editor.post(base, sent | {"mail_to": "all"})) == (422, "request-invalid")
    made = done(editor.post(base, sent))
    assert (made["mail_to"], made["mailed_at"]) == ("subscribers", None)
    listed = done(judge.get(f"{base}?limit=1"))
    assert [one["id"] for one in listed["items"]] == [made["id"]]
    public = done(caller(None).get("/challenges/abc/announcements"))["items"]
    assert [one["title"] for one in public] == [{"en": "New data"}]
    assert code_of(judge.call("DELETE", f"{base}/{made['id']}")) == (403, "role-missing")
    done(editor.call("DELETE", f"{base}/{made['id']}"))
    assert code_of(editor.call("DELETE", f"{base}/{made['id']}")) == (404, "not-found")
    assert Announcement.objects.get().published_at is None
    assert done(caller(None).get("/challenges/abc/announcements"))["items"] == []
