"""News by webhook: signed, sent once, retried, logged, never into a private network."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from challenge.models import Phase, User, Webhook, WebhookDelivery
from challenge.rules import public_addresses
from challenge.rules.disclosure import Visibility
from challenge.services.notifications import webhook_requests, webhooks
from challenge.services.notifications.webhook_requests import CannotCall
from challenge.services.submissions import evaluations
from tests import factories
from tests.helpers import refused

pytestmark = pytest.mark.django_db
RESULTS = ["submission.scored", "submission.rejected", "phase.closed"]


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
    settings.WEBHOOK_PORTS = []
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


def test_a_score_is_delivered_signed_and_rounded(phase: Phase, receiver: Receiver) -> None:
    team, hook = hook_of(phase, receiver)
    submission = factories.submit(team, phase, at=timezone.now())
    factories.give_score(submission, 0.123456789, at=timezone.now())
    assert webhooks.deliver() == 1
    ((headers, body),) = receiver.calls
    news = json.loads(body)
    assert (news["event"], news["miou"], news["state"]) == ("submission.scored", 0.123, "scored")
    assert news["submission"] == str(submission.id)
    stamp, _comma, given = headers["Flair-Signature"].partition(",v1=")
    signed = f"{stamp.removeprefix('t=')}.".encode() + body
    assert hmac.new(hook.secret.encode(), signed, hashlib.sha256).hexdigest() == given
    assert webhooks.deliver() == 0
    assert len(receiver.calls) == 1


def test_a_rejection_is_delivered_with_its_problems(phase: Phase, receiver: Receiver) -> None:
    team, _hook = hook_of(phase, receiver)
    factories.submit(team, phase, at=timezone.now())
    claim = evaluations.claim(worker="w")
    assert claim is not None
    problem: dict[str, Any] = {"code": "not-a-zip", "message": "no", "file": None, "params": {}}
    evaluations.complete_rejected(claim.evaluation_id, attempt=1, problems=[problem])
    webhooks.deliver()
    news = json.loads(receiver.calls[0][1])
    assert (news["state"], news["problems"]) == ("rejected", [problem])


def test_other_teams_get_no_webhook(phase: Phase, receiver: Receiver) -> None:
    _team, _hook = hook_of(phase, receiver)
    rival = factories.make_team(phase.challenge)
    factories.give_score(factories.submit(rival, phase, at=timezone.now()), 0.5)
    assert not WebhookDelivery.objects.exists()


def test_organisers_get_webhooks_of_every_team(phase: Phase, receiver: Receiver) -> None:
    organiser = factories.make_user()
    with refused("not-organiser"):
        webhooks.create(user=organiser, url=receiver.url, events=RESULTS, challenge=phase.challenge)
    factories.make_organiser(phase.challenge, organiser)
    organiser = User.objects.get(pk=organiser.pk)  # roles are remembered on the object
    webhooks.create(user=organiser, url=receiver.url, events=RESULTS, challenge=phase.challenge)
    team = factories.make_team(phase.challenge)
    factories.give_score(factories.submit(team, phase, at=timezone.now()), 0.5)
    assert WebhookDelivery.objects.count() == 1
    phase.challenge.roles.all().delete()
    factories.give_score(factories.submit(team, phase, at=timezone.now()), 0.6)
    assert WebhookDelivery.objects.count() == 1


def test_a_hidden_score_is_delivered_without_its_value(phase: Phase, receiver: Receiver) -> None:
    Phase.objects.update(visibility=Visibility.ORGANISERS.value)
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


def test_a_slow_address_delays_only_its_owners_webhooks(phase: Phase, receiver: Receiver) -> None:
    _team, slow = hook_of(phase, receiver)
    _other, quick = hook_of(phase, receiver)
    Webhook.objects.filter(pk=slow.pk).update(url=f"{receiver.url}&wait=4")
    slow.refresh_from_db()
    now = timezone.now()
    waiting = [webhooks.ping(webhook=slow, now=now) for _ in range(10)]
    told = [webhooks.ping(webhook=quick, now=now + timedelta(seconds=1)) for _ in range(5)]
    webhooks.deliver(now=now + timedelta(seconds=2))
    assert len(receiver.calls) == 1 + len(told)  # one slow call, not ten
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
        with webhooks._delivery_lock() as is_mine:
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


def test_a_successful_attempt_ends_the_delivery(phase: Phase, receiver: Receiver) -> None:
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


def test_asking_whether_a_delivery_is_due_writes_nothing(phase: Phase, receiver: Receiver) -> None:
    hook_of(phase, receiver)
    assert phase.closes_at is not None
    assert not webhooks.is_due(now=phase.closes_at + timedelta(minutes=1))
    assert not WebhookDelivery.objects.exists()


def test_a_closed_phase_is_delivered_once(phase: Phase, receiver: Receiver) -> None:
    hook_of(phase, receiver)
    assert phase.closes_at is not None
    later = phase.closes_at + timedelta(minutes=1)
    assert webhooks.enqueue_closed_phases(now=phase.closes_at - timedelta(seconds=1)) == 0
    assert webhooks.enqueue_closed_phases(now=later) == 1
    assert webhooks.enqueue_closed_phases(now=later) == 0
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
        "http://[fec0::1]/",
        "http://[3fff::1]/",
        "http://93.184.216.34:6379/",
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
        webhook_requests.post(url, body=b"{}", headers={})


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
    monkeypatch.setattr(webhook_requests.socket, "getaddrinfo", lambda *_a, **_k: answers)
    with pytest.raises(CannotCall, match="private"):
        webhook_requests.resolve("http://two-faced.example/")


@pytest.mark.parametrize("port", [22, 25, 6379, 8080, 8443])
def test_only_allowed_ports_are_called(port: int, settings: Any) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(CannotCall, match="port"):
            webhook_requests.resolve(f"{scheme}://93.184.216.34:{port}/")
    settings.WEBHOOK_PORTS = [443, port]
    assert webhook_requests.resolve(f"https://93.184.216.34:{port}/").port == port


def test_web_ports_are_allowed_by_default() -> None:
    for url, port in (("http://93.184.216.34/", 80), ("https://93.184.216.34/", 443)):
        assert webhook_requests.resolve(url).port == port


def test_the_connection_goes_to_the_address_that_was_checked(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers otherwise the second time (DNS rebinding) changes nothing."""
    settings.WEBHOOK_ALLOW_PRIVATE = False
    monkeypatch.setattr(public_addresses, "is_public", lambda address: str(address) == "127.0.0.2")
    resolve, answers = socket.getaddrinfo, iter(["127.0.0.2", "127.0.0.1", "127.0.0.1"])

    def rebinding(host: str, *arguments: Any, **options: Any) -> Any:
        return resolve(
            next(answers) if host == "rebinding.example" else host, *arguments, **options
        )

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    url = f"http://rebinding.example:{receiver.server_address[1]}/"
    with pytest.raises(CannotCall, match="failed"):
        # Nobody listens on 127.0.0.2; the receiver on 127.0.0.1 is not called.
        webhook_requests.post(url, body=b"{}", headers={})
    assert receiver.calls == []


def test_ten_webhooks_are_enough(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE = True
    user = factories.make_user()
    for number in range(10):
        webhooks.create(user=user, url=f"http://127.0.0.1/{number}", events=["phase.closed"])
    with refused("webhook-limit"):
        webhooks.create(user=user, url="http://127.0.0.1/11", events=["phase.closed"])
