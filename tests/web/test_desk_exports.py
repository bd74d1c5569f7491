"""Files of a phase's scores, from the desk and by API; and the trail: filtered, and as CSV."""

from __future__ import annotations

import ast
import csv
import gc
import hashlib
import io
import json
import re
import tracemalloc
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from challenge.embedded.data_folder import ROOT
from challenge.models import AuditEvent, Phase, Score, Submission, User
from challenge.rules import latex
from challenge.rules.roles import Role
from challenge.selectors import exports
from challenge.services.accounts import tokens
from challenge.services.submissions import archive_exports
from challenge.services.submissions import disqualifications as submission_disqualifications
from challenge.services.teams import disqualifications
from challenge.web import trail_words
from tests import factories
from tests.factories import NOON, give_score, make_archive, make_team, submit
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults, sign_in_as

pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1/organise/challenges/abc/phases/test"


@pytest.fixture
def phase() -> Phase:
    return factories.make_phase(
        factories.make_challenge(title={"en": "Land cover", "fr": "Occupation du sol"}),
        opens_at=NOON - timedelta(days=2),
        closes_at=timezone.now() + timedelta(days=30),
    )


@pytest.fixture
def owner(phase: Phase) -> User:
    return factories.make_organiser(phase.challenge, factories.make_user("olive"))


@pytest.fixture
def sent(phase: Phase) -> list[Submission]:
    found: list[Submission] = []
    for name, content in (("Alpha", b"first"), ("=Beta & Co_1", b"second"), ("Gamma", b"third")):
        archive = make_archive(content)
        one = submit(make_team(phase.challenge, name), phase, archive=archive)
        give_score(one, 0.5 + 0.1 * len(found))
        found.append(one)
    return found


def body(answer: Any) -> bytes:
    assert answer.status_code == 200
    return b"".join(answer) if answer.streaming else answer.content


def ask(user: User, name: str, phase: Phase) -> bytes:
    client = Client()
    client.force_login(user)
    return body(client.get(reverse(f"web:{name}", args=[phase.challenge.slug, phase.slug])))


def script(user: User, path: str) -> bytes:
    _row, token = tokens.create(user=user, name="t", scopes=["organise", "read"])
    return body(Client().get(f"{API}/{path}", headers={"Authorization": f"Bearer {token}"}))


