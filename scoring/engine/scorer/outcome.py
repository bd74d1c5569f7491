"""What one pass over an upload found: collected patch by patch, summarised at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scoring.engine.archive import listing
from scoring.engine.decode import decoder
from scoring.engine.problems.problems import Problem, ProblemList
from scoring.engine.task.specification import TaskSpec

LISTED_VALUES = 8

_Position = tuple[int, str]  # of a member: its offset in the archive, its name


@dataclass
class Outcome:
    """What one pass over an upload found, file by file."""

    spec: TaskSpec
    problems: ProblemList = field(default_factory=ProblemList)
    notes: list[Problem] = field(default_factory=list)
    digests: dict[str, bytes] = field(default_factory=dict)
    class_pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    _refused: list[tuple[_Position, Problem]] = field(default_factory=list)
    _invalid_values: list[tuple[_Position, Mapping[int, int]]] = field(default_factory=list)
    _value_pixels: dict[int, int] = field(default_factory=dict)
    _constant: list[str] = field(default_factory=list)
    _with_display_hint: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.class_pixels = np.zeros(self.spec.n_classes, dtype=np.int64)

    def add(
        self,
        member: listing.Member,
        decoded: decoder.Decoded,
        class_pixels: NDArray[np.int64],
        invalid_values: Mapping[int, int],
    ) -> None:
        """Add one decoded patch: int64[n_classes] pixels by class, pixels by invalid value."""
        self.digests[member.id] = decoded.digest
        self.class_pixels += class_pixels
        if decoded.has_display_hint:
            self._with_display_hint.append(member.id)
        if invalid_values:
            self._invalid_values.append((_position(member), dict(invalid_values)))
            for value, pixels in invalid_values.items():
                self._value_pixels[value] = self._value_pixels.get(value, 0) + pixels
        elif np.count_nonzero(class_pixels) == 1:
            self._constant.append(member.id)

    def add_problem(self, member: listing.Member, problem: Problem) -> None:
        """Add a member that could not be decoded; `problem` need not name the file."""
        named = Problem.of(problem.code, file=member.name, **problem.params)
        self._refused.append((_position(member), named))

    def summarise(self) -> None:
        """Turn what was collected into problems and notes."""
        highest = self.spec.n_classes - 1
        one_based = self._looks_like_masks() and bool(self._value_pixels)
        # In the archive's order: decoders reply in another one each time.
        problems = self._refused + [
            (position, _value_problem(position[1], values, highest=highest, one_based=one_based))
            for position, values in self._invalid_values
        ]
        self.problems.extend(problem for _, problem in sorted(problems, key=lambda p: p[0]))
        if self._constant:
            self.notes.append(
                Problem.of(
                    "note-constant-predictions", count=len(self._constant), id=min(self._constant)
                )
            )
        if self._with_display_hint:
            self.notes.append(
                Problem.of(
                    "note-stored-values",
                    count=len(self._with_display_hint),
                    id=min(self._with_display_hint),
                )
            )
        if self.digests and not self.problems and self._looks_like_masks():
            self.notes.append(Problem.of("note-class-zero-absent"))

    def _looks_like_masks(self) -> bool:
        """Whether masks count from 1 here, and so does all of this upload."""
        of_masks = set(self._value_pixels) <= set(self.spec.label_values)
        return self.spec.label_offset > 0 and not self.class_pixels[0] and of_masks

    @property
    def content_digest(self) -> str:
        """sha256 over (id, blake3 of the pixels) in id order: the same pixels, the same digest."""
        whole = hashlib.sha256()
        for patch_id in sorted(self.digests):
            whole.update(patch_id.encode() + b"\0" + self.digests[patch_id])
        return whole.hexdigest()


def _position(member: listing.Member) -> _Position:
    return member.data_offset, member.name


def _value_problem(
    name: str, values: Mapping[int, int], *, highest: int, one_based: bool
) -> Problem:
    pixels = sum(values.values())
    common = sorted(values, key=lambda v: (-values[v], v))
    shown, more = common[:LISTED_VALUES], ", …" if len(common) > LISTED_VALUES else ""
    if one_based:
        value = ", ".join(map(str, shown)) + more
        return Problem.of(
            "values-one-based", file=name, pixels=pixels, value=value, highest=highest
        )
    listed = ", ".join(f"{v}: {values[v]} px" for v in shown) + more
    return Problem.of(
        "values-out-of-range", file=name, pixels=pixels, values=listed, highest=highest
    )
