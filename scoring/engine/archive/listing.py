"""Lists an upload: which file is the prediction of which patch.

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

from scoring.engine.archive import zip_directory, zip_end
from scoring.engine.problems.problems import Problem, ProblemList, Refused
from scoring.engine.task.specification import TaskSpec

ENTRIES_WITHOUT_IDS = 100_000
OVERSIZED_BYTES = 32 * 2**20  # up to here a raster that is too large is looked into for its type
FIRST_IDS = 10
RASTER_SUFFIXES = (".tif", ".tiff")
_NESTED = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")
_IGNORED_NAMES = frozenset({".ds_store", "thumbs.db", "desktop.ini", "icon\r"})
_BINARY = getattr(os, "O_BINARY", 0)
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | _BINARY


@dataclass(
    slots=True
)  # not frozen: there are as many as patches, and frozen ones take three times as long
class Member:
    """The file of one patch. In a folder, ``path`` is set and the CRC unknown (None)."""

    id: str
    name: str
    size_bytes: int
    compressed_bytes: int
    method: int = zip_directory.STORED
    data_offset: int = 0
    crc32: int | None = None
    path: Path | None = None
    is_sound: bool = True


@dataclass
class Listing:
    """What an upload holds. ``members`` may be read; they are in the archive's order.

    ``oversized`` may be read, too: one raster whose type may explain why a limit is exceeded.
    """

    members: list[Member] = field(default_factory=list)
    problems: ProblemList = field(default_factory=ProblemList)
    notes: list[Problem] = field(default_factory=list)
    size_bytes: int = 0
    fd: int = -1
    oversized: Member | None = None
    is_too_large: bool = False

    def read(self, member: Member) -> bytes:
        """The member's stored bytes (compressed or not). Raises as `read_into`."""
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
        with _garbage_collection_paused():
            _list(path, listing, spec=spec, expected=expected)
    except BaseException:
        listing.close()
        raise
    return listing


@contextlib.contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """For the creation of tens of thousands of small objects that are all kept."""
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
        files = [(m.name, m) for m in listing.members]
    else:
        files = _list_zip(path, listing, spec=spec, expected=expected)
    _match(files, listing, spec=spec, expected=expected)


def example_name(spec: TaskSpec, expected: tuple[str, ...] = ()) -> str:
    """A legal file name of this challenge, for messages."""
    first = expected[0] if expected else spec.expected[0].id if spec.expected else "…"
    return spec.prediction_name.replace("{id}", first)


def _read_at(fd: int, target: memoryview, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(fd, [target], offset)
    data = zip_end.pread(fd, len(target), offset)
    target[: len(data)] = data
    return len(data)


def _max_entries(expected: tuple[str, ...]) -> int:
    return 4 * len(expected) + 100 if expected else ENTRIES_WITHOUT_IDS


def _list_zip(
    path: Path, listing: Listing, *, spec: TaskSpec, expected: tuple[str, ...]
) -> list[tuple[str, Member]]:
    try:
        listing.fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | _BINARY)
    except OSError as error:
        code = "file-unreadable" if path.exists() else "path-missing"
        raise Refused.of(code, file=path.name) from error
    listing.size_bytes = os.fstat(listing.fd).st_size
    too_large = _size_problem("archive-too-large", listing.size_bytes, spec)
    try:
        entries = zip_directory.read(
            listing.fd,
            max_entries=_max_entries(expected),
            example=example_name(spec, expected),
            problems=listing.problems,
        )
    except Refused as refused:
        raise Refused(too_large or refused.problem) from refused
    too_large = too_large or _size_problem(
        "archive-inflates-too-large", sum(e.size_bytes for e in entries), spec
    )
    _report_too_large(listing, too_large)
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
                listing.problems.report("member-not-regular", file=shown, kind=kind)
                continue
            size = status.st_size
            listing.size_bytes += size
            listing.members.append(Member("", shown, size, size, path=path))
            if len(listing.members) > max_entries:
                raise Refused.of(
                    "archive-too-many-entries", count=len(listing.members), limit=max_entries
                )
    _report_too_large(listing, _size_problem("archive-too-large", listing.size_bytes, spec))


def _size_problem(code: str, size_bytes: int, spec: TaskSpec) -> Problem | None:
    """The problem `code` where `size_bytes` are more than a whole archive may have."""
    limit_bytes = spec.limits.archive_bytes
    if size_bytes <= limit_bytes:
        return None
    return Problem.of(code, size_bytes=size_bytes, limit_bytes=limit_bytes)


