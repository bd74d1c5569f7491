"""Final results by the API: draft, signature, what everybody reads."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from challenge.models import FinalResult, Phase
from challenge.rules.roles import Role
from challenge.services import maintenance, signing
from challenge.services.accounts import tokens
from tests import factories

pytestmark = pytest.mark.django_db

DRAFT = "/api/v1/organise/challenges/abc/phases/test/result"
PUBLIC = "/api/v1/challenges/abc/phases/test/results"


def call(method: str, url: str, *, token: str = "", **body: Any) -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    sent = {"data": body, "content_type": "application/json"} if method == "post" else {}
    return getattr(Client(), method)(url, headers=headers, **sent)


def test_a_judge_signs_the_draft_and_anyone_verifies_it() -> None:
    now = timezone.now()
    phase: Phase = factories.make_phase(
        opens_at=now - timedelta(days=9), closes_at=now - timedelta(days=1), grace_minutes=0
    )
    team = factories.make_team(phase.challenge, "Alpha")
    sent = factories.submit(team, phase, at=now - timedelta(days=2))
    factories.give_score(sent, miou=0.5, at=now - timedelta(days=2))
    judge = factories.make_organiser(phase.challenge, role=Role.JUDGE)
    _row, token = tokens.create(user=judge, name="desk", scopes=["organise"])
    early = call("get", DRAFT, token=token).json()
    assert [one["code"] for one in early["obstacles"]] == ["result-not-settled"]
    maintenance.sweep()
    assert call("get", PUBLIC).json() == {"items": []}
    draft = call("get", DRAFT, token=token).json()
    assert draft["obstacles"] == []
    assert [line["team"] for line in draft["lines"]] == ["Alpha"]
    other = call("post", DRAFT, token=token, digest="0" * 64)
    assert (other.status_code, other.json()["code"]) == (409, "result-changed-meanwhile")
    long = call("post", DRAFT, token=token, digest=draft["digest"], reason="x" * 2001)
    assert (long.status_code, long.json()["code"]) == (422, "field-too-long")
    signed = call("post", DRAFT, token=token, digest=draft["digest"], reason="a\x00b").json()
    assert (signed["version"], signed["reason"]) == (1, "ab")
    [public] = call("get", PUBLIC).json()["items"]
    assert public == signed
    assert public["result"] == FinalResult.objects.get().document
    assert signing.is_signed_by(public["result"], signature=public["signature"], key=public["key"])
