"""A split of a ground truth's zones: public ones, whose values show at once, and private ones.

Which zones are public stands in one small JSON file beside the packed truth, together with a random
nonce. Everybody else gets a commitment to both, an HMAC-SHA256 (RFC 2104) that tells nothing of
the list and proves it once list and nonce are published. Zones are named ``domain/zone``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import os
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

FORMAT = "flair-split-1"
NONCE_BYTES = 32
NAME_LENGTH = 32
SUFFIX = ".split"
_SMALL = "\n"  # the stratum of domains with a single zone; no domain is called so


class SplitError(ValueError):
    """A split that cannot be made or read; the message names no private zone."""


class CountedZones(StrEnum):
    """Which zones of a ground truth a score counts."""

    ALL = "all"
    PUBLIC = "public"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True)
class Split:
    """The public zones in order, and the nonce in hexadecimal; neither shows in its ``repr``."""

    public_zones: tuple[str, ...] = field(repr=False)
    nonce: str = field(repr=False)

    @classmethod
    def of(cls, public_zones: Iterable[str]) -> Self:
        """Return a split with a fresh random nonce."""
        return cls(tuple(sorted(set(public_zones))), secrets.token_hex(NONCE_BYTES))

    @property
    def commitment(self) -> str:
        """The commitment to list and nonce, in hexadecimal."""
        return commitment(self.public_zones, nonce=self.nonce)

    def ids(self, zone_of: Mapping[str, str], *, zones: CountedZones) -> list[str]:
        """Return the patches whose zones are counted; ``zone_of`` is the zone by patch id."""
        public = set(self.public_zones)
        if zones is CountedZones.ALL:
            return list(zone_of)
        wanted = zones is CountedZones.PUBLIC
        return [patch for patch, zone in zone_of.items() if (zone in public) is wanted]


@dataclass(frozen=True, slots=True)
class SplitFile:
    """Where a split's file is, what it must open, and which of its zones a score counts."""

    path: Path
    commitment: str
    zones: CountedZones

    def load(self) -> Split:
        """Read the file; raises as the function of that name."""
        return load(self.path, committed=self.commitment)


def commitment(public_zones: Iterable[str], *, nonce: str) -> str:
    """Return HMAC-SHA256 of the zones, one a line in order, under the nonce, in hexadecimal.

    Raises SplitError for a nonce that is none.

    >>> commitment(["D001_2020/Z2_UU", "D001_2020/Z1_UU"], nonce="00" * 32)[:16]
    '7eac3dd679a13df0'
    """
    try:
        key = bytes.fromhex(nonce)
    except ValueError:
        key = b""
    if len(key) != NONCE_BYTES:
        raise SplitError(
            f"found a nonce of {len(nonce)} characters; it has {2 * NONCE_BYTES} hexadecimal ones"
        )
    text = "".join(f"{zone}\n" for zone in sorted(set(public_zones)))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def opens(committed: str, *, public_zones: Iterable[str], nonce: str) -> bool:
    """Say whether ``committed`` is the commitment to these zones under the nonce."""
    return hmac.compare_digest(commitment(public_zones, nonce=nonce), committed)


def draw(domain_of: Mapping[str, str], *, share: float, seed: str | None = None) -> Split:
    """Draw the public zones, about ``share`` of each domain's; ``domain_of`` is domain by zone.

    A domain with two zones or more has at least one on each side; the zones of smaller domains
    are drawn together. The order of the draw is that of SHA-256 of seed and zone: whoever knows
    the seed knows the list. Without one it is random. Raises SplitError for a share outside
    (0, 1), fewer than two zones, or patches without a zone.
    """
    if not 0 < share < 1:
        raise SplitError(f"found a public share of {share:g}; allowed is more than 0, less than 1")
    check_zones(domain_of)
    strata: dict[str, list[str]] = defaultdict(list)
    small = set(small_domains(domain_of))
    for zone, domain in domain_of.items():
        strata[_SMALL if domain in small else domain].append(zone)
    counts = _public_counts({name: len(zones) for name, zones in strata.items()}, share=share)
    key = secrets.token_hex(NONCE_BYTES) if seed is None else seed
    public: list[str] = []
    for name, zones in strata.items():
        zones.sort(key=lambda zone: (hashlib.sha256(f"{key}\n{zone}".encode()).digest(), zone))
        public += zones[: counts[name]]
    return Split.of(public)


