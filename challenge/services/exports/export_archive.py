"""The zip of an export, read by the strict reader of submissions; nothing is unpacked to a path.

Every member is compared with the manifest before anything of it is used.
"""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from challenge.errors import Refusal, refuse
from challenge.selectors import languages
from challenge.services import signing
from challenge.services.exports import layout
from challenge.services.exports.layout import Manifest, Record, SignedManifest
from scoring.engine.archive import zip_directory
from scoring.engine.problems.problems import ProblemList, Refused

MAX_MEMBERS = 200_000
MAX_MANIFEST_BYTES = 64 << 20
MAX_LINE_BYTES = 16 << 20
# Of all members but archives, inflated.
MAX_TEXT_BYTES = 8 << 30
CHUNK_BYTES = 1 << 20
_SHOWN = 120

Line = TypeVar("Line", bound=Record)


@dataclass
class ExportArchive:
    """An open export whose members are those of its manifest, byte by byte."""

    fd: int
    entries: dict[str, zip_directory.Entry]
    key: str = ""
    manifest: Manifest = field(init=False)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Return a member's bytes, at most a megabyte at a time.

        Raises Refusal ``export-member-altered``: what inflates is not what the directory says.
        """
        entry = self.entries[name]
        inflate = zlib.decompressobj(-15) if entry.method == zip_directory.DEFLATED else None
        at, left = entry.data_offset, entry.compressed_bytes
        crc32 = size_bytes = 0
        try:
            while left or (inflate is not None and inflate.unconsumed_tail):
                if inflate is not None and inflate.unconsumed_tail:
                    chunk = inflate.decompress(inflate.unconsumed_tail, CHUNK_BYTES)
                else:
                    data = os.pread(self.fd, min(left, CHUNK_BYTES), at)
                    if not data:
                        break
                    at, left = at + len(data), left - len(data)
                    chunk = inflate.decompress(data, CHUNK_BYTES) if inflate is not None else data
                size_bytes += len(chunk)
                if size_bytes > entry.size_bytes:
                    break
                crc32 = zlib.crc32(chunk, crc32)
                if chunk:
                    yield chunk
        except zlib.error:
            size_bytes = -1
        if size_bytes != entry.size_bytes or crc32 != entry.crc32:
            raise refuse("export-member-altered", member=name)

    def read(self, name: str, *, limit_bytes: int = MAX_LINE_BYTES) -> bytes:
        """Return a whole member. Raises Refusal ``export-too-large``."""
        found = self.entries[name].size_bytes
        if found > limit_bytes:
            raise refuse("export-too-large", member=name, found=found, allowed=limit_bytes)
        return b"".join(self.chunks(name))

    def lines(self, name: str, kind: type[Line]) -> Iterator[Line]:
        """Return a member's lines as records.

        Raises Refusal ``export-line-invalid``, ``export-too-large``.
        """
        waiting, number = b"", 0
        for chunk in self.chunks(name):
            *whole, waiting = (waiting + chunk).split(b"\n")
            for line in whole:
                number += 1
                yield _record(line, kind, member=name, number=number)
            if len(waiting) > MAX_LINE_BYTES:
                raise refuse(
                    "export-too-large", member=name, found=len(waiting), allowed=MAX_LINE_BYTES
                )
        if waiting:
            yield _record(waiting, kind, member=name, number=number + 1)

    def open(self, name: str) -> io.BufferedReader:
        """Return a member as a file that is read once, from its start to its end."""
        return io.BufferedReader(_Chunks(self.chunks(name)), CHUNK_BYTES)

    def names(self, prefix: str) -> list[str]:
        """Return the members below a folder, in the order of the manifest."""
        return [one.name for one in self.manifest.members if one.name.startswith(prefix)]


@contextmanager
def open_export(path: Path) -> Iterator[ExportArchive]:
    """Open an export and compare every member with its manifest.

    Raises OSError, and Refusal ``export-archive-refused`` (no zip, a bomb, names that lead outside,
    a name twice), ``export-manifest-invalid``, ``export-format-unknown``,
    ``export-members-differ``, ``export-member-altered``, ``export-too-large``.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = ExportArchive(fd, _entries(fd))
        _read_manifest(found)
        _verify(found)
        yield found
    finally:
        os.close(fd)


