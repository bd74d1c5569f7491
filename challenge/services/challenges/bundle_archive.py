"""The zip of a CodaLab or Codabench competition: its YAML and the texts beside it, nothing else.

Nothing of it is written to disk or run. Pure: no Django.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from scoring.engine.archive import zip_directory
from scoring.engine.problems.problems import ProblemList, Refused

YAML_NAMES = ("competition.yaml", "competition.yml")
MAX_FILES = 20_000
MAX_TEXT_BYTES = 1_000_000
MAX_YAML_DEPTH = 20


class BundleError(Exception):
    """The file is no bundle that can be read; ``code`` and ``found`` say why."""

    def __init__(self, code: str, found: str = "") -> None:
        super().__init__(f"{code}: {found}")
        self.code, self.found = code, found[:200]


class _Loader(yaml.SafeLoader):
    """Plain values only. An alias would let a few lines stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise BundleError("bundle-yaml-alias")
        return super().compose_node(parent, index)


@dataclass(frozen=True)
class BundleArchive:
    """The files of an open bundle by name, relative to the folder of its YAML."""

    fd: int
    entries: dict[str, zip_directory.Entry]
    document: dict[str, Any]

    def text(self, name: object) -> str | None:
        """Return a text beside the YAML; None where it is missing, too large or no text."""
        entry = self.entries.get(str(name).replace("\\", "/").removeprefix("./"))
        if entry is None or entry.is_folder or not entry.is_sound:
            return None
        try:
            return _read(self.fd, entry).decode("utf-8-sig")
        except (BundleError, UnicodeDecodeError):
            return None


@contextmanager
def open_bundle(path: Path) -> Iterator[BundleArchive]:
    """Open a bundle with the strict reader of submissions.

    Raises `Refused` (no zip, damaged, names that lead outside) and `BundleError`:
    ``bundle-yaml-missing``, ``bundle-yaml-invalid``, ``bundle-yaml-alias``,
    ``bundle-text-too-large``.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        problems = ProblemList()
        found = zip_directory.read(
            fd, max_entries=MAX_FILES, example="competition.yaml", problems=problems
        )
        for problem in problems.listed:
            if problem.code == "member-name-unsafe":
                raise Refused(problem)
        entries = {entry.name: entry for entry in found}
        name = _yaml_name(entries)
        folder = name.rpartition("/")[0]
        beside = {
            entry.removeprefix(f"{folder}/") if folder else entry: value
            for entry, value in entries.items()
        }
        yield BundleArchive(fd, beside, _document(_read(fd, entries[name])))
    finally:
        os.close(fd)


def _yaml_name(entries: dict[str, zip_directory.Entry]) -> str:
    """Return the name of the YAML: at the top, or in the one folder that holds everything."""
    names = [name for name in entries if PurePosixPath(name).name in YAML_NAMES]
    names = [name for name in names if name.count("/") <= 1 and "__MACOSX" not in name]
    if not names:
        raise BundleError("bundle-yaml-missing", ", ".join(sorted(entries)[:5]))
    return min(names, key=lambda name: (name.count("/"), name))


def _read(fd: int, entry: zip_directory.Entry) -> bytes:
    """Return an entry's bytes. Raises `BundleError`."""
    if max(entry.size_bytes, entry.compressed_bytes) > MAX_TEXT_BYTES:
        raise BundleError("bundle-text-too-large", entry.name)
    data = os.pread(fd, entry.compressed_bytes, entry.data_offset)
    if entry.method == zip_directory.DEFLATED:
        try:
            data = zlib.decompressobj(-15).decompress(data, entry.size_bytes + 1)
        except zlib.error as error:
            raise BundleError("bundle-yaml-invalid", entry.name) from error
    if len(data) != entry.size_bytes or zlib.crc32(data) != entry.crc32:
        raise BundleError("bundle-yaml-invalid", entry.name)
    return data


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = yaml.load(data.decode("utf-8-sig"), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BundleError("bundle-yaml-invalid", " ".join(str(error).split())) from error
    if not isinstance(document, dict):
        raise BundleError("bundle-yaml-invalid", type(document).__name__)
    return {str(key): value for key, value in document.items()}
