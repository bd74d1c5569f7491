"""How quick the desk is with 1,000 teams: ``python -m tests.bench.desk`` (``make bench-pages``).

The site of :mod:`tests.bench.pages`: one phase, 1,000 ranked teams and 10,000 scored submissions
in a real PostgreSQL. Measured in process for every address of the desk: the time from request to
the last byte of the answer, its queries, and the most memory that Python allocated meanwhile.
Prints a table, writes ``.data/bench/desk.json``, exits 1 where a target is missed.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import tracemalloc
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench import world
from tests.bench.pages import SUBMISSIONS, TEAMS

SERVER_TARGET_MS = 300.0
QUERY_TARGET = 20
MEMORY_TARGET_BYTES = 32_000_000
ROUNDS = 5
# Written and read by a form, or of archives that this seed has not.
EXPORTS = (".csv", ".json", ".tex")
LEFT_OUT = (".zip",)


@dataclass
class Measured:
    """One address: the median time (of an export, of the only round), queries, bytes, memory."""

    address: str
    status: int
    server_ms: float
    queries: int
    body_bytes: int
    peak_bytes: int
    missed: list[str] = field(default_factory=list)


def addresses() -> list[str]:
    """Return every address of the desk, with the seed's phase, a full team and a sent message."""
    from challenge.models import Challenge, Message, Page, Team
    from challenge.services.challenges import page_editing
    from tests.web import desk_addresses

    challenge = Challenge.objects.get(slug="flair-1")
    page = Page.objects.filter(challenge=challenge, language="en").order_by("pk")[0]
    version = page_editing.keep(page, actor=None)
    message = Message.objects.filter(challenge=challenge).first() or _send(challenge)
    team = Team.objects.filter(challenge=challenge).order_by("-pk")[0]
    arguments = {
        "slug": challenge.slug,
        "phase_slug": "test",
        "page_slug": page.slug,
        "language": "en",
        "teams/pk": str(team.pk),
        "messages/pk": str(message.pk),
        "versions/pk": str(version.pk),
        "registrations/pk": "1",  # posted to alone
    }
    return [desk_addresses.fill(route, arguments) for route in desk_addresses.routes()]


def _send(challenge: Any) -> Any:
    """A message to everybody who registered."""
    from django.utils import timezone

    from challenge.models import Message, MessageDelivery

    texts = {"subject": {"en": "Hello"}, "body": {"en": "Hello."}}
    now = timezone.now()
    message = Message.objects.create(challenge=challenge, audience={}, created_at=now, **texts)
    people = challenge.registrations.values_list("user_id", flat=True)
    MessageDelivery.objects.bulk_create(
        MessageDelivery(message=message, user_id=pk, sent_at=now) for pk in people
    )
    return message


def measure(client: Any, address: str) -> Measured:
    """Ask for an address, its whole body read; exports once, pages several times."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    rounds = 1 if address.endswith(EXPORTS) else ROUNDS
    walls, counts, size = [], [], 0
    for _round in range(rounds + (rounds > 1)):  # the first look at a page warms up
        with CaptureQueriesContext(connection) as queries:
            started = time.perf_counter()
            response = client.get(address)
            size = _body_bytes(response)
            walls.append(time.perf_counter() - started)
        counts.append(len(queries))
    tracemalloc.start()
    _body_bytes(client.get(address))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    walls = walls[1:] or walls
    result = Measured(
        address=address,
        status=response.status_code,
        server_ms=round(1000 * statistics.median(walls), 1),
        queries=max(counts),
        body_bytes=size,
        peak_bytes=peak,
    )
    if result.status != 200:
        result.missed.append(f"status {result.status}")
    if rounds > 1 and result.server_ms >= SERVER_TARGET_MS:
        result.missed.append(f"time (< {SERVER_TARGET_MS:.0f} ms)")
    if rounds > 1 and result.queries > QUERY_TARGET:
        result.missed.append(f"queries (<= {QUERY_TARGET})")
    if peak > MEMORY_TARGET_BYTES:
        result.missed.append(f"memory (<= {MEMORY_TARGET_BYTES / 1e6:.0f} MB)")
    return result


def _body_bytes(response: Any) -> int:
    if response.streaming:
        return sum(len(part) for part in response)
    return len(response.content)


def main() -> int:
    """Measure every address, tell, and say whether all targets are met."""
    with world.opened(teams=TEAMS, submissions=SUBMISSIONS):
        from django.test import Client

        from challenge.models import User

        operator, _made = User.objects.get_or_create(
            username="bench-operator", defaults={"is_superuser": True, "email": "o@example.org"}
        )
        client = Client(headers={"host": "127.0.0.1"})
        client.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
        asked = [one for one in addresses() if not one.endswith(LEFT_OUT)]
        read = [one for one in asked if client.get(one).status_code != 405]
        rows = [measure(client, one) for one in read]
        load = os.getloadavg()[0]
    print(f"{TEAMS} teams, {SUBMISSIONS} submissions; {os.cpu_count()} cores, load {load:.1f}\n")
    print(f"{'address':58}{'ms':>9}{'queries':>9}{'KB':>9}{'peak MB':>9}  target")
    for row in rows:
        print(f"{row.address:58}{row.server_ms:9.1f}{row.queries:9}", end="")
        print(f"{row.body_bytes / 1000:9.1f}{row.peak_bytes / 1e6:9.1f}", end="")
        print(f"  {', '.join(row.missed) or 'met'}")
    met = not any(row.missed for row in rows)
    report = {"load": round(load, 1), "targets_met": met, "pages": [asdict(row) for row in rows]}
    (world.FOLDER / "desk.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
