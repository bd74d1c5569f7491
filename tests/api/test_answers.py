"""What the API answers: shapes, refusals, pages, tags, limits."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core import mail
from django.core.management import call_command
from django.test import Client, override_settings
from django.utils import timezone
from openapi_spec_validator import validate

from challenge.api.endpoints.phases import BoardOut, RowOut
from challenge.api.root import api
from challenge.errors import CATALOGUE
from challenge.models import Challenge, Phase, QuotaLine, Registration, Submission, Upload
from challenge.rules.disclosure import Visibility
from challenge.services.notifications import mails
from challenge.services.submissions import receipts
from tests import factories
from tests.api.conftest import Caller, World, caller, token_of

pytestmark = pytest.mark.usefixtures("running_servers")
# What 0.123456789 may become while its labels are hidden.
ROUNDED = (0.123, 0.124)
BOARD = "/challenges/abc/phases/test/leaderboard"


def code(response: Any) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["detail"]
    return response.status_code, problem["code"]


def test_it_works(reader: Caller) -> None:
    (line,) = reader.get("/challenges").json()["items"]
    assert line["slug"] == "abc"
    assert [phase["phase"] for phase in line["phases"]] == ["abc/test"]
    assert line["phases"][0]["window"] == "open"


def test_the_challenge_endpoint_returns_every_field(reader: Caller) -> None:
    found = reader.get("/challenges/abc").json()
    assert [one["key"] for one in found["classes"]] == ["a", "b", "other"]
    assert "downloads" not in found["facts"]


def test_hidden_challenges_are_not_there(world: World, reader: Caller, olga: Caller) -> None:
    factories.make_challenge("hidden", is_published=False)
    assert code(reader.get("/challenges/hidden")) == (404, "not-found")
    assert code(olga.get("/challenges/hidden")) == (404, "not-found")
    Phase.objects.update(is_published=False)
    assert code(reader.get(BOARD)) == (404, "not-found")
    assert olga.get(BOARD).status_code == 200


def test_the_task_is_all_that_an_offline_check_needs(reader: Caller) -> None:
    from scoring.engine.task.specification import from_json

    found = reader.get("/challenges/abc/phases/test/task").json()
    spec = from_json({**found["task"], "expected": []})
    assert spec.n_classes == 3
    assert found["task"]["expected"][0] == ["D001_2020", "Z0_UU", "p0"]


def test_patches_as_json_and_csv(reader: Caller) -> None:
    url = "/challenges/abc/phases/test/patches"
    assert reader.get(url).json()[0] == ["p0", "D001_2020", "Z0_UU"]
    answer = reader.get(f"{url}?format=csv")
    assert answer.content.decode().splitlines()[:2] == ["domain,zone,patch", "D001_2020,Z0_UU,p0"]
    assert "attachment" in answer.headers["Content-Disposition"]


def test_the_board_is_rounded_while_the_phase_is_open(reader: Caller) -> None:
    board = reader.get(BOARD).json()
    BoardOut.model_validate(board, strict=False)
    assert set(board) == set(BoardOut.model_fields)
    assert set(board["rows"][0]) == set(RowOut.model_fields)
    assert [(row["rank"], row["team"]) for row in board["rows"]] == [(1, "=Beta"), (2, "Alpha")]
    assert board["rows"][0]["miou"] == 0.5
    assert board["rows"][1]["miou"] in ROUNDED
    assert (board["decimals"], board["miou_step"]) == (3, 0.001)
    assert {row["submission"] for row in board["rows"]} == {None}


def test_the_leaderboard_names_the_viewers_own_submission(ada: Caller, world: World) -> None:
    rows = {row["team"]: row for row in ada.get(BOARD).json()["rows"]}
    assert rows["Alpha"]["submission"] == str(world.scored.id)
    assert rows["=Beta"]["submission"] is None


def test_the_board_as_csv_is_safe_in_a_spreadsheet(reader: Caller) -> None:
    answer = reader.get(f"{BOARD}?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert rows[0]["team"] == "'=Beta"
    assert rows[0]["method"] == "'+cmd"
    assert float(rows[1]["miou"]) in ROUNDED
    assert answer.headers["Content-Type"].startswith("text/csv")


def test_a_token_that_may_not_read_sees_what_readers_see(world: World) -> None:
    ada = caller(world.captain, ["submit"])
    rows = ada.get("/challenges/abc/phases/test/leaderboard").json()["rows"]
    assert rows
    assert not any(row["is_mine"] for row in rows)
    Challenge.objects.update(is_published=False)
    assert caller(world.organiser, ["read"]).get("/challenges/abc").status_code == 200
    for scopes in (["submit"], ["organise"]):
        assert caller(world.organiser, scopes).get("/challenges/abc").status_code == 404


def test_a_hidden_board_shows_no_row(world: World, reader: Caller, olga: Caller) -> None:
    Phase.objects.update(visibility=Visibility.ORGANISERS.value)
    assert reader.get(BOARD).json()["rows"] == []
    assert len(olga.get(BOARD).json()["rows"]) == 2


def test_unchanged_answers_are_304(world: World, reader: Caller, ada: Caller) -> None:
    first = reader.get(BOARD)
    tag = first.headers["ETag"]
    again = reader.get(BOARD, **{"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert "Authorization" in first.headers["Vary"]
    assert ada.get(BOARD).headers["ETag"] != tag  # "is_mine" differs
    factories.give_score(world.waiting, 0.9)
    assert reader.get(BOARD, **{"if-none-match": tag}).status_code == 200


def test_the_boards_queries_do_not_grow(
    world: World, reader: Caller, django_assert_max_num_queries: Any
) -> None:
    for number in range(5):
        team = factories.make_team(world.challenge)
        factories.give_score(
            factories.submit(team, world.phase, at=timezone.now()), 0.3 + number / 100
        )
    with django_assert_max_num_queries(4):
        assert len(reader.get(BOARD).json()["rows"]) == 7


def test_me(ada: Caller, world: World) -> None:
    me = ada.get("/me").json()
    assert (me["username"], me["scopes"]) == ("ada", ["organise", "read", "submit"])
    assert me["registrations"][0]["team"] == "Alpha"


def test_registering_accepts_the_rules_in_force(world: World) -> None:
    sam = caller(world.stranger)
    url = "/challenges/abc/registration"
    assert code(sam.get(url)) == (403, "not-registered")
    assert code(sam.post(url, {"accept_terms_version": "old"})) == (409, "terms-outdated")
    assert sam.post(url, {"accept_terms_version": "1"}).json()["state"] == "approved"
    assert sam.get(url).json()["team"] == "sam"


def test_data_is_for_those_who_take_part(world: World, ada: Caller) -> None:
    line = {"file": "a.zip", "size": "1 MB", "content": {"en": "A"}, "url": "https://x.example/a"}
    world.challenge.facts = {"downloads": [line]}
    world.challenge.save()
    assert ada.get("/challenges/abc/downloads").json()["items"] == [line]
    assert code(caller(world.stranger).get("/challenges/abc/downloads")) == (403, "not-registered")


def test_ones_quota(ada: Caller, world: World) -> None:
    Phase.objects.update(daily_limit=3)
    quota = ada.get("/challenges/abc/phases/test/quota").json()
    assert (quota["used_today"] + quota["left_today"], quota["daily_limit"]) == (3, 3)
    assert (quota["archives_bytes"], quota["archives_limit_bytes"]) == (2000, 100_000_000_000)


def make_upload(world: World, content: bytes = b"PK") -> Upload:
    archive = factories.make_archive(content)
    return Upload.objects.create(
        user=world.captain,
        length_bytes=len(content),
        original_name="p.zip",
        expires_at=timezone.now() + timedelta(hours=1),
        completed_at=timezone.now(),
        archive=archive.name,
        sha256=archive.sha256,
    )


def test_a_finished_upload_becomes_a_submission_once(ada: Caller, world: World) -> None:
    upload = make_upload(world)
    facts = {
        "phase": "abc/test",
        "upload": str(upload.id),
        "method_name": "U-Net",
        "method_seconds": 3.5,
        "baseline_seconds": 2,
        "hardware": "one GPU",
    }
    answer = ada.post("/submissions", facts)
    assert answer.status_code == 201
    found = answer.json()
    assert (found["state"], found["number"], found["method_seconds"]) == ("queued", 3, 3.5)
    assert found["archive"] == {
        "name": "p.zip",
        "bytes": 2,
        "sha256": upload.sha256,
        "removed_at": None,
    }
    assert found["queue"]["ahead"] == 1
    again = ada.post("/submissions", facts)
    assert code(again) == (409, "upload-used")
    assert again.json()["params"]["submission"] == found["id"]


def test_what_is_refused_is_refused_in_words(ada: Caller, world: World) -> None:
    upload = str(make_upload(world).id)
    good = {"phase": "abc/test", "upload": upload, "method_name": "m"}
    assert code(ada.post("/submissions", good | {"phase": "abc/none"})) == (404, "not-found")
    assert code(ada.post("/submissions", good | {"upload": str(uuid4())})) == (
        404,
        "upload-not-found",
    )
    assert code(ada.post("/submissions", good | {"code_url": "ftp://x"})) == (422, "url-invalid")
    answer = ada.post("/submissions", good | {"colour": "red", "method_name": ""})
    assert code(answer) == (422, "request-invalid")
    fields = {one["field"] for one in answer.json()["errors"]}
    assert fields == {"body.given.colour", "body.given.method_name"}
    Phase.objects.update(daily_limit=1)
    QuotaLine.objects.update(day=timezone.now().date())
    answer = ada.post("/submissions", good)
    assert code(answer) == (429, "quota-day-used")
    assert "refills_at" in answer.json()["params"]
    Phase.objects.update(closes_at=timezone.now() - timedelta(seconds=1))
    assert code(ada.post("/submissions", good)) == (409, "phase-closed")


def test_another_persons_upload_looks_like_none(world: World) -> None:
    bob = caller(factories.captain_of(world.rival))
    body = {"phase": "abc/test", "upload": str(make_upload(world).id), "method_name": "m"}
    assert code(bob.post("/submissions", body)) == (404, "upload-not-found")


def test_ones_submissions_and_nobody_elses(ada: Caller, world: World) -> None:
    ids = [one["id"] for one in ada.get("/submissions").json()["items"]]
    assert ids == [str(world.waiting.id), str(world.scored.id)]
    assert code(ada.get(f"/submissions/{world.rivals.id}")) == (404, "not-found")
    assert ada.get("/submissions?state=scored").json()["items"][0]["miou"] in ROUNDED
    assert ada.get("/submissions?phase=abc/test&state=failed").json()["items"] == []


def test_pages_hold_every_row_once_while_rows_arrive(ada: Caller, world: World) -> None:
    for _turn in range(7):
        factories.submit(world.team, world.phase, at=timezone.now())
    seen: list[str] = []
    url = "/submissions?limit=2"
    cursor = None
    while True:
        found = ada.get(url + (f"&cursor={cursor}" if cursor else "")).json()
        seen += [one["id"] for one in found["items"]]
        if len(seen) == 4:
            factories.submit(world.team, world.phase, at=timezone.now())
        cursor = found["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 9


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", f"limit={2**63}", "cursor=x", "state=odd"]
)
def test_strange_pages_are_refused(ada: Caller, query: str) -> None:
    assert code(ada.get(f"/submissions?{query}")) == (422, "request-invalid")


def test_a_score_as_it_may_leave(ada: Caller, world: World) -> None:
    answer = ada.get(f"/submissions/{world.scored.id}/score")
    score = answer.json()
    assert score["miou"] in ROUNDED
    assert (score["decimals"], score["miou_step"]) == (3, 0.001)
    assert score["classes"][0]["truth_pixels"] is None
    assert score["confusion"] is None
    assert "1234567" not in answer.content.decode()
    assert code(ada.get(f"/submissions/{world.waiting.id}/score")) == (409, "score-not-ready")


def test_a_score_in_full_after_the_close(ada: Caller, world: World) -> None:
    Phase.objects.update(closes_at=timezone.now() - timedelta(seconds=1))
    score = ada.get(f"/submissions/{world.scored.id}/score").json()
    assert score["miou"] in ROUNDED, "a submission still waits for its verdict"
    assert ada.post(f"/submissions/{world.waiting.id}/cancel").status_code == 200
    score = ada.get(f"/submissions/{world.scored.id}/score").json()
    assert (score["miou"], score["decimals"], score["miou_step"]) == (0.123456789, None, None)
    assert score["confusion"][0][0] == 1234567


def test_a_receipt_verifies_with_the_public_key(ada: Caller, reader: Caller, world: World) -> None:
    signed = ada.get(f"/submissions/{world.scored.id}/receipt").json()
    key = reader.get("/receipts/key").json()["key"]
    assert receipts.verify(signed, key=key)
    signed["receipt"]["miou"] = 1.0
    assert not receipts.verify(signed, key=key)


def test_the_archive_comes_back_as_a_download_alone(ada: Caller, world: World) -> None:
    archive = factories.make_archive(b"<script>alert(1)</script>", name="x.html")
    Submission.objects.filter(pk=world.scored.pk).update(
        archive=archive.name, archive_bytes=archive.bytes
    )
    answer = ada.get(f"/submissions/{world.scored.id}/archive")
    assert b"".join(answer.streaming_content) == b"<script>alert(1)</script>"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_cancelling_what_waits(ada: Caller, world: World) -> None:
    url = f"/submissions/{world.waiting.id}/cancel"
    assert ada.post(url).json()["state"] == "cancelled"
    assert code(ada.post(url)) == (409, "illegal-move")


def test_choosing_for_the_final_ranking(ada: Caller, world: World) -> None:
    url = f"/submissions/{world.scored.id}/final"
    assert code(ada.post(url, {"chosen": True})) == (409, "finals-not-used")
    Phase.objects.update(finals_limit=2)
    assert ada.post(url, {"chosen": True}).json()["is_final"] is True
    assert code(ada.post(url, {"chosen": "yes"})) == (422, "request-invalid")
    waiting = f"/submissions/{world.waiting.id}"
    assert ada.post(f"{waiting}/final", {"chosen": True}).json()["is_final"] is True
    ada.post(f"{waiting}/cancel")
    again = ada.post(f"{waiting}/final", {"chosen": True})
    assert code(again) == (409, "finals-not-scored")


def test_an_invitation_to_an_address_is_mailed(ada: Caller) -> None:
    made = ada.post("/challenges/abc/team/invitations", {"email": "bo@example.org"}).json()
    assert mails.send_due() == 1
    assert mail.outbox[0].to == ["bo@example.org"]
    assert made["url"] in mail.outbox[0].body


def test_team_endpoints_work(ada: Caller, world: World) -> None:
    team = ada.call("PATCH", "/challenges/abc/team", {"name": "Alphabet"}).json()
    assert (team["name"], team["role"]) == ("Alphabet", "captain")
    assert code(ada.call("PATCH", "/challenges/abc/team", {"name": "=beta"})) == (
        409,
        "team-name-taken",
    )
    invitation = ada.post("/challenges/abc/team/invitations", {}).json()
    sam = caller(world.stranger)
    sam.post("/challenges/abc/registration", {"accept_terms_version": "1"})
    assert sam.post("/invitations/accept", {"token": invitation["token"]}).status_code == 200
    team = ada.get("/challenges/abc/team").json()
    assert [one["username"] for one in team["members"]] == ["ada", "sam"]
    assert team["invitations"] == []
    assert code(sam.post("/challenges/abc/team/leave")) == (409, "team-has-submitted")
    assert code(ada.call("DELETE", "/challenges/abc/team/members/nobody")) == (404, "not-found")


def test_organisers_do_their_work(world: World, olga: Caller) -> None:
    lines = olga.get("/organise/challenges/abc/submissions").json()["items"]
    assert len(lines) == 3
    people = olga.get("/organise/challenges/abc/registrations?limit=1").json()
    assert len(people["items"]) == 1
    assert people["next_cursor"]
    registration = Registration.objects.get(user=factories.captain_of(world.rival))
    url = f"/organise/challenges/abc/registrations/{registration.pk}"
    undecided = olga.post(url, {"approved": False, "note": "a double"})
    assert undecided.json()["code"] == "registration-lines-undecided"
    refused = {"approved": False, "note": "a double", "lines": "keep"}
    assert olga.post(url, refused).status_code == 200
    registration.refresh_from_db()
    assert registration.state == "refused"
    url = f"/organise/submissions/{world.scored.id}"
    assert code(olga.post(f"{url}/rescore")) == (409, "nothing-to-rescore")
    asked = olga.post(f"{url}/rescore", {"force": True})
    assert (code(asked), asked.json()["params"]["count"]) == ((409, "rescore-unconfirmed"), 1)
    confirmed = {"force": True, "confirm": asked.json()["params"]["confirmation"]}
    assert olga.post(f"{url}/rescore", confirmed).json() == {"queued": 1}
    assert code(olga.post(f"{url}/rescore", confirmed)) == (409, "nothing-to-rescore")
    assert olga.post(f"{url}/disqualify", {"reason": "trained on test"}).status_code == 200
    assert [row["team"] for row in olga.get(BOARD).json()["rows"]] == ["=Beta"]
    assert olga.post(f"{url}/reinstate", {"reason": "a mistake"}).status_code == 200
    answer = olga.get("/organise/challenges/abc/phases/test/export")
    exported = b"".join(answer.streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(exported)))
    assert {row["team"] for row in rows} == {"Alpha", "'=Beta"}
    assert "0.123456789" not in exported


def test_organising_is_for_organisers(ada: Caller, world: World) -> None:
    assert code(ada.get("/organise/challenges/abc/submissions")) == (403, "not-organiser")
    reader = caller(world.organiser, ["read", "submit"])
    assert code(reader.get("/organise/challenges/abc/submissions")) == (403, "token-scope-missing")


@pytest.mark.parametrize(
    ("method", "path", "status", "problem"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("PUT", "/challenges", 405, "method-not-allowed"),
        ("GET", "/me", 401, "not-authenticated"),
        ("POST", "/submissions", 401, "not-authenticated"),
        ("GET", "/submissions/no-uuid", 401, "not-authenticated"),
        ("GET", "/challenges/a%00b", 422, "request-invalid"),
    ],
)
def test_every_error_is_problem_json(
    reader: Caller, method: str, path: str, status: int, problem: str
) -> None:
    response = reader.call(method, path)
    assert code(response) == (status, problem)
    if status == 401:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    if status == 405:
        assert response.headers["Allow"] == "GET, HEAD"


def test_an_unreadable_body_and_our_own_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(raise_request_exception=False)
    headers = {"authorization": f"Bearer {token_of(world.captain)}"}
    answer = client.post(
        "/api/v1/submissions", data="{", content_type="application/json", headers=headers
    )
    assert code(answer) == (400, "body-unreadable")

    def broken(*_args: object, **_more: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("challenge.api.endpoints.phases.leaderboard.of_phase", broken)
    answer = client.get(f"/api/v1{BOARD}", headers=headers)
    assert code(answer) == (500, "server-error")
    assert "secret" not in answer.content.decode()


def test_refusals_are_translated_into_french(reader: Caller) -> None:
    english = reader.get("/challenges/none").json()["detail"]
    french = reader.get("/challenges/none", **{"accept-language": "fr"}).json()["detail"]
    assert english != french


def test_a_wrong_token_is_401_also_where_readers_may_look(world: World) -> None:
    stale = Caller(Client(), "flair_aaaaaaaaaaaa_bbbb")
    assert code(stale.get("/challenges")) == (401, "token-invalid")


def test_a_session_needs_its_csrf_token(world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.captain)
    assert client.get("/api/v1/me").status_code == 200
    url = f"/api/v1/submissions/{world.waiting.id}/cancel"
    assert code(client.post(url)) == (403, "csrf-failed")
    upload = {"tus-resumable": "1.0.0", "upload-length": "5"}
    assert code(client.post("/api/v1/uploads", headers=upload)) == (403, "csrf-failed")
    client.get("/accounts/login/")
    client.cookies["csrftoken"] = "a" * 32
    headers = {"x-csrftoken": "a" * 32}
    assert client.post(url, headers=headers).status_code == 200
    answer = client.generic("POST", "/api/v1/uploads", headers=upload | headers)
    assert answer.status_code == 201


def test_too_many_requests_of_one_token(ada: Caller) -> None:
    with override_settings(API_RATE_TOKEN=3):
        answers = [ada.get("/me") for _turn in range(8)]
    assert code(answers[-1]) == (429, "too-many-requests")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert answers[0].status_code == 200


def test_too_many_requests_of_one_address(reader: Caller) -> None:
    with override_settings(API_RATE_ADDRESS=3):
        assert code([reader.get("/challenges") for _turn in range(8)][-1]) == (
            429,
            "too-many-requests",
        )


def test_behind_a_proxy_each_client_has_its_own_limit(reader: Caller) -> None:
    def ask(told: str) -> int:
        return int(reader.get("/challenges", **{"x-forwarded-for": told}).status_code)

    with override_settings(API_RATE_ADDRESS=3):
        with override_settings(USE_X_FORWARDED_HOST=True):
            assert [ask("9.9.9.9, 192.0.2.1") for _turn in range(8)][-1] == 429
            assert ask("9.9.9.9, 192.0.2.2") == 200
        # Without a proxy the header is anybody's word.
        assert [ask(f"192.0.2.{turn}") for turn in range(10, 20)][-1] == 429


def test_tokens_cannot_be_guessed(world: World) -> None:
    stale = Caller(Client(), "flair_aaaaaaaaaaaa_bbbb")
    answers = [stale.get("/me").status_code for _turn in range(70)]
    assert answers[0] == 401
    assert answers[-1] == 429


def test_no_other_site_may_read_answers(reader: Caller) -> None:
    answer = reader.get("/challenges", origin="https://evil.example")
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_the_document_is_valid_and_committed(reader: Caller) -> None:
    served = reader.get("/openapi.json").json()
    validate(served)
    assert served["openapi"].startswith("3.1")
    call_command("openapi", check=True, verbosity=0)


@pytest.mark.parametrize("name", ["p", "pr", "pre"])
def test_the_document_allows_every_upload_metadata_that_is_documented(
    reader: Caller, name: str
) -> None:
    parameters = reader.get("/openapi.json").json()["paths"]["/api/v1/uploads"]["post"][
        "parameters"
    ]
    pattern = next(p for p in parameters if p["name"] == "Upload-Metadata")["schema"]["pattern"]
    encoded = base64.b64encode(name.encode()).decode()
    phase = base64.b64encode(b"flair-1/test").decode()
    for header in (f"filename {encoded}", f"filename {encoded},phase {phase}", f"phase {phase}"):
        assert re.search(pattern, header), header
    assert not re.search(pattern, "filename not base64")


def test_every_operation_says_who_may_call_it() -> None:
    for path, item in api.get_openapi_schema()["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                assert "security" in operation, (method, path)
                assert operation["tags"], (method, path)


def test_the_catalogue_is_public(reader: Caller) -> None:
    found = reader.get("/problems").json()
    assert set(found["refusals"]) == set(CATALOGUE)
    assert {"en", "fr"} == set(next(iter(found["archive_problems"].values())))
    json.dumps(found)
