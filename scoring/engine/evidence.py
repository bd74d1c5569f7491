"""Evidence: the counts of every patch, from which any re-scoring is done without the archive."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.engine import metrics
from scoring.engine.spec import TaskSpec
from scoring.engine.store import PackedTruth


class EvidenceError(ValueError):
    """Evidence that cannot be read, or cannot give what was asked."""


@dataclass(frozen=True, slots=True)
class ZoneMatrices:
    """Zones that hold patches: names, their domains, patches int64[Z], matrices int64[Z, n, n]."""

    names: tuple[str, ...]
    domains: tuple[str, ...]
    patches: NDArray[np.int64]
    matrices: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Sparse counts of all patches: cell = label index * n_classes + class."""

    spec: TaskSpec
    truth_digest: str
    content_digest: str
    label_values: tuple[int, ...]
    ids: tuple[str, ...]
    domains: tuple[str, ...]
    zones: tuple[str, ...]
    patch: NDArray[np.int32]
    cell: NDArray[np.int32]
    pixels: NDArray[np.int64]
    notes: tuple[Mapping[str, Any], ...] = ()

    def zone_matrices(
        self, *, spec: TaskSpec | None = None, ids: Collection[str] | None = None
    ) -> ZoneMatrices:
        """Reduced matrices per zone, of all patches or of ``ids``.

        Raises `EvidenceError` for an unknown id or a reduction that the counts cannot give.
        """
        spec = spec or self.spec
        n_labels, n_from = len(self.label_values), self.spec.n_classes
        names = sorted({z for z in self.zones})
        position = {name: i for i, name in enumerate(names)}
        zone_of_patch = np.array([position[z] for z in self.zones], dtype=np.int64)
        chosen = self._chosen(ids)
        take = chosen[self.patch]
        size = n_labels * n_from
        flat = np.zeros(len(names) * size, dtype=np.int64)
        np.add.at(
            flat,
            zone_of_patch[self.patch[take]] * size + self.cell[take],
            self.pixels[take],
        )
        counts = flat.reshape(len(names), n_labels, n_from)
        patches = np.bincount(zone_of_patch[chosen], minlength=len(names))
        used = patches > 0
        domain_of = dict(zip(self.zones, self.domains, strict=True))
        kept = tuple(n for n, u in zip(names, used, strict=True) if u)
        return ZoneMatrices(
            names=kept,
            domains=tuple(domain_of[n] for n in kept),
            patches=patches[used],
            matrices=metrics.reduce_labels(
                counts[used], label_values=self.label_values, spec=spec
            ),
        )

    def _chosen(self, ids: Collection[str] | None) -> NDArray[np.bool_]:
        if ids is None:
            return np.ones(len(self.ids), dtype=np.bool_)
        unknown = set(ids) - set(self.ids)
        if unknown:
            raise EvidenceError(
                f"{len(unknown)} ids are not in the evidence: {', '.join(sorted(unknown)[:10])}"
            )
        wanted = set(ids)
        return np.array([i in wanted for i in self.ids], dtype=np.bool_)


class Gatherer:
    """Takes the counts of one patch after the other, in any order."""

    def __init__(self, spec: TaskSpec, truth: PackedTruth) -> None:
        self._spec = spec
        self._truth = truth
        self._rows: dict[str, tuple[NDArray[np.int32], NDArray[np.int64]]] = {}

    def add(self, patch_id: str, counts: NDArray[np.int64]) -> None:
        """``counts`` is int64[n_labels, n_classes] of `counting.PatchCounter.count`."""
        flat = counts.ravel()
        cells = np.flatnonzero(flat)
        self._rows[patch_id] = (cells.astype(np.int32), flat[cells])

    def finish(
        self, *, content_digest: str, notes: Sequence[Mapping[str, Any]] = ()
    ) -> Evidence:
        ids = tuple(sorted(self._rows))
        rows = [self._rows[i] for i in ids]
        return Evidence(
            spec=self._spec,
            truth_digest=self._truth.digest,
            content_digest=content_digest,
            label_values=self._truth.label_values,
            ids=ids,
            domains=tuple(self._truth.domain_of[i] for i in ids),
            zones=tuple(self._truth.zone_of[i] for i in ids),
            patch=np.repeat(
                np.arange(len(ids), dtype=np.int32), [len(r[0]) for r in rows]
            ),
            cell=np.concatenate([r[0] for r in rows]),
            pixels=np.concatenate([r[1] for r in rows]),
            notes=tuple(notes),
        )
