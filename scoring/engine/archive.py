"""An upload's table of contents: which file is the prediction of which patch.

`open_upload` reads a zip or a folder, checks everything that needs no pixel, and gives a
`Listing`: members by patch id, problems, notes. Bytes are then read member by member; nothing is
ever extracted to a path.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scoring.engine import zipdir, zipend
from scoring.engine.problems import Findings, Problem, Refused
from scoring.engine.spec import TaskSpec

ENTRIES_WITHOUT_IDS = 100_000
FIRST_IDS = 10
RASTER_SUFFIXES = (".tif", ".tiff")
_NESTED = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")
_IGNORED_NAMES = frozenset({".ds_store", "thumbs.db", "desktop.ini", "icon\r"})
_BINARY = getattr(os, "O_BINARY", 0)
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | _BINARY


@dataclass(slots=True)  # not frozen: there are as many as patches, and frozen ones cost thrice
class Member:
    """The file of one patch. In a folder, ``path`` is set and the CRC unknown (None)."""

    id: str
    name: str
    size_bytes: int
    compressed_bytes: int
    method: int = zipdir.STORED
    data_offset: int = 0
    crc32: int | None = None
    path: Path | None = None
    is_sound: bool = True


@dataclass
class Listing:
    """What an upload holds. ``members`` may be read; they are in the archive's own order."""

    members: list[Member] = field(default_factory=list)
    problems: Findings = field(default_factory=Findings)
    notes: list[Problem] = field(default_factory=list)
    size_bytes: int = 0
    fd: int = -1

    def read(self, member: Member) -> bytes:
        """The member's bytes as they are stored (compressed or not). Raises as `read_into`."""
        data = bytearray(member.compressed_bytes)
        self.read_into(member, memoryview(data))
        return bytes(data)

    def read_into(self, member: Member, target: memoryview) -> None:
        """Fill `target` (exactly ``compressed_bytes`` long) with the member's stored bytes.

        Raises Refused where the file has changed since it was listed or cannot be read.
        """
        try:
            if member.path is not None:
                fd = os.open(member.path, _OPEN_FLAGS)
                try:
                    got = _read_at(fd, target, 0)
                finally:
                    os.close(fd)
            else:
                got = _read_at(self.fd, target, member.data_offset)
        except OSError as error:
            raise Refused.of("file-unreadable", file=member.name) from error
        if got != member.compressed_bytes:
            raise Refused.of("file-unreadable", file=member.name)

    def close(self) -> None:
        """Close the archive."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def open_upload(
    path: str | Path, *, spec: TaskSpec, expected_ids: Iterable[str] | None = None
) -> Listing:
    """List the zip or folder at `path`; the caller closes the listing.

    `expected_ids` defaults to the specification's own; where there are none either, any id that
    fits the pattern is legal and nothing can be missing. Raises Refused when the upload as a
    whole cannot be read; single faults are in ``problems``.
    """
    expected = tuple(expected_ids if expected_ids is not None else (p.id for p in spec.expected))
    path = Path(path)
    listing = Listing()
    try:
        with _without_collecting():
            _list(path, listing, spec=spec, expected=expected)
    except BaseException:
        listing.close()
        raise
    return listing


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """No search for garbage while tens of thousands of small objects are made, all to be kept."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _list(path: Path, listing: Listing, *, spec: TaskSpec, expected: tuple[str, ...]) -> None:
    if path.is_dir():
        _list_folder(path, listing, spec=spec, max_entries=_max_entries(expected))
        found = [(m.name, m) for m in listing.members]
    else:
        found = _list_zip(path, listing, spec=spec, max_entries=_max_entries(expected))
    _match(found, listing, spec=spec, expected=expected)


def example_name(spec: TaskSpec, expected: tuple[str, ...] = ()) -> str:
    """A legal file name of this challenge, for messages."""
    first = expected[0] if expected else spec.expected[0].id if spec.expected else "…"
    return spec.prediction_name.replace("{id}", first)


def _read_at(fd: int, target: memoryview, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(fd, [target], offset)
    data = zipend.pread(fd, len(target), offset)
    target[: len(data)] = data
    return len(data)


def _max_entries(expected: tuple[str, ...]) -> int:
    return 4 * len(expected) + 100 if expected else ENTRIES_WITHOUT_IDS


def _list_zip(
    path: Path, listing: Listing, *, spec: TaskSpec, max_entries: int
) -> list[tuple[str, Member]]:
    try:
        listing.fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | _BINARY)
    except OSError as error:
        code = "file-unreadable" if path.exists() else "path-missing"
        raise Refused.of(code, file=path.name) from error
    listing.size_bytes = os.fstat(listing.fd).st_size
    _check_size(listing.size_bytes, spec)
    entries = zipdir.read(
        listing.fd,
        max_entries=max_entries,
        example=example_name(spec),
        problems=listing.problems,
    )
    inflated = sum(e.size_bytes for e in entries)
    if inflated > spec.limits.archive_bytes:
        raise Refused.of(
            "archive-inflates-too-large",
            size_bytes=inflated,
            limit_bytes=spec.limits.archive_bytes,
        )
    return [
        (
            e.name,
            Member(
                "",
                e.name,
                e.size_bytes,
                e.compressed_bytes,
                e.method,
                e.data_offset,
                e.crc32,
                is_sound=e.is_sound,
            ),
        )
        for e in entries
        if not e.is_folder
    ]


