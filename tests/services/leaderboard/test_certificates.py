"""Certificates: drawn from the signed document, in two languages, for the team and organisers."""

from __future__ import annotations

import hashlib
import io
import zipfile
from datetime import timedelta

import pytest
from pypdf import PdfReader

from challenge.models import Phase, Team
from challenge.rules.roles import Role
from challenge.services import maintenance, signing
from challenge.services.leaderboard import certificate_pdf
from tests.factories import NOON, captain_of, give_score, make_organiser, make_team, submit
from tests.permissions.world import Visitor
from tests.services.leaderboard.test_final_results import sign

pytestmark = pytest.mark.django_db

LATER = NOON + timedelta(days=30, hours=1)
ZIP = "/challenges/abc/desk/phases/test/certificates.zip"


def address(team: Team, language: str) -> str:
    return f"/challenges/abc/test/certificates/{team.pk}.pdf?language={language}"


def text_of(pdf: bytes) -> str:
    """The words of a certificate's only page, single spaces."""
    (page,) = PdfReader(io.BytesIO(pdf)).pages
    return " ".join(page.extract_text().split())


def test_a_certificate_says_what_was_signed_to_its_team_and_to_organisers(
    phase: Phase, team: Team
) -> None:
    rival = make_team(phase.challenge, "Équipe Łódź 東")
    give_score(submit(team, phase), miou=0.5)
    give_score(submit(rival, phase), miou=0.61234)
    Phase.objects.update(grace_minutes=0)
    maintenance.sweep(now=LATER)
    phase = Phase.objects.select_related("challenge", "task_spec").get()
    judge = make_organiser(phase.challenge, role=Role.JUDGE)
    mine = Visitor(captain_of(rival))
    assert mine.ask("GET", address(rival, "en")).status_code == 404
    assert Visitor(judge).ask("GET", ZIP).status_code == 404
    result = sign(phase)

    answer = mine.ask("GET", address(rival, "fr"))
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"].startswith("attachment;")
    french = text_of(answer.content)
    # Written by its number, and said so: no box.
    assert "Équipe Łódź [U+6771]" in french
    assert "Rang 1 sur 2" in french
    assert "61,23" in french
    digest = hashlib.sha256(signing.canonical(result.document)).hexdigest()
    assert digest in french.replace(" ", "")
    assert result.signature in french.replace(" ", "")
    assert "/challenges/abc/test/result/?version=1" in french.replace(" ", "")
    english = text_of(Visitor(judge).ask("GET", address(team, "en")).content)
    assert "Alpha" in english
    assert "Rank 2 of 2" in english
    assert "[U+" not in english
    for who, asked in ((Visitor(captain_of(team)), rival), (Visitor(None), rival)):
        assert who.ask("GET", address(asked, "en")).status_code in (302, 404)
    assert mine.ask("GET", address(rival, "xx")).status_code == 404
    page = mine.ask("GET", "/challenges/abc/test/result/").content.decode()
    assert f"/certificates/{rival.pk}.pdf?language=fr" in page

    packed = b"".join(Visitor(judge).ask("GET", ZIP).streaming_content)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert [name[:4] for name in names] == ["001-", "001-", "002-", "002-"]
        assert text_of(archive.read(names[1])) == french


def test_letters_that_join_and_right_to_left_are_in_the_fonts() -> None:
    assert not certificate_pdf.lacks("Ελλάδα Київ فريق צוות Đà Nẵng")
    assert certificate_pdf.spelled("a漢b") == "a[U+6F22]b"