def _entries(fd: int) -> dict[str, zip_directory.Entry]:
    problems = ProblemList()
    try:
        listed = zip_directory.read(
            fd, max_entries=MAX_MEMBERS, example=layout.MANIFEST, problems=problems
        )
        for problem in problems.listed:
            raise Refused(problem)
    except Refused as refused:
        found = refused.problem.text(languages.current())
        raise refuse("export-archive-refused", found=found) from refused
    entries: dict[str, zip_directory.Entry] = {}
    for entry in listed:
        if entry.name in entries:
            raise refuse("export-archive-refused", found=f"{entry.name[:_SHOWN]} × 2")
        entries[entry.name] = entry
    return entries


def _read_manifest(found: ExportArchive) -> None:
    if layout.MANIFEST not in found.entries:
        raise refuse("export-manifest-invalid", found=", ".join(sorted(found.entries)[:5])[:_SHOWN])
    data = found.read(layout.MANIFEST, limit_bytes=MAX_MANIFEST_BYTES)
    try:
        signed = SignedManifest.model_validate_json(data)
    except ValidationError as error:
        raise refuse("export-manifest-invalid", found=_first(error)) from error
    document = signed.manifest
    if document.get("type") != layout.TYPE or document.get("format") != layout.FORMAT:
        shown = f"{document.get('type')} {document.get('format')}"[:_SHOWN]
        raise refuse("export-format-unknown", found=shown, allowed=layout.FORMAT)
    if not signing.is_signed_by(document, signature=signed.signature, key=signed.key):
        raise refuse("export-member-altered", member=layout.MANIFEST)
    try:
        found.manifest = Manifest.model_validate_json(signing.canonical(document))
    except ValidationError as error:
        raise refuse("export-manifest-invalid", found=_first(error)) from error
    found.key = signed.key


def _verify(found: ExportArchive) -> None:
    listed = {one.name: one for one in found.manifest.members}
    needed = {*layout.LINES, f"{layout.DESCRIPTION}challenge.toml"}
    missing = (needed | set(listed)) - set(found.entries)
    unknown = {name for name in {*listed, *found.entries} if not layout.is_member(name)}
    unknown = (unknown | (set(found.entries) - set(listed))) - {layout.MANIFEST}
    if missing or unknown or len(listed) != len(found.manifest.members):
        shown = ", ".join(sorted(missing | unknown)[:5])[:_SHOWN]
        raise refuse("export-members-differ", found=shown)
    text_bytes = sum(
        entry.size_bytes
        for name, entry in found.entries.items()
        if not name.startswith("archives/")
    )
    if text_bytes > MAX_TEXT_BYTES:
        raise refuse("export-too-large", member="*", found=text_bytes, allowed=MAX_TEXT_BYTES)
    for one in found.manifest.members:
        digest = hashlib.sha256()
        for chunk in found.chunks(one.name):
            digest.update(chunk)
        if digest.hexdigest() != one.sha256 or found.entries[one.name].size_bytes != one.bytes:
            raise refuse("export-member-altered", member=one.name)


def _record(line: bytes, kind: type[Line], *, member: str, number: int) -> Line:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise line_refusal(member, number, _first(error)) from error


def line_refusal(member: str, number: int, found: str) -> Refusal:
    """Return the refusal of a line that is not as the layout wants it."""
    return refuse("export-line-invalid", member=member, line=number, found=found[:_SHOWN])


def _first(error: ValidationError) -> str:
    detail: Any = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in detail["loc"])
    return f"{where}: {detail['msg']}"[:_SHOWN]


class _Chunks(io.RawIOBase):
    """Reads what an iterator of chunks yields."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
