"""How quick the pages are with 1,000 teams: ``python -m tests.bench.pages`` (``make bench``).

One phase holds 1,000 ranked teams and 10,000 scored submissions in a real PostgreSQL. Measured: in
process the time from request to answer (middleware, session, template and compression included)
with its queries; the same through gunicorn; an unchanged board's 304; every byte that a browser
fetches for the leaderboard. Prints a table, writes ``.data/bench/pages.json``, exits 1 where a
target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench import world
from tests.bench.world import World

TEAMS, SUBMISSIONS = 1_000, 10_000
SERVER_TARGET_MS = 50.0
QUERY_TARGET = 4
TRANSFER_TARGET_BYTES = 300_000
WARM_UP = 3
BOARD = "/challenges/flair-1/test/leaderboard/"
API_BOARD = "/api/v1/challenges/flair-1/phases/test/leaderboard"


@dataclass(frozen=True)
class Visit:
    """One page and who looks at it; ``boards`` are held to the number of queries too."""

    name: str
    address: str
    signed_in: bool = False
    is_board: bool = False


@dataclass
class Measured:
    """Medians of one page. ``server_ms`` is wall time, of it ``processor_ms`` here and ``sql_ms``
    waiting for the database; ``queries`` is the worst count seen once warm."""

    name: str
    status: int
    server_ms: float
    server_best_ms: float
    processor_ms: float
    sql_ms: float
    queries: int
    http_ms: float
    page_bytes: int
    missed: list[str] = field(default_factory=list)


def visits(site: World) -> list[Visit]:
    """What is measured."""
    return [
        Visit("home", "/"),
        Visit("home, signed in", "/", signed_in=True),
        Visit("challenge", "/challenges/flair-1/"),
        Visit("leaderboard", BOARD, is_board=True),
        Visit("leaderboard, signed in", BOARD, signed_in=True, is_board=True),
        Visit("leaderboard, last page", f"{BOARD}?page=5", is_board=True),
        Visit("leaderboard, by class", f"{BOARD}?sort=building", is_board=True),
        # an order turned around is printed each time, as every first look at an order is
        Visit("leaderboard, first look", f"{BOARD}?sort=building&up=1", is_board=True),
        Visit("leaderboard, search", f"{BOARD}?q=unet", is_board=True),
        Visit("leaderboard, JSON", BOARD.removesuffix("/") + ".json"),
        Visit("API leaderboard", API_BOARD, is_board=True),
        Visit("submission", site.submission, signed_in=True),
    ]


def measure(site: World, visit: Visit, *, seconds: float) -> Measured:
    """Ask for a page in this process and of the server, each for about so long."""
    import httpx
    from django.db import connection
    from django.test import Client

    client = Client(headers={"host": "127.0.0.1", "accept-encoding": "gzip"})
    headers = {"Accept-Encoding": "gzip"}
    if visit.signed_in:
        name, _, value = site.cookie.partition("=")
        client.cookies[name] = value
        headers["Cookie"] = site.cookie
    sql: list[float] = []

    def timed(execute: Callable[..., Any], *words: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(*words)
        finally:
            sql.append(time.perf_counter() - started)

    samples = []
    with connection.execute_wrapper(timed):
        for position in _rounds(seconds):
            sql.clear()
            wall, cpu = time.perf_counter(), time.thread_time()
            response = client.get(visit.address)
            took = (time.perf_counter() - wall, time.thread_time() - cpu, sum(sql), len(sql))
            if position >= WARM_UP:
                samples.append(took)
    walls, processor, waits, counts = zip(*samples, strict=True)
    through = []
    with httpx.Client(base_url=site.url, headers=headers) as browser:
        for position in _rounds(seconds):
            wall = time.perf_counter()
            browser.get(visit.address)
            if position >= WARM_UP:
                through.append(time.perf_counter() - wall)
    result = Measured(
        name=visit.name,
        status=response.status_code,
        server_ms=_ms(statistics.median(walls)),
        server_best_ms=_ms(min(walls)),
        processor_ms=_ms(statistics.median(processor)),
        sql_ms=_ms(statistics.median(waits)),
        queries=max(counts),
        http_ms=_ms(statistics.median(through)),
        page_bytes=len(response.content),
    )
    if result.status != 200:
        result.missed.append(f"status {result.status}")
    if result.server_ms >= SERVER_TARGET_MS:
        result.missed.append(f"time (< {SERVER_TARGET_MS:.0f} ms)")
    if visit.is_board and result.queries > QUERY_TARGET:
        result.missed.append(f"queries (<= {QUERY_TARGET})")
    return result


def measure_unchanged(site: World, *, seconds: float) -> Measured:
    """Ask again for a board whose tag the browser holds."""
    import httpx
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(headers={"host": "127.0.0.1", "accept-encoding": "gzip"})
    client.get(BOARD)  # sets the CSRF cookie, which the tag depends on
    tag = client.get(BOARD)["ETag"]
    walls, processor = [], []
    for position in _rounds(seconds):
        wall, cpu = time.perf_counter(), time.thread_time()
        response = client.get(BOARD, headers={"if-none-match": tag})
        if position >= WARM_UP:
            walls.append(time.perf_counter() - wall)
            processor.append(time.thread_time() - cpu)
    with CaptureQueriesContext(connection) as queries:
        client.get(BOARD, headers={"if-none-match": tag})
    through = []
    with httpx.Client(base_url=site.url) as browser:
        browser.get(BOARD)
        headers = {"If-None-Match": browser.get(BOARD).headers["ETag"]}
        for position in _rounds(seconds):
            wall = time.perf_counter()
            answer = browser.get(BOARD, headers=headers)
            if position >= WARM_UP:
                through.append(time.perf_counter() - wall)
    result = Measured(
        name="leaderboard, unchanged",
        status=response.status_code,
        server_ms=_ms(statistics.median(walls)),
        server_best_ms=_ms(min(walls)),
        processor_ms=_ms(statistics.median(processor)),
        sql_ms=sum(1000 * float(query["time"]) for query in queries.captured_queries),
        queries=len(queries),
        http_ms=_ms(statistics.median(through)),
        page_bytes=len(response.content),
    )
    for status in (result.status, answer.status_code):
        if status != 304:
            result.missed.append(f"status {status}")
    if result.server_ms >= SERVER_TARGET_MS:
        result.missed.append(f"time (< {SERVER_TARGET_MS:.0f} ms)")
    return result


def measure_transfer(site: World) -> dict[str, int]:
    """Open the leaderboard in Chromium, nothing cached; bytes on the wire by address."""
    from tests.web.browser import chromium, open_page

    sizes: dict[str, int] = {}
    with chromium() as browser:
        context, page, complaints = open_page(browser, site.url)
        devtools = context.new_cdp_session(page)
        devtools.send("Network.enable")
        addresses: dict[str, str] = {}
        devtools.on(
            "Network.requestWillBeSent",
            lambda event: addresses.update({event["requestId"]: event["request"]["url"]}),
        )
        devtools.on(
            "Network.loadingFinished",
            lambda event: sizes.update(
                {addresses[event["requestId"]]: int(event["encodedDataLength"])}
            ),
        )
        page.goto(BOARD)
        page.wait_for_load_state("networkidle")
        lines = page.locator("table.board tbody tr").count()
        page.locator(".progress-slot").scroll_into_view_if_needed()  # it fetches the chart
        page.locator(".progress-slot svg.chart").wait_for()
        page.wait_for_load_state("networkidle")
        context.close()
    if lines != 200 or complaints:
        sys.exit(f"the leaderboard shows {lines} lines of 200; the console says {complaints}")
    return {address.removeprefix(site.url): size for address, size in sizes.items()}


def _rounds(seconds: float) -> Any:
    """Count up for so long, and at least ten times."""
    started, position = time.monotonic(), 0
    while position < WARM_UP + 10 or time.monotonic() - started < seconds:
        yield position
        position += 1


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)


def show(rows: list[Measured], transfer: dict[str, int]) -> None:
    """Print the table."""
    print(f"{'page':26}{'server ms':>10}{'best':>7}{'cpu':>7}{'sql':>7}", end="")
    print(f"{'queries':>9}{'http ms':>9}{'KB':>7}  target")
    for row in rows:
        print(f"{row.name:26}{row.server_ms:10.1f}{row.server_best_ms:7.1f}", end="")
        print(f"{row.processor_ms:7.1f}{row.sql_ms:7.1f}{row.queries:9}{row.http_ms:9.1f}", end="")
        print(f"{row.page_bytes / 1000:7.1f}  {', '.join(row.missed) or 'met'}")
    total = sum(transfer.values())
    verdict = "met" if total < TRANSFER_TARGET_BYTES else "missed"
    print(
        f"\nleaderboard in a browser, 200 lines, nothing cached: {total / 1000:.1f} KB of", end=" "
    )
    print(f"{TRANSFER_TARGET_BYTES / 1000:.0f} KB: {verdict}")
    for address, size in sorted(transfer.items(), key=lambda item: -item[1]):
        print(f"  {size / 1000:7.1f} KB  {address}")


def main() -> int:
    """Read the arguments, measure, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each page and way (2)")
    parser.add_argument("--no-browser", action="store_true", help="leave the transfer out")
    chosen = parser.parse_args()
    with world.opened(teams=TEAMS, submissions=SUBMISSIONS) as site:
        load = os.getloadavg()[0]
        rows = [measure(site, visit, seconds=chosen.seconds) for visit in visits(site)]
        rows.append(measure_unchanged(site, seconds=chosen.seconds))
        transfer = {} if chosen.no_browser else measure_transfer(site)
    print(f"{TEAMS} teams, {SUBMISSIONS} submissions; {os.cpu_count()} cores, load {load:.1f}\n")
    show(rows, transfer)
    if load > (os.cpu_count() or 1):
        print("\nOther work kept this machine busy: times say more when it is idle.")
    total = sum(transfer.values())
    met = not any(row.missed for row in rows) and total < TRANSFER_TARGET_BYTES
    report = {
        "teams": TEAMS,
        "submissions": SUBMISSIONS,
        "cores": os.cpu_count(),
        "load": round(load, 1),
        "targets_met": met,
        "pages": [asdict(row) for row in rows],
        "transfer_bytes": total,
        "transfer": transfer,
    }
    (world.FOLDER / "pages.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
