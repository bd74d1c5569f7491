"""Tokens, one's own data, deletion, receipts."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta

import pytest
from django.conf import settings

from challenge.models import ApiToken, Submission, Team, User
from challenge.rules.disclosure import Viewer
from challenge.selectors import phase_disclosure
from challenge.services import signing
from challenge.services.accounts import accounts, tokens
from challenge.services.challenges import phases
from challenge.services.submissions import receipts, rescoring
from challenge.services.teams import teams
from tests.factories import (
    NOON,
    captain_of,
    give_score,
    make_challenge,
    make_organiser,
    make_phase,
    make_team,
    make_user,
    submit,
)
from tests.helpers import refused

pytestmark = pytest.mark.django_db


def test_a_token_is_shown_once_and_stored_as_a_hash() -> None:
    user = make_user()
    token, plain = tokens.create(user=user, name="cluster", scopes=["submit", "read"])
    assert plain.startswith(f"flair_{token.prefix}_")
    assert token.scopes == ["read", "submit"]
    row = ApiToken.objects.values().get()
    assert plain not in json.dumps(row, default=str)
    found = tokens.authenticate(plain, now=NOON)
    assert found is not None
    assert found.user == user
    assert found.last_used_at == NOON


@pytest.mark.parametrize(
    "wrong", ["", "flair", "flair_", "flair__", "other_x_y", "flair_000000000000_x", "x" * 999]
)
def test_a_wrong_token_is_nobody(wrong: str) -> None:
    tokens.create(user=make_user(), name="t", scopes=["read"])
    assert tokens.authenticate(wrong) is None


def test_a_changed_secret_is_nobody() -> None:
    _, plain = tokens.create(user=make_user(), name="t", scopes=["read"])
    assert tokens.authenticate(plain[:-1] + ("a" if plain[-1] != "a" else "b")) is None


def test_expired_revoked_and_closed_accounts_tokens_are_over() -> None:
    user = make_user()
    _token, plain = tokens.create(
        user=user, name="t", scopes=["read"], expires_at=NOON, now=NOON - timedelta(days=1)
    )
    assert tokens.authenticate(plain, now=NOON - timedelta(seconds=1)) is not None
    assert tokens.authenticate(plain, now=NOON) is None
    other, plain = tokens.create(user=user, name="u", scopes=["read"])
    with refused("not-found"):
        tokens.revoke(token=other, actor=make_user())
    tokens.revoke(token=other, actor=user)
    assert tokens.authenticate(plain) is None
    _, plain = tokens.create(user=user, name="v", scopes=["read"])
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert tokens.authenticate(plain) is None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": " ", "scopes": ["read"]}, "token-name-missing"),
        ({"name": "t", "scopes": []}, "token-scopes-invalid"),
        ({"name": "t", "scopes": ["root"]}, "token-scopes-invalid"),
        ({"name": "t", "scopes": ["read"], "expires_at": NOON}, "token-expiry-past"),
    ],
)
def test_bad_tokens_are_refused(fields: dict[str, object], code: str) -> None:
    with refused(code):
        tokens.create(user=make_user(), now=NOON, **fields)


def test_the_number_of_live_tokens_is_limited() -> None:
    user = make_user()
    for number in range(tokens.TOKENS_PER_PERSON):
        tokens.create(user=user, name=f"t{number}", scopes=["read"])
    with refused("token-limit"):
        tokens.create(user=user, name="more", scopes=["read"])


def test_the_export_holds_everything_with_values_as_disclosed() -> None:
    phase = make_phase(daily_limit=None)
    team = make_team(phase.challenge, "Alpha")
    user = captain_of(team)
    tokens.create(user=user, name="cluster", scopes=["read"])
    give_score(submit(team, phase), 0.123456789)
    found = accounts.export(user=user, now=NOON)
    text = json.dumps(found)
    assert found["profile"]["email"] == user.email
    assert found["teams"][0]["team"] == "Alpha"
    assert found["tokens"][0]["name"] == "cluster"
    assert found["submissions"][0]["evaluations"] == [{"state": "scored", "miou": 0.123}]
    assert "123456789" not in text
    assert user.password not in text


def test_deletion_leaves_the_score_without_the_person() -> None:
    phase = make_phase()
    team = make_team(phase.challenge, "Ada")
    user = captain_of(team)
    give_score(submit(team, phase), 0.5)
    waiting = submit(team, phase)
    [again] = rescoring.enqueue(phase=phase, actor=None, force=True)
    accounts.delete(user=user, now=NOON)
    again.refresh_from_db()
    assert again.state == "queued"  # what an organiser asked for is not the team's to call off
    assert not User.objects.filter(pk=user.pk).exists()
    team.refresh_from_db()
    assert "Ada" not in team.name
    assert phase.rank_lines.count() == 1
    assert waiting.evaluations.get().state == "cancelled"
    assert set(Submission.objects.values_list("submitted_by", flat=True)) == {None}


def test_deletion_of_who_never_submitted_leaves_nothing() -> None:
    challenge = make_challenge()
    user = make_user()
    teams.register(user=user, challenge=challenge, accept_terms_version="1")
    accounts.delete(user=user)
    assert not Team.objects.exists()


def test_a_captain_of_others_and_the_only_organiser_stay() -> None:
    challenge = make_challenge()
    captain = make_user()
    make_team(challenge, members=[captain, make_user()])
    with refused("account-leads-team"):
        accounts.delete(user=captain)
    organiser = make_user()
    make_organiser(challenge, organiser)
    with refused("account-last-organiser"):
        accounts.delete(user=organiser)


def test_a_receipt_verifies_offline_until_a_digit_is_changed() -> None:
    phase = make_phase()
    submission = submit(make_team(phase.challenge), phase)
    give_score(submission, 0.123456789)
    signed = receipts.sign(submission, viewer=Viewer.OWNER, now=NOON)
    assert signed["receipt"]["miou"] == 0.123
    assert signed["receipt"]["archive_sha256"] == submission.archive_sha256
    signed = json.loads(json.dumps(signed))
    assert receipts.verify(signed, key=signing.public_key())
    signed["receipt"]["miou"] = 0.9
    assert not receipts.verify(signed, key=signing.public_key())
    assert not receipts.verify({}, key=signing.public_key())


def test_a_receipt_names_hidden_labels_by_a_commitment_that_opens_after_the_close() -> None:
    phase = make_phase()
    submission = submit(make_team(phase.challenge), phase)
    give_score(submission, 0.5)
    truth = phase.ground_truth
    old = json.loads(json.dumps(receipts.sign(submission, viewer=Viewer.OWNER, now=NOON)))
    assert set(old["receipt"]["ground_truth"]) == {"name", "commitment"}
    assert truth.digest[:12] not in json.dumps(old)
    assert phase.closes_at is not None
    new = receipts.sign(submission, viewer=Viewer.OWNER, now=phase.closes_at)
    opened = new["receipt"]["ground_truth"]
    assert opened["digest"] == truth.digest
    assert receipts.verify(old, key=signing.public_key())
    assert receipts.labels_match(old, digest=truth.digest, commitment_key=opened["commitment_key"])
    assert not receipts.labels_match(old, digest="0" * 64, commitment_key=opened["commitment_key"])
    wanted = hmac.new(
        bytes.fromhex(opened["commitment_key"]), truth.digest.encode(), hashlib.sha256
    )
    assert old["receipt"]["ground_truth"]["commitment"] == wanted.hexdigest()


def test_a_receipt_of_the_first_version_keeps_verifying() -> None:
    receipt = {"version": 1, "ground_truth": {"name": "abc test v1", "digest": "ab" * 32}}
    signed = {"receipt": receipt, "signature": signing.sign(receipt), "key": signing.public_key()}
    assert receipts.verify(signed, key=signing.public_key())
    assert receipts.labels_match(signed, digest="ab" * 32, commitment_key="")
    assert not receipts.labels_match(signed, digest="cd" * 32, commitment_key="")


@pytest.mark.parametrize("precision", ["labels-closed", "phase-closed"])
def test_labels_stay_sealed_while_another_phase_has_them(precision: str) -> None:
    phase = make_phase(precision=precision)
    assert phase.closes_at is not None
    make_phase(
        phase.challenge,
        "second",
        truth=False,
        ground_truth=phase.ground_truth,
        closes_at=phase.closes_at + timedelta(days=1),
    )
    phases.update_labels_open_until()
    phase.refresh_from_db()
    assert phase_disclosure.labels_sealed(phase, now=phase.closes_at)
    later = phase.closes_at + timedelta(days=1)
    assert not phase_disclosure.labels_sealed(phase, now=later)


def test_public_labels_are_not_sealed() -> None:
    assert not phase_disclosure.labels_sealed(make_phase(labels_public=True), now=NOON)


def test_a_receipt_shows_no_more_than_the_phase_does() -> None:
    phase = make_phase(detail="miou", visibility="organisers")
    submission = submit(make_team(phase.challenge), phase)
    give_score(submission, 0.123456789)
    with refused("not-found"):
        receipts.sign(submission, viewer=Viewer.OWNER, now=NOON)
    phase.visibility = "public"
    phase.save()
    submission.refresh_from_db()
    fresh = Submission.objects.get(pk=submission.pk)
    assert "class_ious" not in receipts.sign(fresh, viewer=Viewer.OWNER, now=NOON)["receipt"]


def test_the_receipts_key_may_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    derived = signing.public_key()
    monkeypatch.setattr(settings, "RECEIPT_KEY", "11" * 32)
    assert signing.public_key() != derived