def _list_folder(root: Path, listing: Listing, *, spec: TaskSpec, max_entries: int) -> None:
    for folder, subfolders, files in os.walk(root):
        subfolders.sort()
        for name in sorted(files) + [s for s in subfolders if (Path(folder) / s).is_symlink()]:
            path = Path(folder) / name
            shown = path.relative_to(root).as_posix()
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                link = stat.S_ISLNK(status.st_mode)
                kind = "a symbolic link" if link else "a device, socket or pipe"
                listing.problems.tell("member-not-regular", file=shown, kind=kind)
                continue
            size = status.st_size
            listing.size_bytes += size
            listing.members.append(Member("", shown, size, size, path=path))
            if len(listing.members) > max_entries:
                raise Refused.of(
                    "archive-too-many-entries", count=len(listing.members), limit=max_entries
                )
    _check_size(listing.size_bytes, spec)


def _check_size(size_bytes: int, spec: TaskSpec) -> None:
    if size_bytes > spec.limits.archive_bytes:
        raise Refused.of(
            "archive-too-large", size_bytes=size_bytes, limit_bytes=spec.limits.archive_bytes
        )


def _match(
    found: list[tuple[str, Member]],
    listing: Listing,
    *,
    spec: TaskSpec,
    expected: tuple[str, ...],
) -> None:
    """Give every file its patch; sort out the ignored, unexpected, double, foreign, missing."""
    find_id = _id_finder(spec, expected)
    example = example_name(spec, expected)
    by_id: dict[str, Member] = {}
    ignored: list[str] = []
    foreign: dict[str, list[tuple[str, str]]] = {}
    wanted = frozenset(expected)
    for name, member in found:
        base = name.rsplit("/", 1)[-1]
        if _is_ignored(name, base):
            ignored.append(name)
            continue
        stem, dot, suffix = base.rpartition(".")
        patch_id = find_id(stem) if f"{dot}{suffix.lower()}" in RASTER_SUFFIXES else None
        if patch_id is None:
            if member.is_sound:  # the others have been told already
                _tell_unexpected(listing.problems, name, base, example)
            continue
        if patch_id in by_id:
            listing.problems.tell(
                "duplicate-patch", file=name, id=patch_id, other=by_id[patch_id].name
            )
            continue
        if wanted and patch_id not in wanted:
            home = next((e.name for e in spec.elsewhere if e.has(patch_id)), None)
            if home is None:
                listing.problems.tell("unknown-patch", file=name, id=patch_id)
            else:
                foreign.setdefault(home, []).append((patch_id, name))
            continue
        fits = member.size_bytes <= spec.limits.member_bytes
        if not fits:
            listing.problems.tell(
                "member-too-large",
                file=name,
                size_bytes=member.size_bytes,
                limit_bytes=spec.limits.member_bytes,
            )
        member.id, member.is_sound = patch_id, member.is_sound and fits
        by_id[patch_id] = member
    listing.members = [member for member in by_id.values() if member.is_sound]
    if ignored:
        listing.notes.append(
            Problem.of("note-ignored-files", count=len(ignored), example=ignored[0])
        )
    if not by_id and not foreign and not listing.problems:
        listing.problems.add(Problem.of("archive-no-predictions", example=example))
    missing = sorted(wanted - by_id.keys())
    if missing and (by_id or foreign):
        listing.problems.put_first(
            Problem.of(
                "missing-patches",
                count=len(missing),
                expected=len(wanted),
                ids=", ".join(missing[:FIRST_IDS]),
            )
        )
    for challenge, files in foreign.items():
        listing.problems.put_first(
            Problem.of(
                "foreign-patches",
                file=files[0][1],
                count=len(files),
                challenge=challenge,
                ids=", ".join(sorted(i for i, _ in files)[:FIRST_IDS]),
            )
        )


def _id_finder(spec: TaskSpec, expected: tuple[str, ...]) -> Callable[[str], str | None]:
    """Stem → patch id; letters of another case are the same id."""
    pattern = re.compile(spec.prediction_pattern, re.ASCII | re.IGNORECASE)
    as_expected = {i.lower(): i for i in expected}

    def find(stem: str) -> str | None:
        match = pattern.fullmatch(stem) if stem.isascii() else None
        if match is None:
            return None
        # Without a list of ids the first spelling met stands for all of its cases.
        return as_expected.setdefault(match["id"].lower(), match["id"])

    return find


def _is_ignored(name: str, base: str) -> bool:
    """What operating systems and GDAL leave beside the files, at any depth."""
    lower = base.lower()
    return (
        lower in _IGNORED_NAMES
        or base.startswith("._")
        or lower.endswith(".aux.xml")
        or ("__MACOSX" in name and "__MACOSX" in name.split("/")[:-1])
    )


def _tell_unexpected(problems: Findings, name: str, base: str, example: str) -> None:
    suffix = "." + base.lower().rpartition(".")[2]
    if suffix in _NESTED:
        problems.tell("member-nested-archive", file=name, format=suffix[1:])
    else:
        problems.tell("member-unexpected", file=name, example=example)
