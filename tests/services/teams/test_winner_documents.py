"""Documents of winners: asked in order of rank, delivered, judged, seen by few."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core import mail
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from challenge.errors import Refusal
from challenge.models import AuditEvent, DocumentRequest, Phase, Team
from challenge.rules.roles import Role
from challenge.selectors import final_results
from challenge.services import maintenance
from challenge.services.leaderboard import final_results as results
from challenge.services.notifications import mail_queue
from challenge.services.teams import winner_documents as service
from tests.factories import captain_of, give_score, make_organiser, make_team, make_user, submit
from tests.permissions.world import Visitor

pytestmark = pytest.mark.django_db

DESK = "/challenges/abc/desk/phases/test/documents/"
OWN = "/challenges/abc/test/documents/"
PDF = b"%PDF-1.7 report"


@pytest.fixture
def settled(phase: Phase, team: Team) -> list[Team]:
    """Three teams of a settled phase, the best first."""
    teams = [make_team(phase.challenge, "First"), make_team(phase.challenge, "Second"), team]
    for row, miou in zip(teams, (0.7, 0.6, 0.5), strict=True):
        give_score(submit(row, phase), miou=miou)
    Phase.objects.update(grace_minutes=0, closes_at=timezone.now() - timedelta(days=1))
    maintenance.sweep(now=timezone.now())
    assert Phase.objects.get().settlement_recorded
    return teams


def later(days: int = 3) -> str:
    return f"{timezone.now() + timedelta(days=days):%Y-%m-%dT%H:%M}"


def code_of(call: object) -> str:
    with pytest.raises(Refusal) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


def test_from_the_first_request_to_the_next_in_line(settled: list[Team]) -> None:
    first, second, third = settled
    phase = Phase.objects.select_related("challenge", "task_spec").get()
    judge, observer = (
        make_organiser(phase.challenge, role=one) for one in (Role.JUDGE, Role.OBSERVER)
    )
    desk, captain = Visitor(judge), Visitor(captain_of(first))
    assert captain.ask("GET", OWN).status_code == 404, "nobody was asked"

    ask = {"act": "ask", "count": "2", "wanted": "Code and report", "deadline": later()}
    assert Visitor(observer).browser.post(DESK, ask).status_code == 403
    assert desk.browser.post(DESK, ask | {"deadline": "2020-01-01T00:00"}).status_code == 422
    assert desk.browser.post(DESK, ask).status_code == 302
    rows = list(DocumentRequest.objects.order_by("rank"))
    assert [(row.team, row.rank) for row in rows] == [(first, 1), (second, 2)]
    mail_queue.send_due(now=timezone.now())
    (sent,) = [one for one in mail.outbox if one.to == [captain_of(first).email]]
    assert "Code and report" in str(sent.body)
    assert OWN in str(sent.body)

    # A program under a report's name is none; a PDF is stored, and replaced by another.
    for content, status in ((b"MZ\x90", 422), (PDF, 302), (PDF + b" 2", 302)):
        file = SimpleUploadedFile("re\u202eport.pdf", content)
        answer = captain.browser.post(OWN, {"kind": "report", "file": file})
        assert answer.status_code == status, answer.content.decode()
    document = rows[0].documents.get()
    assert (document.original_name, document.size_bytes) == ("report.pdf", len(PDF) + 2)
    assert default_storage.exists(document.stored_name)
    answer = captain.browser.post(OWN, {"kind": "code", "link": "javascript:alert(1)"})
    assert answer.status_code == 422
    assert captain.browser.post(OWN, {"kind": "code", "link": "https://e.org/x"}).status_code == 302

    # Its team, owners and judges get the file; for others it is not there.
    address = f"{OWN}{document.pk}/"
    for visitor, status in (
        (captain, 200), (desk, 200), (Visitor(observer), 404), (Visitor(captain_of(second)), 404),
        (Visitor(make_user("stranger")), 404),
    ):  # fmt: skip
        assert visitor.browser.get(address).status_code == status
    sent_file = desk.browser.get(address)
    assert b"".join(sent_file.streaming_content) == PDF + b" 2"  # type: ignore[attr-defined]
    assert sent_file["Content-Type"] == "application/octet-stream"
    assert sent_file["Content-Disposition"].startswith("attachment;")

    # The signature confirms what is missing: the digest before the verdicts is another one.
    draft = final_results.draft(phase, now=timezone.now())
    assert [one["team"] for one in draft.documents] == ["First", "Second"]
    page = desk.browser.get("/challenges/abc/desk/phases/test/result/").content.decode()
    assert "are not accepted" in page
    desk.browser.post(DESK, {"act": "accept", "request": rows[0].pk})
    refuse = {"act": "refuse", "request": rows[1].pk}
    desk.browser.post(DESK, refuse)
    assert DocumentRequest.objects.get(pk=rows[1].pk).state == "asked", "a refusal needs a reason"
    desk.browser.post(DESK, refuse | {"reason": "No code"})
    states = DocumentRequest.objects.order_by("rank").values_list("state", flat=True)
    assert list(states) == ["accepted", "refused"]
    stale = results.digest(draft)
    sign = lambda: results.sign(phase=phase, actor=judge, confirmed=stale)  # noqa: E731
    assert code_of(sign) == "result-changed-meanwhile"

    # The next in line is asked, and nobody after it; who was refused gets another deadline.
    assert desk.browser.post(DESK, ask).status_code == 302
    assert DocumentRequest.objects.get(team=third).rank == 3
    assert desk.browser.post(DESK, ask).status_code == 409
    desk.browser.post(DESK, {"act": "extend", "request": rows[1].pk, "deadline": later(9)})
    assert DocumentRequest.objects.get(pk=rows[1].pk).state == "asked"
    words = AuditEvent.objects.filter(action__startswith="documents.").order_by("pk")
    assert [one.action.partition(".")[2] for one in words] == [
        "ask", "deliver", "deliver", "deliver", "accept", "refuse", "ask", "extend",
    ]  # fmt: skip
    for language in ("en", "fr"):
        desk.browser.cookies["django_language"] = language
        assert desk.browser.get(DESK).status_code == 200
        assert captain.browser.get(OWN).status_code == 200


def test_what_is_refused(settled: list[Team]) -> None:
    first = settled[0]
    phase = Phase.objects.select_related("challenge").get()
    judge = make_organiser(phase.challenge, role=Role.JUDGE)
    now = timezone.now()
    wanted = {"phase": phase, "actor": judge, "count": 1, "wanted": "Code", "deadline": now}
    soon = now + timedelta(hours=1)
    assert code_of(lambda: service.ask(**wanted)) == "documents-deadline-invalid"
    wanted["deadline"] = soon
    assert code_of(lambda: service.ask(**wanted | {"count": 21})) == "documents-count-invalid"
    assert code_of(lambda: service.ask(**wanted | {"wanted": " "})) == "documents-wanted-missing"
    Phase.objects.update(settled_at=None)
    assert code_of(lambda: service.ask(**wanted)) == "result-not-settled"
    Phase.objects.update(settled_at=now)
    (row,) = service.ask(**wanted)
    give = {"row": row, "actor": captain_of(first), "kind": "report"}
    deliver = service.deliver
    assert code_of(lambda: deliver(**give)) == "documents-empty"
    both = give | {"link": "https://e.org", "file": io.BytesIO(PDF)}
    assert code_of(lambda: deliver(**both)) == "documents-empty"
    stranger = give | {"actor": make_user("stranger"), "link": "https://e.org"}
    assert code_of(lambda: deliver(**stranger)) == "not-found"
    late = give | {"link": "https://e.org", "now": soon + timedelta(minutes=1)}
    assert code_of(lambda: deliver(**late)) == "documents-late"
    accept = lambda: service.decide(row=row, actor=judge, accept=True)  # noqa: E731
    assert code_of(accept) == "documents-not-delivered"
    deliver(**give | {"link": "https://e.org"})
    accept()
    assert code_of(accept) == "documents-decided"
    assert code_of(lambda: deliver(**give | {"link": "https://e.org"})) == "documents-decided"
