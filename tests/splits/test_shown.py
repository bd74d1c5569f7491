"""What pages, API and files say of public and private zones, before and after the reveal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from challenge.models import GroundTruth
from scoring.cli import cli
from tests.factories import captain_of
from tests.permissions.world import Visitor
from tests.splits.test_reveal import Scored, close, reveal_now, scored

__all__ = ["scored"]
pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1/challenges/tiny/phases/test"


def text_of(url: str, *, language: str = "en", user: Any = None) -> str:
    client = Client(headers={"accept-language": language})
    if user is not None:
        user.language = language
        user.save()
        client.force_login(user)
    answer = client.get(url)
    assert answer.status_code == 200, url
    return " ".join(answer.content.decode().replace("\xa0", " ").split())


def test_before_the_reveal(scored: Scored) -> None:
    url, truth = reverse("web:leaderboard", args=["tiny", "test"]), GroundTruth.objects.get()
    english, french = text_of(url), text_of(url, language="fr")
    assert "counts the public zones alone: 4 of 8 zones, 50.0 % of the pixels" in english
    assert "compte les seules zones publiques : 4 zones sur 8, 50,0 % des pixels" in french
    assert truth.split_commitment in english
    assert "a public part of the zones" in text_of("/challenges/tiny/")
    assert "une part publique des zones" in text_of("/challenges/tiny/", language="fr")
    captain = captain_of(scored.alpha)
    for language, said in {"en": "public zones alone", "fr": "seules zones publiques"}.items():
        assert said in text_of(f"/submissions/{scored.first.pk}/", language=language, user=captain)

    labels = Visitor(None).ask("GET", f"{API}/labels").json()["items"][0]["split"]
    assert labels == {
        "commitment": truth.split_commitment,
        "zones": 8,
        "public_zones": 4,
        "patches": 16,
        "public_patches": 8,
        "public_pixels": 512,
        "public_list": None,
        "nonce": None,
    }
    board = Visitor(None).ask("GET", f"{API}/leaderboard").json()
    assert board["counted_zones"] == "public"
    assert {row["public_miou"] for row in board["rows"]} == {None}
    phase = Visitor(None).ask("GET", API).json()
    assert (phase["counted_zones"], phase["revealed_at"]) == ("public", None)
    score = Visitor(captain).ask("GET", f"/api/v1/submissions/{scored.first.pk}/score").json()
    assert (score["counted_zones"], score["patches"]) == ("public", 8)


def test_after_the_reveal(scored: Scored, tmp_path: Path, capsys: Any) -> None:
    close(scored.world)
    reveal_now(scored.world)
    url, truth = reverse("web:leaderboard", args=["tiny", "test"]), GroundTruth.objects.get()
    english, french = text_of(url), text_of(url, language="fr")
    assert "Ranked by the private zones, 4 of 8" in english
    assert "Classé par les zones privées, 4 sur 8" in french
    assert "▲1" in english
    assert "▼1" in english
    assert truth.split_nonce in english
    assert ", ".join(truth.public_zones) in english
    board = Visitor(None).ask("GET", f"{API}/leaderboard").json()
    assert board["counted_zones"] == "private"
    assert [(row["rank"], row["public_rank"]) for row in board["rows"]] == [(1, 2), (2, 1)]
    table = Visitor(None).ask("GET", f"{API}/leaderboard?format=csv").content.decode()
    assert table.splitlines()[0].endswith("kind,public_rank,public_miou")
    captain = captain_of(scored.alpha)
    for language, said in {"en": "private zones, which", "fr": "zones privées, qui"}.items():
        assert said in text_of(f"/submissions/{scored.first.pk}/", language=language, user=captain)
    score = Visitor(captain).ask("GET", f"/api/v1/submissions/{scored.first.pk}/score").json()
    assert score["counted_zones"] == "private"

    labels = Visitor(None).ask("GET", f"{API}/labels").json()
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(labels))
    noted = ["--commitment", truth.split_commitment]
    assert cli.main(["verify-split", str(file), *noted]) == 0
    assert "4 public zones is the one that was committed to" in capsys.readouterr().out
    assert cli.main(["verify-split", str(file), "--commitment", "00" * 32]) == 1
    labels["items"][0]["split"]["public_list"].pop()
    file.write_text(json.dumps(labels))
    assert cli.main(["verify-split", str(file)]) == 1
    assert "is NOT the one" in capsys.readouterr().out
    labels["items"][0]["split"] |= {"public_list": None, "nonce": None}
    file.write_text(json.dumps(labels))
    assert cli.main(["verify-split", str(file)]) == 2
    file.write_text("{}")
    assert cli.main(["verify-split", str(file)]) == 2
