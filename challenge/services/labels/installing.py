"""Opens sealed masks in memory, packs them and registers them: the labels worker's work.

The opened zip is a file without a name in the worker's memory (``memfd_create``), gone with its
process. What is told of a fault names files and holds no pixel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from django.conf import settings

from challenge.models import Phase
from challenge.services.challenges import ground_truth
from challenge.services.challenges.ground_truth import Installed
from challenge.services.challenges.splits import SplitRequest
from challenge.services.labels import label_jobs
from challenge.services.labels.label_jobs import LabelClaim
from challenge.services.storage import archives
from scoring.engine.scorer import child
from scoring.engine.scorer.child import OnProgress
from scoring.engine.scorer.verdicts import Progress, Rejected, ScorerFailure
from scoring.engine.task.specification import TaskSpec
from scoring.engine.truth import sealed, store
from scoring.engine.truth.sealed import Context, Kind
from scoring.engine.truth.sealing_keys import PrivateKey, SealError
from scoring.engine.truth.store import StoreInfo


class MasksRefused(Exception):
    """The archive of masks is at fault; ``verdict`` lists its problems."""

    def __init__(self, verdict: Rejected) -> None:
        super().__init__(f"{len(verdict.problems) + verdict.more} problems")
        self.verdict = verdict


class PackingFailed(Exception):
    """The process that packs failed; it is not known to be the archive's fault."""

    def __init__(self, failure: ScorerFailure) -> None:
        super().__init__(f"{failure.code}: {failure.detail}")
        self.failure = failure


def install(
    claim: LabelClaim,
    *,
    key: PrivateKey,
    on_progress: OnProgress,
    should_stop: Callable[[], bool],
) -> Installed:
    """Open, pack and register one job's masks; the job ends in the registration's transaction.

    Raises SealError, InstallError, `MasksRefused`, `PackingFailed`, Refusal ``late-worker`` and
    those of storage, OSError. Whatever it raises, nothing is registered.
    """
    phase = Phase.objects.select_related("challenge", "task_spec", "ground_truth").get(
        pk=claim.phase_id
    )
    with _in_memory() as (masks, path):
        on_progress(Progress("opening"))
        with archives.open_local(claim.archive) as sealed_path:
            _unseal(sealed_path, masks, claim, key)

        def write_pack(spec: TaskSpec, out: Path) -> StoreInfo:
            return _write_pack(spec, path, out, on_progress=on_progress, should_stop=should_stop)

        def confirm(installed: Installed) -> None:
            label_jobs.complete(claim.job_id, attempt=claim.attempt, installed=installed)

        split = SplitRequest(public_share=claim.public_share)
        return ground_truth.install_with(
            write_pack, phase=phase, split=split, actor=claim.actor, confirm=confirm
        )


@contextmanager
def _in_memory() -> Iterator[tuple[IO[bytes], Path]]:
    """A file in memory, and the path by which a process of the same user opens it."""
    descriptor = os.memfd_create("masks", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        yield file, Path(f"/proc/{os.getpid()}/fd/{descriptor}")


def _unseal(path: Path, masks: IO[bytes], claim: LabelClaim, key: PrivateKey) -> None:
    with path.open("rb") as source:
        size_bytes = sealed.read_header(source).size_bytes
        if size_bytes > settings.LABELS_LIMIT_BYTES:
            raise SealError(
                f"holds {size_bytes} bytes; this worker opens {settings.LABELS_LIMIT_BYTES} at "
                "most (LABELS_LIMIT): compress the masks",
                code="seal-too-large",
            )
        source.seek(0)
        sealed.unseal(
            source,
            masks,
            sealed_bytes=path.stat().st_size,
            kind=Kind.MASKS,
            context=Context(claim.challenge, claim.phase, claim.uploader),
            key=key,
        )
    masks.flush()


def _write_pack(
    spec: TaskSpec,
    masks: Path,
    out: Path,
    *,
    on_progress: OnProgress,
    should_stop: Callable[[], bool],
) -> StoreInfo:
    verdict = child.pack(
        spec=spec,
        archive_path=masks,
        out_path=out,
        timeout_s=settings.SCORER_TIMEOUT_S,
        on_progress=on_progress,
        should_stop=should_stop,
        workers=settings.SCORER_WORKERS,
        memory_bytes=settings.SCORER_MEMORY_BYTES,
    )
    if isinstance(verdict, Rejected):
        raise MasksRefused(verdict)
    if isinstance(verdict, ScorerFailure):
        raise PackingFailed(verdict)
    on_progress(Progress("registering", verdict.patches, verdict.patches))
    return store.verify(out)
