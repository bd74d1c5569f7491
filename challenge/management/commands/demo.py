"""Fills an empty platform with both challenges, people and submissions, and scores them.

Everything goes the way a participant's archive goes: the same service, the same queue, a real
worker in another process. Run it through ``make demo``, which starts the engines and the worker.
"""

from __future__ import annotations

import logging
import secrets
import time
from argparse import ArgumentParser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Max, QuerySet

from challenge.demo import data, people
from challenge.demo.data import World, WorldError
from challenge.demo.people import PLAYERS, Player, Try
from challenge.errors import Refusal
from challenge.models import Challenge, Evaluation, Phase, Submission, User
from challenge.selectors import leaderboard
from challenge.services.challenges import challenges, ground_truth, kits
from challenge.services.challenges.ground_truth import InstallError
from challenge.services.challenges.toml_document import FileMistakes
from challenge.services.submissions import submissions
from scoring.engine.task import specification as task_spec
from scoring.engine.task.specification import SHIPPED

SLUGS = ("flair-1", "flair-2")
PHASE = "practice"
POLL_S = 0.2
SAY_EVERY_S = 2.0
BROKER_HINT = "is a worker running? (celery -A challenge.config.celery worker -Q scoring,default)"


class Command(BaseCommand):
    help = (
        "Load FLAIR #1 and #2, install a synthetic ground truth for their practice phases, make an "
        "organiser and four teams, submit their predictions and wait for the scores. Needs the "
        "database, the broker and a scoring worker. Running it twice submits nothing twice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--timeout",
            type=float,
            default=120,
            metavar="SECONDS",
            help="how long to wait for the scores (default: 120)",
        )

        parser.add_argument(
            "--datasets",
            type=Path,
            metavar="DIR",
            help="keep what was made, without the labels that are scored against, as data sets "
            "for GPU workers",
        )

    def handle(self, *args: Any, timeout: float, datasets: Path | None, **options: Any) -> None:
        self.started_s = time.monotonic()
        self.datasets = datasets
        # The command tells its own steps: a line for every queued submission would hide them.
        logging.getLogger("challenge.services.leased_jobs").setLevel(logging.WARNING)
        try:
            loaded = self._load()
            phases = [Phase.objects.get(challenge=c, slug=PHASE) for c in loaded]
            self._refuse_real(phases)
            users, password = self._people(loaded)
            made = self._submit(phases, users)
            self._datasets(phases)
            self._wait(made, timeout_s=timeout)
        except (FileMistakes, InstallError, WorldError, Refusal) as error:
            raise CommandError(str(error)) from error
        for phase in phases:
            self._print_board(phase, made)
        self._print_logins(password)

    # --- the steps ------------------------------------------------------------------------------

    def _load(self) -> list[Challenge]:
        for slug in SLUGS:
            report = challenges.load(SHIPPED / slug)
            done = "created" if report.created else f"{len(report.changes)} changes"
            self._say(f"Challenge {slug}: {done}")
        return [Challenge.objects.get(slug=slug) for slug in SLUGS]

    def _refuse_real(self, phases: list[Phase]) -> None:
        """Never put made-up people and labels over those of a real platform."""
        known = User.objects.filter(username=people.ORGANISER, email__endswith=".example")
        if not known.exists() and any(phase.ground_truth for phase in phases):
            raise CommandError(
                "This database has ground truth that the demo did not install, so it is not the "
                "demo's. Give the demo a database of its own (DATABASE_URL, or FLAIR_DATA_DIR)."
            )
        if settings.LABELS_DIR is None:
            raise CommandError("LABELS_DIR is not set; use `make demo`, or name a folder in it")

    def _people(self, loaded: list[Challenge]) -> tuple[dict[str, User], str]:
        password = secrets.token_urlsafe(9)
        people.ensure_organiser(password=password, challenges=loaded)
        users = {
            player.username: people.ensure_player(player, password=password, challenges=loaded)
            for player in PLAYERS
        }
        self._say(f"People: an organiser and {len(users)} teams")
        return users, password

    def _submit(self, phases: list[Phase], users: dict[str, User]) -> list[Submission]:
        made = {phase.pk: self._made_before(phase) for phase in phases}
        missing = [phase for phase in phases if len(made[phase.pk]) < _tries()]
        if not missing:
            self._say("Labels and submissions are those of an earlier run")
            return [submission for rows in made.values() for submission in rows]
        with TemporaryDirectory(prefix="flair-demo-") as name, ThreadPoolExecutor() as pool:
            self._say("Making a synthetic test set for each challenge (about 20 s)")
            futures = {
                p.pk: pool.submit(
                    _world, Path(name), p.challenge.slug, keep=self._dataset(p), say=self._say
                )
                for p in missing
            }
            for phase in missing:
                world = futures[phase.pk].result()
                self._install(phase, world)
                phase.refresh_from_db()
                kit = kits.publish(phase=phase, source=world.root, actor=None).kit
                self._say(f"{phase}: a practice kit of {kit.image_count} images")
                made[phase.pk] = self._send(phase, world, users, Path(name))
        return [submission for rows in made.values() for submission in rows]

    def _datasets(self, phases: list[Phase]) -> None:
        """What organisers can train baselines on, where an earlier run did not leave it."""
        for phase in phases:
            keep = self._dataset(phase)
            if keep is not None and not keep.is_dir():
                slug = phase.challenge.slug
                data.make_dataset(keep, layout=slug, ids_csv=_ids_csv(slug))
                self._say(f"{slug}: made a data set to train baselines on")

    def _dataset(self, phase: Phase) -> Path | None:
        """The folder of the data set that baselines are trained on, None where none is wanted."""
        return self.datasets / f"{phase.challenge.slug}-demo" if self.datasets else None

    def _made_before(self, phase: Phase) -> list[Submission]:
        """Submissions of an earlier run, if the labels they were scored against still lie there."""
        truth = phase.ground_truth
        folder = settings.LABELS_DIR
        if truth is None or folder is None or not (folder / truth.store_name).is_file():
            return []
        earlier = (
            people.made_before(player, attempt, phase=phase)
            for player in PLAYERS
            for attempt in player.tries
        )
        return [submission for submission in earlier if submission is not None]

    def _install(self, phase: Phase, world: World) -> None:
        done = ground_truth.install(
            challenge_slug=phase.challenge.slug, phase_slug=phase.slug, labels_dir=world.labels
        )
        truth = done.ground_truth
        self._say(
            f"Ground truth {truth}: {truth.patch_count} patches, "
            f"{done.store_bytes / done.raw_bytes:.1%} of the raw masks"
        )

    def _send(
        self, phase: Phase, world: World, users: dict[str, User], folder: Path
    ) -> list[Submission]:
        sent = []
        for player in PLAYERS:
            for attempt in player.tries:
                before = people.made_before(player, attempt, phase=phase)
                sent.append(before or self._send_one(phase, world, users, folder, player, attempt))
        return sent

    def _send_one(
        self,
        phase: Phase,
        world: World,
        users: dict[str, User],
        folder: Path,
        player: Player,
        attempt: Try,
    ) -> Submission:
        archive = world.pixel_zip
        if attempt.bend is not None:
            archive = data.make_predictions(
                world.labels,
                folder / f"{phase.challenge.slug}-{attempt.key}.zip",
                spec=task_spec.from_json(phase.task_spec.data if phase.task_spec else {}),
                bend=attempt.bend,
            )
        with archive.open("rb") as stream:
            submission = submissions.submit_stream(
                user=users[player.username],
                phase=phase,
                stream=stream,
                original_name=archive.name,
                method=attempt.method,
            )
        self._say(f"Submitted to {phase}: {player.team}, “{submission.method_name}”")
        return submission

    def _wait(self, made: list[Submission], *, timeout_s: float) -> None:
        """Until a worker has judged every submission; says how it stands now and then."""
        said, said_s = "", 0.0
        deadline_s = time.monotonic() + timeout_s
        while True:
            rows = list(_judging(made).values_list("state", "patches_done", "patches_total"))
            states = [row[0] for row in rows]
            waiting = states.count("queued") + states.count("scoring")
            patches = sum(done for state, done, _ in rows if state == "scoring")
            of_all = sum(total for state, _, total in rows if state == "scoring")
            now = f"Judged {len(rows) - waiting} of {len(rows)}" + (
                f", {patches} of {of_all} patches of the next" if of_all else ""
            )
            if now != said and (not waiting or time.monotonic() - said_s > SAY_EVERY_S):
                self._say(now)
                said, said_s = now, time.monotonic()
            if not waiting:
                break
            if time.monotonic() > deadline_s:
                raise CommandError(
                    f"{waiting} submissions wait after {timeout_s:.0f} s; {BROKER_HINT}"
                )
            time.sleep(POLL_S)
        failed = _judging(made).filter(state="failed").first()
        if failed is not None:
            raise CommandError(
                f"“{failed.submission.method_name}” could not be scored ({failed.error_code}); "
                "see the worker's log"
            )

    # --- what it prints -------------------------------------------------------------------------

    def _say(self, words: str) -> None:
        passed = timedelta(seconds=int(time.monotonic() - self.started_s))
        self.stdout.write(f"  {str(passed)[2:]}  {words}")
        self.stdout.flush()

    def _print_board(self, phase: Phase, made: list[Submission]) -> None:
        phase.refresh_from_db()
        board = leaderboard.of_phase(phase)
        title = phase.challenge.title["en"]
        self.stdout.write(f"\n{self.style.MIGRATE_HEADING(f'{title}, {phase.slug} phase')}")
        lines = [("Rank", "Team", "Method", "mIoU, %", "95 % interval")]
        for row in board.teams:
            interval = "–".join(_figure(end) for end in row.interval) if row.interval else ""
            lines.append((str(row.rank), row.name, row.method, _figure(row.miou), interval))
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        for number, line in enumerate(lines):
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            self.stdout.write("  ".join(cells).rstrip())
            if number == 0:
                self.stdout.write("  ".join("─" * width for width in widths))
        for evaluation in _judging(made).filter(state="rejected", submission__entry__phase=phase):
            submission = evaluation.submission
            self.stdout.write(f"Rejected: {submission.entry.team.name}, “{submission.method_name}”")
            for problem in evaluation.problems[:1]:
                more = len(evaluation.problems) - 1 + evaluation.problems_more
                also = f" (and {more} more like it)" if more else ""
                self.stdout.write(f"  {_reason(problem)}{also}")

    def _print_logins(self, password: str) -> None:
        names = ", ".join(player.username for player in PLAYERS)
        self.stdout.write(
            f"\nLog in as {people.ORGANISER}@flair.example (organiser) or as a captain "
            f"({names}, each @flair.example)\nwith the password {password} (new at every run)."
        )
        passed_s = time.monotonic() - self.started_s
        self.stdout.write(f"Site: {settings.SITE_URL}   ({passed_s:.0f} s)")


def _tries() -> int:
    return sum(len(player.tries) for player in PLAYERS)


def _world(folder: Path, slug: str, *, keep: Path | None, say: Callable[[str], None]) -> World:
    """Runs in a thread: no database in here."""
    (folder / slug).mkdir()
    return data.make_world(folder / slug, layout=slug, ids_csv=_ids_csv(slug), keep=keep, say=say)


def _ids_csv(slug: str) -> Path:
    return SHIPPED / slug / "practice-ids.csv"


def _judging(made: list[Submission]) -> QuerySet[Evaluation]:
    """The evaluation that counts of each submission: the latest."""
    latest = Submission.objects.filter(pk__in=[s.pk for s in made]).annotate(
        latest=Max("evaluations")
    )
    return (
        Evaluation.objects.filter(pk__in=latest.values("latest"))
        .select_related("submission__entry__team")
        .order_by("pk")
    )


def _reason(problem: dict[str, Any]) -> str:
    file, message = problem.get("file") or "", str(problem.get("message", problem["code"]))
    return message if not file or message.startswith(file) else f"{file}: {message}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"
