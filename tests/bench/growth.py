"""How times grow with submissions: ``python -m tests.bench.growth`` (``make load``).

One phase of FLAIR #1 in a real PostgreSQL is filled up step by step to 100, 1,000, 10,000 and
100,000 scored submissions, a tenth as many teams. At each step every page, list and task is timed
in process: the median time from request to answer, or of the call. Prints a table with the time
over that at 1,000 submissions, writes ``.data/growth/growth.json``; ends with 1 where something
takes more than 1.5 times as long and more than a millisecond longer. ``--largest 10000`` stops
earlier.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from challenge.embedded.data_folder import ROOT
from tests.bench import world  # before Django: it says where the data folder is

FOLDER = ROOT / ".data" / "growth"
SIZES = (100, 1_000, 10_000, 100_000)
COMPARED = 1_000
FACTOR = 1.5
# What a cache or the clock adds now and then says nothing of growth.
NOISE_MS = 1.0
ROUNDS = 7
BOARD = "/challenges/flair-1/test/leaderboard/"
API = "/api/v1"
FILES = (".csv", ".json", ".tex", ".zip")


@dataclass
class Growth:
    """The median times (ms) of one page or task by number of submissions."""

    name: str
    times_ms: dict[int, float] = field(default_factory=dict)

    def grows(self) -> bool:
        """Say whether it takes more than 1.5 times as long at the largest size as at 1,000."""
        largest = max(self.times_ms)
        before, after = self.times_ms.get(COMPARED), self.times_ms[largest]
        return before is not None and after > FACTOR * before and after - before > NOISE_MS


def pages(submission: str) -> list[tuple[str, str, str]]:
    """Return name, address and visitor ("", "member" or "owner") of every page and list timed."""
    from tests.bench import desk

    shown = [
        ("home", "/", ""),
        ("challenge", "/challenges/flair-1/", ""),
        ("data", "/challenges/flair-1/data", ""),
        ("leaderboard", BOARD, ""),
        ("leaderboard, last page", f"{BOARD}?page=last", ""),
        ("leaderboard, search", f"{BOARD}?q=unet", ""),
        ("leaderboard, first look", f"{BOARD}?sort=building&up=1", ""),
        ("best over time", BOARD.replace("leaderboard", "progress"), ""),
        ("records feed", BOARD.replace("leaderboard/", "records/atom.xml"), ""),
        ("API challenges", f"{API}/challenges", ""),
        ("API leaderboard", f"{API}/challenges/flair-1/phases/test/leaderboard", ""),
        ("API submissions", f"{API}/submissions", "member"),
        ("my submissions", "/challenges/flair-1/submissions/", "member"),
        ("submission", submission, "member"),
        ("submit", "/challenges/flair-1/test/submit/", "member"),
    ]
    desk_pages = [
        (f"desk {address.partition('/desk/')[2] or 'first page'}", address, "owner")
        for address in desk.addresses()
        if not address.endswith((*FILES, "/settle/", "registrations/1/"))
    ]
    return shown + desk_pages


def time_pages(
    found: dict[str, Growth], size: int, submission: str, people: dict[str, Any]
) -> None:
    """Ask for each page several times in this process; its median counts."""
    from django.test import Client

    clients = {who: Client(headers={"host": "127.0.0.1"}) for who in ("", "member", "owner")}
    for who, user in people.items():
        clients[who].force_login(user)
    for name, address, who in pages(submission):
        client = clients[who]

        def ask(client: Client = client, address: str = address) -> None:
            answer = client.get(address)
            if answer.status_code != 200:
                sys.exit(f"{address} answers {answer.status_code}")

        found.setdefault(name, Growth(name)).times_ms[size] = median_ms(ask)


def time_tasks(found: dict[str, Growth], size: int, phase: Any) -> None:
    """Time what workers and the sweep do, and a submission from its form to the queue."""
    from django.utils import timezone

    from challenge.models import Evaluation, Team
    from challenge.selectors import queue
    from challenge.services import maintenance
    from challenge.services.leaderboard import ranks
    from challenge.services.submissions import evaluations
    from tests.web import seed

    team = Team.objects.filter(challenge=phase.challenge, memberships__isnull=False).latest("pk")
    numbers = iter(range(10**6))

    def submit() -> None:
        seed.submit(team, phase, method=f"{size} {next(numbers)}", at=timezone.now())

    tasks: dict[str, Callable[[], object]] = {
        "task: submit": submit,
        "task: place in the queue": lambda: queue.position(
            Evaluation.objects.filter(state="queued").latest("queued_at")
        ),
        "task: claim": lambda: evaluations.claim(worker="growth@host"),
        "task: ranks after a score": lambda: ranks.recompute(phase=phase),
        "task: sweep": maintenance.sweep,
    }
    for name, task in tasks.items():
        found.setdefault(name, Growth(name)).times_ms[size] = median_ms(task)
    Evaluation.objects.filter(state__in=("queued", "scoring")).delete()


def median_ms(act: Callable[[], object]) -> float:
    """Return the median of some rounds, after one that warms up."""
    times = []
    for _round in range(ROUNDS + 1):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times[1:]), 2)


def grow(sizes: list[int]) -> dict[str, Growth]:
    """Fill the phase up to each size and time everything there."""
    from django.core.cache import cache
    from django.core.management import call_command
    from django.db import connection
    from django.urls import reverse

    from challenge.models import Phase, Submission, User
    from tests import factories
    from tests.bench import population
    from tests.web import seed

    call_command("flush", interactive=False, verbosity=0)
    phase = seed.populate()
    owner = factories.make_organiser(phase.challenge)
    owner.is_superuser = True
    owner.save()
    Phase.objects.filter(pk=phase.pk).update(daily_limit=None, total_limit=None)
    ada = User.objects.get(username="ada")
    mine = Submission.objects.filter(entry__phase=phase, submitted_by=ada).latest("created_at")
    submission = reverse("web:submission", args=[mine.pk])
    found: dict[str, Growth] = {}
    for size in sizes:
        started = time.monotonic()
        population.crowd(phase, teams=max(40, size // 10), submissions=size)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        cache.clear()
        phase.refresh_from_db()
        print(f"{size} submissions made in {time.monotonic() - started:.0f} s", flush=True)
        time_pages(found, size, submission, {"member": ada, "owner": owner})
        time_tasks(found, size, phase)
    return found


def show(found: dict[str, Growth], sizes: list[int]) -> list[str]:
    """Print the table; returns the names of what grows more than it may."""
    print(f"\n{'ms, median':44}" + "".join(f"{size:>10,}" for size in sizes) + "   factor")
    grown = []
    for row in found.values():
        times = "".join(f"{row.times_ms[size]:10.1f}" for size in sizes)
        base = row.times_ms.get(COMPARED)
        factor = row.times_ms[sizes[-1]] / base if base else 1.0
        grown += [row.name] * row.grows()
        print(f"{row.name:44}{times}   {factor:5.2f}{'  grows' if row.grows() else ''}")
    return grown


def main() -> int:
    """Read the arguments, fill, time, tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="submissions at the end")
    sizes = [size for size in SIZES if size <= parser.parse_args().largest]
    found: dict[str, Growth] = {}
    with world.served(FOLDER, wanted="anew", fill=lambda: found.update(grow(sizes))):
        (FOLDER / "seeded").unlink()  # dates are counted from now
    load = os.getloadavg()[0]
    print(f"\n{os.cpu_count()} cores, load {load:.1f}")
    grown = show(found, sizes)
    report = {
        "cores": os.cpu_count(),
        "load": round(load, 1),
        "times_ms": {name: row.times_ms for name, row in found.items()},
        "grow": grown,
    }
    (FOLDER / "growth.json").write_text(json.dumps(report, indent=1) + "\n")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