def test_lines_are_freed_as_they_are_read_without_the_garbage_collector(
    phase: Phase, owner: User, sent: list[Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    team = sent[0].entry.team
    for number in range(9):
        give_score(submit(team, phase, at=NOON + timedelta(hours=number)))
    monkeypatch.setattr(exports, "CHUNK", 2)
    gc.collect()
    gc.disable()
    try:
        known = {id(one) for one in gc.get_objects()}
        alive = [
            sum(isinstance(one, Score) for one in gc.get_objects() if id(one) not in known)
            for _line in exports.lines(phase, user=owner)
        ]
    finally:
        gc.enable()
    assert len(alive) == 12
    assert max(alive) <= 4


def test_submissions_as_csv_and_json_name_the_teams_disqualification(
    phase: Phase, owner: User, sent: list[Submission]
) -> None:
    disqualifications.disqualify(team=sent[1].entry.team, actor=owner, reason="twins")
    submission_disqualifications.disqualify(submission=sent[2], actor=owner, reason="late")
    text = ask(owner, "desk-submissions-csv", phase)
    assert text == script(owner, "export")
    rows = {row["team"]: row for row in csv.DictReader(io.StringIO(text.decode()))}
    assert rows["'=Beta & Co_1"]["team_disqualified_at"]
    assert rows["'=Beta & Co_1"]["team_disqualified_reason"] == "twins"
    assert rows["Gamma"]["disqualified_reason"] == "late"
    assert not rows["Alpha"]["team_disqualified_at"]
    listed = json.loads(ask(owner, "desk-submissions-json", phase))
    assert listed == json.loads(script(owner, "export?format=json"))
    why = {line["team"]: line["team_disqualified_reason"] for line in listed}
    assert why == {"Alpha": "", "=Beta & Co_1": "twins", "Gamma": ""}
    acts = AuditEvent.objects.filter(action="submissions.export")
    assert sorted(act.data["format"] for act in acts) == ["csv", "csv", "json", "json"]


def test_the_zip_of_all_archives_says_what_became_of_each(
    phase: Phase, owner: User, sent: list[Submission]
) -> None:
    default_storage.delete(sent[1].archive)
    Submission.objects.filter(pk=sent[2].pk).update(archive_sha256="0" * 64)
    data = ask(owner, "desk-archives", phase)
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        assert found.namelist()[-1] == "manifest.json"
        manifest = json.loads(found.read("manifest.json"))
        first = f"alpha-1-{sent[0].pk}.zip"
        assert found.read(first) == b"first"
    line = {one["team"]: one for one in manifest}
    states = {team: one["state"] for team, one in line.items()}
    missing = "archive-missing"
    assert states == {"Alpha": "included", "=Beta & Co_1": missing, "Gamma": "altered"}
    assert line["Alpha"]["file"] == first
    assert line["Alpha"]["sha256"] == hashlib.sha256(b"first").hexdigest()
    assert line["Gamma"]["found_sha256"] == hashlib.sha256(b"third").hexdigest()
    assert len(script(owner, "archives")) == len(data)
    acts = AuditEvent.objects.filter(action="archives.export", actor=owner)
    assert [act.data["archives"] for act in acts] == [3, 3]


def test_the_whole_challenge_leaves_by_the_page_and_by_the_api(
    phase: Phase, owner: User, sent: list[Submission]
) -> None:
    client = Client()
    client.force_login(owner)
    slug = phase.challenge.slug
    address = reverse("web:desk-challenge-export", args=[slug])
    assert address in body(client.get(reverse("web:desk-scores", args=[slug]))).decode()
    assert "export.zip" in body(client.get(address)).decode()
    bare = body(client.get(reverse("web:desk-challenge-export-zip", args=[slug])))
    _row, token = tokens.create(user=owner, name="t", scopes=["organise"])
    full = body(
        Client().get(
            f"/api/v1/organise/challenges/{slug}/export?personal_data=true&archives=true",
            headers={"Authorization": f"Bearer {token}"},
        )
    )
    kinds = []
    for data in (bare, full):
        with zipfile.ZipFile(io.BytesIO(data)) as found:
            manifest = json.loads(found.read("manifest.json"))["manifest"]
            kinds.append((manifest["personal_data"], manifest["archives"]))
            archives = [name for name in found.namelist() if name.startswith("archives/")]
            assert len(archives) == (3 if manifest["archives"] else 0)
    assert kinds == [(False, False), (True, True)]
    acts = AuditEvent.objects.filter(action="challenge.export", actor=owner).order_by("pk")
    assert [(act.data["personal_data"], act.data["archives"]) for act in acts] == kinds


def test_archives_are_streamed_with_flat_memory(phase: Phase, owner: User) -> None:
    for number in range(3):
        archive = make_archive(bytes([number]) * (12 << 20))
        submit(make_team(phase.challenge, f"Team {number}"), phase, archive=archive)
    tracemalloc.start()
    total = sum(len(part) for part in archive_exports.stream(phase))
    _now, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 36 << 20
    assert peak_bytes < 8 << 20


def test_the_table_is_latex_with_ties_and_intervals(
    phase: Phase, owner: User, sent: list[Submission]
) -> None:
    text = ask(owner, "desk-leaderboard-tex", phase).decode()
    assert text == script(owner, "leaderboard.tex").decode()
    assert r"=Beta \& Co\_1" in text
    rows = [line for line in text.splitlines() if line.startswith(("1", "2", "3"))]
    assert [row.split(" & ")[1] for row in rows] == ["Gamma", r"=Beta \& Co\_1", "Alpha"]
    line = latex.Row(
        rank=1, name="A", method="m", group=4, ious=[0.5, None], miou=0.5, interval=(0.4, 0.6)
    )
    tied = latex.Row(
        rank=1, name="B", method="m", group=4, ious=[0.25, 0.75], miou=0.5, interval=None
    )
    made = latex.table([line, tied], classes=["x", "y"], label="tab:t", caption="T.")
    assert r"1$^{a}$ & A & m & \textbf{50.00} & -- & \textbf{50.00} & [40.00, 60.00] \\" in made
    assert r"1$^{a}$ & B & m & 25.00 & \textbf{75.00} & \textbf{50.00} & -- \\" in made


def trail(user: User, phase: Phase, **wanted: str) -> list[dict[str, str]]:
    client = Client()
    client.force_login(user)
    address = reverse("web:desk-trail-csv", args=[phase.challenge.slug])
    text = body(client.get(address, wanted)).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    return [row for row in rows if row["act"] != "trail.export"]


def test_the_trail_is_found_by_act_person_team_submission_and_time(
    phase: Phase, owner: User, sent: list[Submission]
) -> None:
    judge = factories.make_organiser(phase.challenge, factories.make_user("jo"), role=Role.JUDGE)
    disqualifications.disqualify(team=sent[1].entry.team, actor=owner, reason="twins")
    submission_disqualifications.disqualify(submission=sent[0], actor=judge, reason="late")
    AuditEvent.objects.create(
        at=NOON,
        action="phase.rescore",
        challenge=phase.challenge,
        target=str(phase),
        data={"submissions": [str(sent[0].pk), str(sent[2].pk)]},
    )
    AuditEvent.objects.create(
        at=NOON, action="phase.rescore", challenge=factories.make_challenge("other"), target="x"
    )

    def acts(**wanted: str) -> list[str]:
        return [row["act"] for row in trail(owner, phase, **wanted)]

    every = acts()
    assert (
        len(every)
        == AuditEvent.objects.filter(challenge=phase.challenge)
        .exclude(action="trail.export")
        .count()
    )
    assert acts(act="team.disqualify") == ["team.disqualify"]
    assert acts(person="JO") == ["submission.disqualify"]
    assert acts(submission=str(sent[0].pk)) == ["submission.disqualify", "phase.rescore"]
    assert acts(submission=str(sent[2].pk)) == ["phase.rescore"]
    assert acts(team="=beta & co_1") == ["team.disqualify"]
    assert acts(team="gamma") == ["phase.rescore"]
    day = f"{NOON:%Y-%m-%d}"
    assert acts(since=day, until=day) == ["phase.rescore"]
    assert acts(act="team.disqualify", person="jo") == []
    assert AuditEvent.objects.filter(action="trail.export", actor=owner).exists()


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Team disqualified"), ("fr", "Équipe disqualifiée")]
)
def test_the_page_of_the_trail_says_acts_in_words(
    phase: Phase, owner: User, sent: list[Submission], language: str, words: str
) -> None:
    disqualifications.disqualify(team=sent[1].entry.team, actor=owner, reason="twins")
    client = Client()
    client.force_login(owner)
    client.cookies["django_language"] = language
    page = client.get(reverse("web:desk-trail", args=[phase.challenge.slug])).content.decode()
    assert f'<th scope="row">{words}</th>' in page
    assert f'<option value="team.disqualify">{words}</option>' in page
    assert ">team.disqualify<" not in page


def test_every_act_that_is_recorded_has_words() -> None:
    code = re.compile(r"[a-z_]+\.[a-z-]+")
    recorded = set()
    for path in (ROOT / "challenge").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            if name not in {"record", "_record", "_write"}:
                continue
            given = [*call.args, *(one.value for one in call.keywords if one.arg == "action")]
            recorded |= {
                node.value
                for value in given
                if isinstance(value, ast.Constant | ast.IfExp)
                for node in ast.walk(value)
                if isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and code.fullmatch(node.value)
            }
    assert len(recorded) > 50
    assert recorded - set(trail_words.ACTS) == set()


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_no_page_has_violations_overflows_or_console_errors(
    live_server: LiveServer,
    browser: Browser,
    phase: Phase,
    owner: User,
    sent: list[Submission],
    width_px: int,
    language: str,
    theme: str,
) -> None:
    disqualifications.disqualify(team=sent[1].entry.team, actor=owner, reason="twins")
    context, shown, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    sign_in_as(owner, context, site=live_server.url)
    faults: list[str] = []
    for name in ("desk-scores", "desk-trail", "desk-challenge-export"):
        address = reverse(f"web:{name}", args=[phase.challenge.slug])
        shown.goto(address)
        assert shown.locator("html").get_attribute("lang") == language
        if name == "desk-trail":
            shown.locator("details").first.click()
        faults += find_faults(shown, address, width_px=width_px)
    assert faults == []
    assert complaints == []
    context.close()