def _report_too_large(listing: Listing, problem: Problem | None) -> None:
    if problem is not None:
        listing.is_too_large = True
        listing.problems.insert_first(problem)


class _FileMatcher:
    """Gives every file its patch; sorts out the ignored, unexpected, double and foreign ones."""

    def __init__(self, spec: TaskSpec, expected: tuple[str, ...], problems: ProblemList) -> None:
        self._spec = spec
        self._problems = problems
        self._find_id = _id_finder(spec, expected)
        self._example = example_name(spec, expected)
        self._expected = frozenset(expected)
        self.by_id: dict[str, Member] = {}
        self.ignored: list[str] = []
        self.foreign: dict[str, list[tuple[str, str]]] = {}  # challenge → (patch id, file name)
        self.oversized: Member | None = None

    def add(self, name: str, member: Member) -> None:
        """Match one file; what is wrong with it goes to the problems."""
        base = name.rsplit("/", 1)[-1]
        if _is_ignored(name, base):
            self.ignored.append(name)
            return
        stem, dot, suffix = base.rpartition(".")
        is_raster = f"{dot}{suffix.lower()}" in RASTER_SUFFIXES
        patch_id = self._find_id(stem) if is_raster else None
        if patch_id is None:
            if member.is_sound:  # the others have been reported already
                _report_unexpected(self._problems, name, base, self._example)
        elif patch_id in self.by_id:
            self._problems.report(
                "duplicate-patch", file=name, id=patch_id, other=self.by_id[patch_id].name
            )
        elif self._expected and patch_id not in self._expected:
            self._add_unknown(name, patch_id)
        else:
            self._add_prediction(name, patch_id, member)

    def _add_unknown(self, name: str, patch_id: str) -> None:
        challenge = next((e.name for e in self._spec.elsewhere if e.has(patch_id)), None)
        if challenge is None:
            self._problems.report("unknown-patch", file=name, id=patch_id)
        else:
            self.foreign.setdefault(challenge, []).append((patch_id, name))

    def _add_prediction(self, name: str, patch_id: str, member: Member) -> None:
        limit_bytes = self._spec.limits.member_bytes
        fits = member.size_bytes <= limit_bytes
        if not fits:
            self._problems.report(
                "member-too-large", file=name, size_bytes=member.size_bytes, limit_bytes=limit_bytes
            )
            if self.oversized is None and member.is_sound:
                self.oversized = member
        member.id, member.is_sound = patch_id, member.is_sound and fits
        self.by_id[patch_id] = member

    def report_whole(self) -> None:
        """Report what only all files together show: none, missing or foreign predictions."""
        if not self.by_id and not self.foreign and not self._problems:
            self._problems.add(Problem.of("archive-no-predictions", example=self._example))
        missing = sorted(self._expected - self.by_id.keys())
        if missing and (self.by_id or self.foreign):
            self._problems.insert_first(
                Problem.of(
                    "missing-patches",
                    count=len(missing),
                    expected=len(self._expected),
                    ids=", ".join(missing[:FIRST_IDS]),
                )
            )
        for challenge, files in self.foreign.items():
            self._problems.insert_first(
                Problem.of(
                    "foreign-patches",
                    file=files[0][1],
                    count=len(files),
                    challenge=challenge,
                    ids=", ".join(sorted(i for i, _ in files)[:FIRST_IDS]),
                )
            )


def _match(
    files: list[tuple[str, Member]],
    listing: Listing,
    *,
    spec: TaskSpec,
    expected: tuple[str, ...],
) -> None:
    """Fill the listing's members, notes and problems from its files by name."""
    matcher = _FileMatcher(spec, expected, listing.problems)
    for name, member in files:
        matcher.add(name, member)
    listing.members = [member for member in matcher.by_id.values() if member.is_sound]
    listing.oversized = matcher.oversized
    if listing.is_too_large:  # more than may be decoded: one member has to speak for all
        listing.oversized = listing.oversized or next(iter(listing.members), None)
        listing.members = []
    if listing.oversized is not None and listing.oversized.size_bytes > OVERSIZED_BYTES:
        listing.oversized = None
    if ignored := matcher.ignored:
        listing.notes.append(
            Problem.of("note-ignored-files", count=len(ignored), example=ignored[0])
        )
    matcher.report_whole()


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


def _report_unexpected(problems: ProblemList, name: str, base: str, example: str) -> None:
    suffix = "." + base.lower().rpartition(".")[2]
    if suffix in _NESTED:
        problems.report("member-nested-archive", file=name, format=suffix[1:])
    else:
        problems.report("member-unexpected", file=name, example=example)
