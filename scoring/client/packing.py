"""A folder of predictions as one zip: the same bytes whenever and wherever it is packed."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scoring.client.errors import CommandError
from scoring.engine.task.specification import TaskSpec

# zip cannot write an earlier date; a fixed one makes two packings alike.
DATE = (1980, 1, 1, 0, 0, 0)
MODE_BITS = 0o100644 << 16
SUFFIXES = frozenset({".tif", ".tiff"})


@dataclass(frozen=True)
class Packed:
    """What was packed, and what was left out."""

    path: Path
    count: int
    size_bytes: int
    sha256: str
    ignored: tuple[str, ...]


def collect(folder: Path, *, spec: TaskSpec) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Predictions below ``folder`` by patch id, and the files that are none.

    Raises ``CommandError`` when one patch is there twice, or none at all.
    """
    files: dict[str, Path] = {}
    ignored: list[str] = []
    for path in sorted(_files(folder)):
        patch = spec.prediction_id(path.stem) if path.suffix.lower() in SUFFIXES else None
        if patch is None:
            ignored.append(path.relative_to(folder).as_posix())
            continue
        if patch in files:
            raise CommandError("pack-twice", id=patch, first=str(files[patch]), second=str(path))
        files[patch] = path
    if not files:
        raise CommandError(
            "pack-empty", path=str(folder), name=spec.prediction_name.replace("{id}", "…")
        )
    return files, tuple(ignored)


def _files(folder: Path) -> Iterator[Path]:
    for base, _folders, names in os.walk(folder):
        for name in names:
            yield Path(base) / name


def pack(
    folder: Path,
    *,
    out: Path,
    spec: TaskSpec,
    force: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Packed:
    """Write ``out`` with every prediction below ``folder`` in id order, under its usual name.

    Raises ``CommandError`` when ``out`` exists (unless ``force``) and what ``collect`` raises.
    """
    if out.exists() and not force:
        raise CommandError("file-exists", path=str(out))
    files, ignored = collect(folder, spec=spec)
    descriptor, draft = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}-")
    try:
        with (
            os.fdopen(descriptor, "wb") as stream,
            zipfile.ZipFile(stream, "w", compression=zipfile.ZIP_DEFLATED) as archive,
        ):
            for done, (patch, path) in enumerate(sorted(files.items()), start=1):
                entry = zipfile.ZipInfo(spec.prediction_name.replace("{id}", patch), date_time=DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.create_system = 3  # Unix, also when packed on Windows
                entry.external_attr = MODE_BITS
                archive.writestr(entry, path.read_bytes(), compresslevel=6)
                on_progress(done, len(files))
        Path(draft).chmod(0o644)
        Path(draft).replace(out)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return Packed(out, len(files), out.stat().st_size, sha256(out), ignored)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
