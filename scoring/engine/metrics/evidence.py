"""Evidence: the counts of every patch, from which any re-scoring is done without the archive.

Kept are unreduced counts, mask labels × predicted classes, so that a change of the reduction of
labels, of the scored set, of a policy or of the patches is a matter of adding numbers again.

The file is a numpy archive (.npz) of three columns in patch order and one JSON document; a full
FLAIR submission of 15,700 patches takes about 1.5 MB.
"""

from __future__ import annotations

import io
import json
import secrets
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from scoring.engine import typed_json
from scoring.engine.metrics import metrics
from scoring.engine.problems.problems import ProblemDocument
from scoring.engine.task import specification as specs
from scoring.engine.task.documents import TaskDocument
from scoring.engine.task.specification import ILLEGAL_LABEL, TaskSpec
from scoring.engine.truth.store import PackedTruth

FORMAT = "flair-evidence-1"
_PATCHES_PER_PACK = 256
_Columns = tuple[NDArray[np.int32], NDArray[np.uint16], NDArray[np.uint32]]


class EvidenceError(ValueError):
    """Evidence that cannot be read, or cannot give what was asked."""


class _Document(TypedDict):
    """The JSON part of the file; ``patches`` are rows of (id, domain, zone) in order of ids."""

    format: str
    spec: TaskDocument
    truth_digest: str
    content_digest: str
    label_values: list[int]
    patches: list[list[str]]
    notes: list[ProblemDocument]


@dataclass(frozen=True, slots=True)
class ZoneMatrices:
    """Zones that hold patches: names, their domains, patches int64[Z], matrices int64[Z, n, n]."""

    names: tuple[str, ...]
    domains: tuple[str, ...]
    patches: NDArray[np.int64]
    matrices: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Sparse counts of all patches, in order of ids.

    Entry i says that ``pixels[i]`` pixels of patch number ``patch[i]`` have the label and class
    of ``cell[i]`` = label index × n_classes + class id; int32, uint16 and uint32.
    """

    spec: TaskSpec
    truth_digest: str
    content_digest: str
    label_values: tuple[int, ...]
    ids: tuple[str, ...]
    domains: tuple[str, ...]
    zones: tuple[str, ...]
    patch: NDArray[np.int32]
    cell: NDArray[np.uint16]
    pixels: NDArray[np.uint32]
    notes: tuple[ProblemDocument, ...] = ()

    def zone_matrices(
        self, *, spec: TaskSpec | None = None, ids: Collection[str] | None = None
    ) -> ZoneMatrices:
        """Reduced matrices per zone, of all patches or of ``ids``.

        Raises `EvidenceError` for an unknown id or a reduction that the counts cannot give.
        """
        names = sorted(set(self.zones))
        position = {name: i for i, name in enumerate(names)}
        zone_of_patch = np.array([position[z] for z in self.zones], dtype=np.int64)
        selection = self._selection(ids)
        counts = self._counts(zone_of_patch, selection, n_zones=len(names))
        patches = np.bincount(zone_of_patch[selection], minlength=len(names)).astype(np.int64)
        used = patches > 0
        domain_of = dict(zip(self.zones, self.domains, strict=True))
        used_names = tuple(n for n, u in zip(names, used, strict=True) if u)
        return ZoneMatrices(
            names=used_names,
            domains=tuple(domain_of[n] for n in used_names),
            patches=patches[used],
            matrices=self._reduced(counts[used], spec=spec or self.spec),
        )

    def patch_matrices(self, first: int, end: int) -> NDArray[np.int64]:
        """int64[end - first, n, n]: reduced matrices of the patches ``ids[first:end]``.

        Raises `EvidenceError` for a reduction that the counts cannot give.
        """
        position = np.arange(len(self.ids), dtype=np.int64)
        selection = (position >= first) & (position < end)
        counts = self._counts(position - first, selection, n_zones=end - first)
        return self._reduced(counts, spec=self.spec)

    def _counts(
        self, zone_of_patch: NDArray[np.int64], selection: NDArray[np.bool_], *, n_zones: int
    ) -> NDArray[np.int64]:
        """int64[zones, labels, classes], the selected patches added up."""
        shape = (n_zones, len(self.label_values), self.spec.n_classes)
        selected = selection[self.patch]
        zones = zone_of_patch[self.patch[selected]]
        cells = zones * (shape[1] * shape[2]) + self.cell[selected]
        flat = np.zeros(n_zones * shape[1] * shape[2], dtype=np.int64)
        np.add.at(flat, cells, self.pixels[selected].astype(np.int64))
        return flat.reshape(shape)

    def _reduced(self, counts: NDArray[np.int64], *, spec: TaskSpec) -> NDArray[np.int64]:
        """int64[zones, labels, classes] → int64[zones, n, n] of ``spec``."""
        try:
            rows = metrics.reduce_labels(counts, label_values=self.label_values, spec=spec)
        except ValueError as error:
            raise EvidenceError(str(error)) from error
        if [c.labels for c in spec.classes] == [c.labels for c in self.spec.classes]:
            return rows
        matrix = np.zeros((*rows.shape[:-1], spec.n_classes), dtype=np.int64)
        for cls in self.spec.classes:
            column = rows[..., cls.id]
            targets = sorted({int(v) for v in spec.label_table[list(cls.labels)]})
            if len(targets) == 1 and targets[0] != ILLEGAL_LABEL:
                matrix[..., targets[0]] += column
            elif column.any():
                raise EvidenceError(
                    f"pixels were predicted as {cls.key!r}, which {spec.id!r} splits or drops; "
                    "only classes that stay or are merged can be re-scored from evidence"
                )
        return matrix

    def _selection(self, ids: Collection[str] | None) -> NDArray[np.bool_]:
        """bool[patches]. Raises `EvidenceError` for an unknown id."""
        if ids is None:
            return np.ones(len(self.ids), dtype=np.bool_)
        wanted = set(ids)
        unknown = sorted(wanted.difference(self.ids))
        if unknown:
            first = ", ".join(unknown[:10])
            raise EvidenceError(f"{len(unknown)} ids are not in the evidence: {first}")
        return np.array([i in wanted for i in self.ids], dtype=np.bool_)


class EvidenceBuilder:
    """Builds the evidence from the counts of one patch after the other, in any order."""

    def __init__(self, spec: TaskSpec, truth: PackedTruth) -> None:
        self._spec = spec
        self._truth = truth
        self._ids: dict[str, int] = {}
        self._unpacked: list[NDArray[np.int64]] = []
        self._packed: list[_Columns] = []

    def add(self, patch_id: str, counts: NDArray[np.int64]) -> None:
        """``counts`` is int64[n_labels, n_classes] of `counting.PatchCounter.count`.

        Raises ValueError if the patch was added before.
        """
        if self._ids.setdefault(patch_id, len(self._ids)) != len(self._ids) - 1:
            raise ValueError(f"patch {patch_id} was counted twice")
        self._unpacked.append(counts)
        if len(self._unpacked) == _PATCHES_PER_PACK:
            self._pack()

    def build(self, *, content_digest: str, notes: Sequence[ProblemDocument] = ()) -> Evidence:
        """The evidence of all added patches. Raises ValueError if none was added."""
        if not self._ids:
            raise ValueError("no patch was counted")
        if self._unpacked:
            self._pack()
        ids = tuple(sorted(self._ids))
        rank = np.empty(len(ids), dtype=np.int32)
        rank[[self._ids[i] for i in ids]] = np.arange(len(ids), dtype=np.int32)
        patch, cell, pixels = (np.concatenate(parts) for parts in zip(*self._packed, strict=True))
        order = np.argsort(rank[patch], kind="stable")
        return Evidence(
            spec=self._spec,
            truth_digest=self._truth.digest,
            content_digest=content_digest,
            label_values=self._truth.label_values,
            ids=ids,
            domains=tuple(self._truth.domain_of[i] for i in ids),
            zones=tuple(self._truth.zone_of[i] for i in ids),
            patch=rank[patch][order],
            cell=cell[order],
            pixels=pixels[order],
            notes=tuple(notes),
        )

    def _pack(self) -> None:
        """Keep the cells that are not 0; many patches at once, as numpy's cost is per call."""
        first = len(self._ids) - len(self._unpacked)
        counts = np.stack(self._unpacked).reshape(len(self._unpacked), -1)
        rows, cells = np.nonzero(counts)
        self._packed.append(
            (
                (rows + first).astype(np.int32),
                cells.astype(np.uint16),
                counts[rows, cells].astype(np.uint32),
            )
        )
        self._unpacked.clear()


