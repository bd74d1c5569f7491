"""Score a phase's submissions again: through the queue, or in seconds from kept evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from challenge.errors import Refusal
from challenge.models import GroundTruth, Phase, Rescore, Submission, TaskSpec
from challenge.selectors import rescores as selector
from challenge.services.challenges import phases
from challenge.services.submissions import (
    rescore_previews,
    rescore_publication,
    rescores,
    rescoring,
)
from scoring.engine.truth.split import SplitError


class Command(BaseCommand):
    help = (
        "Score a phase's submissions again under the newest task and labels. "
        "Earlier scores stay recorded; nothing is charged to anybody's quota."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("challenge", help="slug, for instance flair-1")
        parser.add_argument("phase", help="slug, for instance test")
        parser.add_argument(
            "--from-evidence",
            action="store_true",
            help="from the counts kept of each scored submission, without the archives",
        )
        parser.add_argument(
            "--preview",
            action="store_true",
            help="with --from-evidence: say who would move and write nothing",
        )
        parser.add_argument(
            "--publish",
            action="store_true",
            help="rank by the scores that an earlier call queued, once all are there",
        )
        parser.add_argument(
            "--partial",
            action="store_true",
            help="publish although submissions that decide a line of the board have no score yet; "
            "says which stay behind",
        )
        parser.add_argument("--task", type=int, help="version of the task (default: the newest)")
        parser.add_argument(
            "--labels", type=int, help="version of the ground truth (default: the newest)"
        )
        parser.add_argument(
            "--force",
            action="store_true",
            help="also what is already scored under both (another engine)",
        )

    def handle(self, *, challenge: str, phase: str, **options: Any) -> None:
        named = (
            Phase.objects.select_related("challenge", "ground_truth", "task_spec")
            .filter(challenge__slug=challenge, slug=phase)
            .first()
        )
        if named is None:
            known = ", ".join(str(phase) for phase in Phase.objects.select_related("challenge"))
            raise CommandError(f"found no phase {challenge}/{phase}; there are: {known or 'none'}")
        if options["preview"] and not options["from_evidence"]:
            raise CommandError("--preview goes with --from-evidence")
        if options["partial"] and not (options["publish"] or options["from_evidence"]):
            raise CommandError("--partial goes with --publish or --from-evidence")
        try:
            if options["publish"]:
                self._publish(named, options)
            elif options["from_evidence"]:
                self._from_evidence(named, options)
            else:
                self._through_the_queue(named, options)
        except (Refusal, SplitError, FileNotFoundError) as error:
            raise CommandError(str(error)) from error

    def _from_evidence(self, phase: Phase, options: dict[str, Any]) -> None:
        preview = rescore_previews.preview(
            phase=phase, task_spec=self._task(phase, options["task"])
        )
        self.stdout.write(f"{phase} under {preview.task_spec}:")
        for change in preview.changes:
            mark = "→" if change.moves else "="
            self.stdout.write(
                f"  {_rank(change.rank_before)} {mark} {_rank(change.rank_after)}  "
                f"{_miou(change.miou_before)} → {_miou(change.miou_after)}  {change.team}"
            )
        moving = sum(change.moves for change in preview.changes)
        self.stdout.write(
            f"{len(preview.cards)} submissions from evidence, {len(preview.missing)} without; "
            f"{moving} of {len(preview.changes)} teams change their rank"
        )
        self._name_left_behind(preview.blocking)
        if options["preview"]:
            self.stdout.write("A preview: nothing was written.")
            return
        rescore_publication.publish(preview, actor=None, partial=options["partial"])
        self.stdout.write(self.style.SUCCESS("Published."))

    def _name_left_behind(self, submissions: Sequence[Submission]) -> None:
        """Name what decides a line of the board now and would have none."""
        for submission in submissions:
            is_gone = submission.archive_removed_at is not None
            self.stdout.write(
                f"  left behind: {submission.entry.team.name}, submission {submission.number} "
                f"({submission.pk}), "
                f"{'whose archive was removed' if is_gone else 'until its archive is scored'}"
            )

    def _through_the_queue(self, phase: Phase, options: dict[str, Any]) -> None:
        task = self._task(phase, options["task"])
        truth = self._truth(phase, options["labels"])
        queued = rescoring.enqueue(
            phase=phase,
            ground_truth=truth,
            task_spec=task,
            force=options["force"],
            actor=None,
        )
        self.stdout.write(f"{phase}: {len(queued)} submissions queued under {task} and {truth}")
        if (task, truth) != (phase.task_spec, phase.ground_truth):
            if task is not None and truth is not None and selector.open_of(phase) is None:
                method = Rescore.Method.ARCHIVES
                rescores.request(
                    phase=phase, ground_truth=truth, task_spec=task, method=method, actor=None
                )
            self.stdout.write(
                "The board stays as it is until all are scored; then: "
                f"manage.py rescore_phase {phase.challenge.slug} {phase.slug} --publish"
            )

    def _publish(self, phase: Phase, options: dict[str, Any]) -> None:
        task = self._task(phase, options["task"])
        truth = self._truth(phase, options["labels"])
        if task is None or truth is None:
            raise CommandError(f"{phase} has no labels or no task yet")
        left = rescoring.pending(phase=phase, ground_truth=truth, task_spec=task)
        self._name_left_behind(left)
        if left and not options["partial"]:
            raise CommandError(
                f"{len(left)} submissions on the board are not scored under {task} and {truth} "
                "yet; queue those that are missing (the same command without --publish) and wait, "
                "or --partial to publish a board without them"
            )
        phases.publish_truth(phase=phase, actor=None, ground_truth=truth, task_spec=task)
        rescores.end_published(phase=phase)
        self.stdout.write(
            self.style.SUCCESS(f"{phase} is now ranked under {phase.task_spec} and {truth}")
        )

    def _task(self, phase: Phase, version: int | None) -> TaskSpec | None:
        known = TaskSpec.objects.filter(challenge=phase.challenge)
        if version is None:
            return known.order_by("-version").first()
        wanted = known.filter(version=version).first()
        if wanted is None:
            there = ", ".join(map(str, known.values_list("version", flat=True))) or "none"
            raise CommandError(f"found no version {version} of the task; there are: {there}")
        return wanted

    def _truth(self, phase: Phase, version: int | None) -> GroundTruth | None:
        known = GroundTruth.objects.filter(challenge=phase.challenge)
        if phase.ground_truth is not None:
            known = known.filter(name=phase.ground_truth.name)
        if version is None:
            return known.order_by("-version").first()
        wanted = known.filter(version=version).first()
        if wanted is None:
            there = ", ".join(map(str, known.values_list("version", flat=True))) or "none"
            raise CommandError(f"found no version {version} of the labels; there are: {there}")
        return wanted


def _rank(rank: int | None) -> str:
    return "  –" if rank is None else f"{rank:3d}"


def _miou(miou: float | None) -> str:
    return "  –   " if miou is None else f"{100 * miou:5.2f} %"