def chosen(domain_of: Mapping[str, str], public_zones: Collection[str]) -> Split:
    """Return the split with these public zones; ``domain_of`` is domain by zone.

    Raises SplitError: a zone that is none of the labels', all zones or none, a domain of two
    zones or more with all on one side.
    """
    check_zones(domain_of)
    unknown = sorted(set(public_zones) - set(domain_of))
    if unknown:
        raise SplitError(
            f"found {len(unknown)} public zones that the labels do not have: "
            f"{', '.join(unknown[:5])}; zones are written domain/zone, for instance "
            f"{min(domain_of)}"
        )
    split = Split.of(public_zones)
    one_sided = sum(
        len(public) in (0, total)
        for total, public in _by_domain(domain_of, split.public_zones)
        if total > 1
    )
    if one_sided or len(split.public_zones) in (0, len(domain_of)):
        raise SplitError(
            f"found {one_sided} domains of two zones or more with all zones on one side; each "
            "needs a public and a private one"
        )
    return split


def small_domains(domain_of: Mapping[str, str]) -> list[str]:
    """Return the domains with a single zone, in order: they cannot be on both sides."""
    return sorted(name for name in set(domain_of.values()) if _count(domain_of, name) == 1)


def check_zones(domain_of: Mapping[str, str]) -> None:
    """Raise SplitError for labels whose zones cannot be split."""
    if "" in domain_of:
        raise SplitError(
            "found patches without a zone; a split needs the zone of each: list the patches with "
            "the columns domain, zone, patch"
        )
    if len(domain_of) < 2:
        raise SplitError(f"found {len(domain_of)} zone; a split needs at least two")


def domains_by_zone(zone_of: Mapping[str, str], domain_of: Mapping[str, str]) -> dict[str, str]:
    """Return domain by zone, of zone by patch id and domain by patch id."""
    return {zone: domain_of[patch] for patch, zone in zone_of.items()}


def file_name(committed: str) -> str:
    """Return the name of a split's file: it says nothing but the commitment."""
    return committed[:NAME_LENGTH] + SUFFIX


def save(split: Split, folder: Path) -> Path:
    """Write the split's file completely or not at all; only its owner can read it."""
    path = folder / file_name(split.commitment)
    document = {"format": FORMAT, "public_zones": split.public_zones, "nonce": split.nonce}
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        unfinished.touch(mode=0o600, exist_ok=False)
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def load(path: Path, *, committed: str) -> Split:
    """Read a split's file. Raises FileNotFoundError, SplitError for one of another commitment."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        split = Split(tuple(map(str, document["public_zones"])), str(document["nonce"]))
        if document["format"] == FORMAT and hmac.compare_digest(split.commitment, committed):
            return split
    except (KeyError, TypeError, ValueError) as error:
        raise SplitError(f"{path.name}: is not the file of a split") from error
    raise SplitError(f"{path.name}: is not the split that was committed to")


def _public_counts(sizes: Mapping[str, int], *, share: float) -> dict[str, int]:
    """Return how many zones of each stratum are public: at least one on each side, else nearest.

    What rounding down leaves over goes to the strata with the largest remainders.
    """
    counts = {name: _bounded(math.floor(share * size), size) for name, size in sizes.items()}
    left = round(share * sum(sizes.values())) - sum(counts.values())
    for name in sorted(sizes, key=lambda name: (counts[name] - share * sizes[name], name)):
        if left <= 0:
            break
        more = _bounded(counts[name] + 1, sizes[name])
        left -= more - counts[name]
        counts[name] = more
    return counts


def _bounded(count: int, size: int) -> int:
    return min(max(count, 1), size - 1) if size > 1 else min(count, size)


def _by_domain(
    domain_of: Mapping[str, str], public_zones: Collection[str]
) -> list[tuple[int, list[str]]]:
    """Return (zones, public zones) of each domain."""
    public = set(public_zones)
    return [
        (
            _count(domain_of, name),
            [zone for zone, domain in domain_of.items() if domain == name and zone in public],
        )
        for name in sorted(set(domain_of.values()))
    ]


def _count(domain_of: Mapping[str, str], name: str) -> int:
    return sum(domain == name for domain in domain_of.values())