def save(evidence: Evidence, path: str | Path) -> int:
    """Write the file completely or not at all. Returns its size in bytes; raises OSError."""
    document: _Document = {
        "format": FORMAT,
        "spec": evidence.spec.to_json(),
        "truth_digest": evidence.truth_digest,
        "content_digest": evidence.content_digest,
        "label_values": list(evidence.label_values),
        "patches": [
            list(row) for row in zip(evidence.ids, evidence.domains, evidence.zones, strict=True)
        ],
        "notes": list(evidence.notes),
    }
    text = json.dumps(document, ensure_ascii=False).encode()
    counts = np.bincount(evidence.patch, minlength=len(evidence.ids)).astype(np.uint16)
    out = Path(path)
    unfinished = out.with_name(f".{out.name}.{secrets.token_hex(8)}")
    try:
        with unfinished.open("xb") as file:
            np.savez_compressed(
                file,
                document=np.frombuffer(text, dtype=np.uint8),
                entries=counts,
                cell=evidence.cell,
                pixels=evidence.pixels,
            )
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return out.stat().st_size


def load(path: str | Path | bytes) -> Evidence:
    """The evidence in a file, or in its bytes. Raises `EvidenceError` if it is none."""
    try:
        data = path if isinstance(path, bytes) else Path(path).read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            document = _read_document(archive["document"].tobytes())
            entries = archive["entries"].astype(np.int64)
            cell, pixels = archive["cell"], archive["pixels"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, EvidenceError):
            raise
        raise EvidenceError(f"not an evidence file: {error}") from error
    patches = document["patches"]
    return Evidence(
        spec=specs.from_json(document["spec"]),
        truth_digest=document["truth_digest"],
        content_digest=document["content_digest"],
        label_values=tuple(document["label_values"]),
        ids=tuple(row[0] for row in patches),
        domains=tuple(row[1] for row in patches),
        zones=tuple(row[2] for row in patches),
        patch=np.repeat(np.arange(len(patches), dtype=np.int32), entries),
        cell=cell,
        pixels=pixels,
        notes=tuple(document["notes"]),
    )


def _read_document(text: bytes) -> _Document:
    document = json.loads(text)
    if document.get("format") != FORMAT:
        raise EvidenceError(f"format {document.get('format')!r}, not {FORMAT!r}")
    return typed_json.check(document, _Document)
