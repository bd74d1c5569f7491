"""/metrics: for who has the token; queues from the database, requests over all processes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from challenge.embedded.data_folder import ROOT
from challenge.models import Phase
from challenge.selectors import operations
from challenge.services import maintenance
from challenge.services.submissions import evaluations
from challenge.services.training import training_runs
from tests.factories import make_card, make_phase, make_team, submit
from tests.live_site import LiveSite

TOKEN = "a-token-of-the-tests"
MONITORING = ROOT / "docs" / "monitoring"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def phase(db: None) -> Phase:
    """An open phase, whatever the day."""
    return make_phase(closes_at=None)


def parse(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(client: Client) -> Samples:
    answer = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    return parse(answer.content.decode())


@pytest.mark.django_db
@pytest.mark.parametrize("setting", ["", TOKEN])
@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", "Bearer ", "Bearer no", f"Basic {TOKEN}", TOKEN]
)
def test_nobody_reads_them_without_the_token(
    client: Client, settings: Any, setting: str, sent: str | None
) -> None:
    settings.METRICS_TOKEN = setting
    headers = {} if sent is None else {"authorization": sent}
    answer = client.get("/metrics", headers=headers)
    assert (answer.status_code, answer.content) == (404, b"not found\n")


@pytest.mark.django_db
def test_the_queues_and_verdicts_are_those_of_the_database(
    client: Client, settings: Any, phase: Phase
) -> None:
    settings.METRICS_TOKEN = TOKEN
    now = timezone.now()
    teams = [make_team(phase.challenge) for _ in range(5)]
    for minutes, team in enumerate(teams):
        submit(team, phase, at=now - timedelta(minutes=50 - minutes))
    claims = [evaluations.claim(worker="w", now=now - timedelta(seconds=40)) for _ in range(3)]
    scored, rejected, running = (claim for claim in claims if claim is not None)
    ended = now - timedelta(seconds=31)
    evaluations.complete_scored(scored.evaluation_id, attempt=1, card=make_card(), now=ended)
    evaluations.complete_rejected(
        rejected.evaluation_id, attempt=1, problems=[{"code": "zip-broken"}], now=ended
    )
    assert running.attempt == 1
    training_runs.create(recipe="unet", data_root="toy", actor=None)
    found = read(client)
    assert found["flair_database_up", ()] == 1
    assert found["flair_queue_jobs", (("kind", "scoring"),)] == 2
    assert found["flair_jobs_running", (("kind", "scoring"),)] == 1
    assert found["flair_queue_jobs", (("kind", "re-scoring"),)] == 0
    assert found["flair_queue_jobs", (("kind", "training"),)] == 1
    assert 46 * 60 < found["flair_queue_oldest_seconds", (("kind", "scoring"),)] < 50 * 60
    verdicts = "flair_evaluations_finished_last_hour"
    assert found[verdicts, (("code", ""), ("state", "scored"))] == 1
    assert found[verdicts, (("code", "zip-broken"), ("state", "rejected"))] == 1
    assert found["flair_scoring_seconds_last_hour", (("quantile", "0.5"),)] == pytest.approx(9)
    assert ("flair_last_sweep_timestamp_seconds", ()) not in found


@pytest.mark.django_db
def test_lost_workers_and_the_sweep_are_told(client: Client, settings: Any, phase: Phase) -> None:
    settings.METRICS_TOKEN = TOKEN
    submit(make_team(phase.challenge), phase)
    assert evaluations.claim(worker="w", now=timezone.now() - timedelta(hours=2)) is not None
    maintenance.sweep()
    found = read(client)
    assert found["flair_leases_lost_last_hour", ()] == 1
    assert abs(found["flair_last_sweep_timestamp_seconds", ()] - timezone.now().timestamp()) < 60


@pytest.mark.django_db
def test_without_the_database_the_rest_is_told(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.METRICS_TOKEN = TOKEN

    def away() -> None:
        raise OperationalError("away")

    monkeypatch.setattr(operations, "read", away)
    client.get("/livez")
    found = read(client)
    assert found["flair_database_up", ()] == 0
    assert not [name for name, _ in found if name.startswith("flair_queue")]
    assert [name for name, _ in found if name == "flair_http_request_seconds_count"]


@pytest.fixture
def site(tmp_path: Path, transactional_db: None) -> Iterator[LiveSite]:
    environment = {"WEB_WORKERS": "2", "METRICS_TOKEN": TOKEN}
    site = LiveSite(tmp_path, environment=environment)
    site.start()
    yield site
    site.stop()


@pytest.mark.django_db(transaction=True)
def test_requests_are_summed_over_the_processes(site: LiveSite) -> None:
    for _ in range(30):
        # A connection each, so that both processes answer some.
        assert httpx.get(f"{site.url}/livez", timeout=120).status_code == 200
    assert httpx.get(f"{site.url}/nothing-here", timeout=120).status_code == 404
    answer = httpx.get(
        f"{site.url}/metrics", headers={"authorization": f"Bearer {TOKEN}"}, timeout=120
    )
    found = parse(answer.text)
    count = "flair_http_request_seconds_count"
    assert found[count, (("method", "GET"), ("status", "2xx"))] >= 30
    assert found[count, (("method", "GET"), ("status", "4xx"))] == 1


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\bflair_[a-z0-9_]+", expression))


@pytest.mark.django_db
def test_rules_and_dashboard_ask_for_metrics_that_exist(
    client: Client, settings: Any, phase: Phase
) -> None:
    settings.METRICS_TOKEN = TOKEN
    now = timezone.now()
    submit(make_team(phase.challenge), phase, at=now)
    claim = evaluations.claim(worker="w", now=now)
    assert claim is not None
    evaluations.complete_scored(claim.evaluation_id, attempt=1, card=make_card(), now=now)
    maintenance.sweep()
    client.get("/livez")
    known = {name for name, _ in read(client)}
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
    panels = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    asked = [rule["expr"] for rule in rules]
    asked += [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(asked) > 15
    for expression in asked:
        assert names_in(expression)
        assert names_in(expression) <= known, expression
    assert all(rule["annotations"]["description"] for rule in rules)
