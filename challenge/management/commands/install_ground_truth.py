"""Installs the hidden labels of a phase. Run it where LABELS_DIR is: on a worker's machine."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from challenge.models import GroundTruth
from challenge.rules import rounding
from challenge.rules.rounding import Steps
from challenge.services.challenges import ground_truth, splits
from challenge.services.challenges.ground_truth import InstallError
from challenge.services.challenges.splits import SplitRequest
from scoring.engine.truth import split as split_files
from scoring.engine.truth.split import SplitError

_MB = 1_000_000


class Command(BaseCommand):
    help = (
        "Check every MSK_*.tif below a folder (any depth), pack them into one file in LABELS_DIR, "
        "register it as a new version with its digest and attach it to the phase. A broken, "
        "missing or unknown mask stops it; then nothing is registered."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("challenge", help="the challenge's slug, e.g. flair-1")
        parser.add_argument("--labels", type=Path, required=True, help="folder of the masks")
        parser.add_argument("--phase", default="test", help="slug of the phase (default: test)")
        parser.add_argument(
            "--ids",
            type=Path,
            metavar="CSV",
            help="the patches expected, a CSV with the columns domain, zone, patch "
            "(default: those of the phase)",
        )
        parser.add_argument(
            "--subset",
            action="store_true",
            help="ignore masks of other patches in the folder instead of stopping",
        )
        parser.add_argument(
            "--pixels-per-step",
            type=int,
            metavar="N",
            default=rounding.PIXELS_PER_STEP,
            help="how many pixels one step of a disclosed value stands for while the labels are "
            f"hidden (default: {rounding.PIXELS_PER_STEP:,}). Fewer show more of small sets and "
            "protect less: for labels that need no protection, as in a demonstration",
        )
        parser.add_argument(
            "--public-labels",
            action="store_true",
            help="these labels can be downloaded by anyone: every value is shown at any time "
            "(default: what the challenge file says of the phase, labels_public)",
        )
        split = parser.add_argument_group(
            "public and private zones",
            "While the phase is open its scores count the public zones alone; the private ones "
            "decide once they are revealed (reveal_private_zones). The list of public zones stays "
            "in LABELS_DIR. Corrected labels keep the split of the phase's earlier labels.",
        )
        split.add_argument(
            "--public-share",
            type=float,
            metavar="S",
            help="draw this share of each domain's zones, for instance 0.3, as the public ones",
        )
        split.add_argument(
            "--split-seed",
            metavar="TEXT",
            help="with --public-share: draw by this seed. Whoever knows it knows the public zones "
            "(default: a random one that is not kept)",
        )
        split.add_argument(
            "--public-zones",
            type=Path,
            metavar="FILE",
            help="the public zones, one a line as domain/zone (D004_2021/Z1_UU)",
        )
        split.add_argument(
            "--no-split",
            action="store_true",
            help="no private zones, although the phase's earlier labels have some",
        )

    def handle(
        self,
        *args: Any,
        challenge: str,
        labels: Path,
        phase: str,
        ids: Path | None,
        subset: bool,
        public_labels: bool,
        pixels_per_step: int,
        **options: Any,
    ) -> None:
        try:
            request = SplitRequest(
                public_share=options["public_share"],
                seed=options["split_seed"],
                public_zones=options["public_zones"],
                none=options["no_split"],
            )
            done = ground_truth.install(
                challenge_slug=challenge,
                phase_slug=phase,
                labels_dir=labels,
                ids_csv=ids,
                subset=subset,
                labels_public=public_labels,
                pixels_per_step=pixels_per_step,
                split=request,
                on_progress=self._progress if options["verbosity"] > 0 else None,
            )
        except (InstallError, SplitError) as error:
            raise CommandError(f"{error}\nNothing was registered.") from error
        truth = done.ground_truth
        self.stdout.write(
            f"{truth}: {'registered' if done.created else 'was registered already'}, "
            f"{truth.patch_count} patches, {done.store_bytes / _MB:.2f} MB "
            f"({done.store_bytes / done.raw_bytes:.1%} of the raw masks), "
            f"commitment {truth.commitment[:12]}"
        )
        self._describe_split(truth)
        self._describe_steps(truth)
        if done.rescore:
            self.stdout.write(
                self.style.WARNING(
                    f"{challenge}/{phase}: {done.rescore} submissions were scored against earlier "
                    "labels, which stay in force until they are scored with these: "
                    f"manage.py rescore_phase {challenge} {phase}"
                )
            )
            return
        result = "now scored against it" if done.attached else "was scored against it already"
        self.stdout.write(f"{challenge}/{phase}: {result}")

    def _describe_split(self, truth: GroundTruth) -> None:
        """Say how much is public, never which zones."""
        if not truth.is_split:
            return
        self.stdout.write(
            f"public: {truth.public_zone_count} of {truth.zone_count} zones, "
            f"{truth.public_patch_count} of {truth.patch_count} patches "
            f"({truth.public_patch_count / truth.patch_count:.1%} of the pixels); the others stay "
            f"private until they are revealed. Commitment to the list: {truth.split_commitment}"
        )
        small = split_files.small_domains(
            {splits.zone_name(domain, zone): domain for _patch, domain, zone in truth.patches}
        )
        if small:
            self.stdout.write(
                f"domains with a single zone, which are on one side as a whole: {len(small)} "
                f"({', '.join(small[:5])}{' …' if len(small) > 5 else ''})"
            )
        self.stdout.write(
            f"The list is {split_files.file_name(truth.split_commitment)} in LABELS_DIR: copy it "
            "to every worker with the labels, and keep a copy, or nothing can be revealed."
        )

    def _describe_steps(self, truth: GroundTruth) -> None:
        """Say what of a score is shown while the labels are hidden."""
        if truth.labels_public:
            self.stdout.write("its labels are public: every value is shown at any time")
            return
        steps = Steps.from_json(truth.steps)
        shown = ", ".join(f"{key}: {step:g}" for key, step in sorted(steps.classes.items()))
        self.stdout.write(
            f"while it is hidden: mIoU in steps of {steps.miou:g}; IoU and recall by class id in "
            f"steps of {shown or 'none (every class is too small and suppressed)'}"
        )

    def _progress(self, done: int, total: int) -> None:
        if done % 1000 == 0 and done < total:
            self.stdout.write(f"  {done:,} of {total:,} masks checked")
