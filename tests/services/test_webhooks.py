"""News by webhook: signed, sent once, retried, logged, never into a private network."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import ipaddress
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from challenge.errors import Refusal
from challenge.models import Phase, User, Webhook, WebhookDelivery
from challenge.services import evaluations, webhook_calls, webhooks
from challenge.services.webhook_calls import CannotCall
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(60)]
RESULTS = ["submission.scored", "submission.rejected", "phase.closed"]


def refused(code: str) -> pytest.RaisesExc[Refusal]:
    return pytest.raises(Refusal, check=lambda refusal: refusal.code == code)


class Receiver(http.server.ThreadingHTTPServer):
    """A listener that remembers what it was sent and answers as told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 204
        self.calls: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook?x=1"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(float(self.path.partition("wait=")[2] or 0))
        self.server.calls.append((dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Nothing to say."""


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_ALLOW_PRIVATE = True
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def phase() -> Phase:
    now = timezone.now()
    return factories.make_phase(opens_at=now - timedelta(days=1), closes_at=now + timedelta(days=1))


def hook_of(phase: Phase, receiver: Receiver, **more: Any) -> tuple[Any, Webhook]:
    team = factories.make_team(phase.challenge)
    captain = factories.captain_of(team)
    return team, webhooks.create(user=captain, url=receiver.url, events=RESULTS, **more)


def test_a_score_is_told_signed_and_rounded(phase: Phase, receiver: Receiver) -> None:
    team, hook = hook_of(phase, receiver)
    submission = factories.submit(team, phase, at=timezone.now())
    factories.give_score(submission, 0.123456789, at=timezone.now())
    assert webhooks.deliver() == 1
    ((headers, body),) = receiver.calls
    news = json.loads(body)
    assert (news["event"], news["miou"], news["state"]) == ("submission.scored", 0.1235, "scored")
    assert news["submission"] == str(submission.id)
    stamp, _comma, given = headers["Flair-Signature"].partition(",v1=")
    signed = f"{stamp.removeprefix('t=')}.".encode() + body
    assert hmac.new(hook.secret.encode(), signed, hashlib.sha256).hexdigest() == given
    assert webhooks.deliver() == 0
    assert len(receiver.calls) == 1


def test_a_rejection_is_told_with_its_problems(phase: Phase, receiver: Receiver) -> None:
    team, _hook = hook_of(phase, receiver)
    factories.submit(team, phase, at=timezone.now())
    claim = evaluations.claim(worker="w")
    assert claim is not None
    problem: dict[str, Any] = {"code": "not-a-zip", "message": "no", "file": None, "params": {}}
    evaluations.complete_rejected(claim.evaluation_id, attempt=1, problems=[problem])
    webhooks.deliver()
    news = json.loads(receiver.calls[0][1])
    assert (news["state"], news["problems"]) == ("rejected", [problem])


def test_rivals_are_told_nothing(phase: Phase, receiver: Receiver) -> None:
    _team, _hook = hook_of(phase, receiver)
    rival = factories.make_team(phase.challenge)
    factories.give_score(factories.submit(rival, phase, at=timezone.now()), 0.5)
    assert not WebhookDelivery.objects.exists()


def test_organisers_are_told_of_every_team_while_they_organise(
    phase: Phase, receiver: Receiver
) -> None:
    organiser = factories.make_user()
    with refused("not-organiser"):
        webhooks.create(user=organiser, url=receiver.url, events=RESULTS, challenge=phase.challenge)
    phase.challenge.organisers.add(organiser)
    organiser = User.objects.get(pk=organiser.pk)  # roles are remembered on the object
    webhooks.create(user=organiser, url=receiver.url, events=RESULTS, challenge=phase.challenge)
    team = factories.make_team(phase.challenge)
    factories.give_score(factories.submit(team, phase, at=timezone.now()), 0.5)
    assert WebhookDelivery.objects.count() == 1
    phase.challenge.organisers.remove(organiser)
    factories.give_score(factories.submit(team, phase, at=timezone.now()), 0.6)
    assert WebhookDelivery.objects.count() == 1


def test_a_hidden_score_is_told_without_its_figure(phase: Phase, receiver: Receiver) -> None:
    Phase.objects.update(visibility=Phase.Visibility.ORGANISERS)
    phase.refresh_from_db()
    team, _hook = hook_of(phase, receiver)
    factories.give_score(factories.submit(team, phase, at=timezone.now()), 0.123456789)
    assert "miou" not in WebhookDelivery.objects.get().payload


def test_failures_are_tried_again_with_growing_pauses(phase: Phase, receiver: Receiver) -> None:
    _team, hook = hook_of(phase, receiver)
    receiver.status = 500
    start = now = timezone.now()
    delivery = webhooks.ping(webhook=hook, now=now)
    pauses = []
    while True:
        assert webhooks.deliver(now=now) == 0
        delivery.refresh_from_db()
        if delivery.next_attempt_at is None:
            break
        assert webhooks.deliver(now=delivery.next_attempt_at - timedelta(seconds=1)) == 0
        pauses.append((delivery.next_attempt_at - now).total_seconds())
        now = delivery.next_attempt_at
    assert pauses == sorted(pauses) == [60, 300, 1800, 7200, 28800, 86400]
    assert (delivery.attempts, delivery.last_status) == (7, 500)
    assert len(receiver.calls) == 7
    assert delivery.delivered_at is None
    assert now - start > timedelta(days=1)


def test_a_slow_address_holds_up_its_owner_alone(phase: Phase, receiver: Receiver) -> None:
    _team, slow = hook_of(phase, receiver)
    _other, quick = hook_of(phase, receiver)
    Webhook.objects.filter(pk=slow.pk).update(url=f"{receiver.url}&wait=4")
    slow.refresh_from_db()
    now = timezone.now()
    waiting = [webhooks.ping(webhook=slow, now=now) for _ in range(10)]
    told = [webhooks.ping(webhook=quick, now=now + timedelta(seconds=1)) for _ in range(5)]
    began_s = time.monotonic()
    webhooks.deliver(now=now + timedelta(seconds=2))
    assert time.monotonic() - began_s < 8  # one slow call, not ten
    for delivery in [*waiting, *told]:
        delivery.refresh_from_db()
    assert [one.delivered_at is not None for one in waiting] == [True] + 9 * [False]
    assert {one.attempts for one in waiting[1:]} == {0}
    assert all(one.delivered_at for one in told)
    due = min(one.next_attempt_at for one in waiting[1:] if one.next_attempt_at)
    assert (due - now).total_seconds() == 62


def test_one_worker_at_a_time_delivers(phase: Phase, receiver: Receiver) -> None:
    _team, hook = hook_of(phase, receiver)
    webhooks.ping(webhook=hook)
    begun, ended = threading.Event(), threading.Event()

    def elsewhere() -> None:
        with webhooks._alone() as is_mine:
            assert is_mine
            begun.set()
            ended.wait(10)
        connection.close()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    assert begun.wait(10)
    assert webhooks.deliver() == 0
    ended.set()
    thread.join()
    assert webhooks.deliver() == 1


def test_pings_are_limited(phase: Phase, receiver: Receiver) -> None:
    _team, hook = hook_of(phase, receiver)
    for _ in range(30):
        webhooks.ping(webhook=hook)
    with refused("too-many-requests"):
        webhooks.ping(webhook=hook)


def test_a_try_that_succeeds_ends_it(phase: Phase, receiver: Receiver) -> None:
    _team, hook = hook_of(phase, receiver)
    receiver.status = 503
    now = timezone.now()
    delivery = webhooks.ping(webhook=hook, now=now)
    webhooks.deliver(now=now)
    receiver.status = 200
    assert webhooks.deliver(now=now + timedelta(seconds=61)) == 1
    delivery.refresh_from_db()
    assert (delivery.attempts, delivery.last_error) == (2, "")
    assert delivery.next_attempt_at is None


def test_redirects_are_not_followed(phase: Phase, receiver: Receiver) -> None:
    _team, hook = hook_of(phase, receiver)
    receiver.status = 302
    delivery = webhooks.ping(webhook=hook)
    webhooks.deliver()
    delivery.refresh_from_db()
    assert delivery.last_error == "answered 302"


def test_a_closed_phase_is_told_once(phase: Phase, receiver: Receiver) -> None:
    hook_of(phase, receiver)
    assert phase.closes_at is not None
    later = phase.closes_at + timedelta(minutes=1)
    assert not webhooks.is_due(now=phase.closes_at - timedelta(seconds=1))
    assert webhooks.is_due(now=later)
    assert webhooks.is_due(now=later)
    assert WebhookDelivery.objects.get().payload["event"] == "phase.closed"
    webhooks.deliver(now=later)
    assert not webhooks.is_due(now=later)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:8000/",
        "http://0.0.0.0/",
        "http://10.1.2.3/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        "http://192.0.0.192/opc/v2/",
        "http://168.63.129.16/machine",
        "http://[64:ff9b:1::a00:1]/",
        "http://[::127.0.0.1]/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[fd00::1]/",
        "http://[fe80::1]/",
        "http://[64:ff9b::a00:1]/",
        "http://[2002:a00:1::]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://user:pass@example.org/",
        "http://example.org:0/",
        "http://exa mple.org/",
        "http://",
        "javascript:alert(1)",
    ],
)
def test_no_way_inwards(url: str) -> None:
    user = factories.make_user()
    with refused("webhook-url-invalid"):
        webhooks.create(user=user, url=url, events=["phase.closed"])
    with pytest.raises(CannotCall):
        webhook_calls.post(url, body=b"{}", headers={})


def test_what_resolves_inwards_later_is_not_called(
    phase: Phase, receiver: Receiver, settings: Any
) -> None:
    _team, hook = hook_of(phase, receiver)
    settings.WEBHOOK_ALLOW_PRIVATE = False
    delivery = webhooks.ping(webhook=hook)
    webhooks.deliver()
    delivery.refresh_from_db()
    assert delivery.last_error == "its host is in a private network"
    assert receiver.calls == []


def test_an_address_with_one_private_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(2, 1, 6, "", (ip, 80)) for ip in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(webhook_calls.socket, "getaddrinfo", lambda *_a, **_k: answers)
    with pytest.raises(CannotCall, match="private"):
        webhook_calls.resolve("http://two-faced.example/")


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1"])
def test_the_open_internet_is_public(address: str) -> None:
    assert webhook_calls.is_public(ipaddress.ip_address(address))


def test_ten_webhooks_are_enough(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE = True
    user = factories.make_user()
    for number in range(10):
        webhooks.create(user=user, url=f"http://127.0.0.1/{number}", events=["phase.closed"])
    with refused("webhook-limit"):
        webhooks.create(user=user, url="http://127.0.0.1/11", events=["phase.closed"])
