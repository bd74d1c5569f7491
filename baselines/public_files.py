"""The public files of a challenge's data set: which there are, whether copies are whole, unzipped.

The list is the challenge file's (`[[downloads]]`). Nothing is fetched here: `flair download data`
does that, or any browser.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from scoring.engine.task import specification as specs

_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.(?P<decimals>[0-9]+))?) (?P<unit>B|kB|MB|GB|TB)")
_POWERS = {"B": 0, "kB": 1, "MB": 2, "GB": 3, "TB": 4}
_DIGEST_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})[ *]{1,2}(?P<name>.+)")
_CHUNK = 1 << 20


class PublicFileError(ValueError):
    """What is wrong with a public file, and what to do."""


@dataclass(frozen=True)
class PublicFile:
    """One file as the challenge lists it; `size` is a rounded text such as "50.7 GB"."""

    name: str
    size: str
    url: str

    def fits(self, size: int) -> bool:
        """Tell whether a size in bytes rounds to the listed one, by powers of 1000 or of 1024."""
        found = _SIZE.fullmatch(self.size)
        if found is None:
            return True
        half = 0.5 / 10 ** len(found["decimals"] or "")
        powers = (base ** _POWERS[found["unit"]] for base in (1000, 1024))
        return any(abs(size / power - float(found["number"])) <= half * 1.001 for power in powers)


def of(challenge: str) -> tuple[PublicFile, ...]:
    """Give the files of a challenge: a shipped name, or the path of a challenge file.

    Raises PublicFileError for a name that is not shipped.
    """
    path = Path(challenge)
    if path.suffix != ".toml":
        path = specs.SHIPPED / challenge / "challenge.toml"
        if challenge not in specs.shipped_names():
            raise PublicFileError(
                f"challenge {challenge!r}; allowed are {', '.join(specs.shipped_names())} or the "
                "path of a challenge.toml"
            )
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(
        PublicFile(row["file"], row.get("size", ""), row.get("url", ""))
        for row in document.get("downloads", ())
    )


def run(
    challenge: str,
    *,
    folder: Path | None = None,
    out_dir: Path | None = None,
    digests: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """List a challenge's files; with `folder` check the copies there; with `out_dir` unzip them.

    A copy is checked by its size, by the table of contents of a zip and, where `digests` (lines as
    `sha256sum` writes them) names it, by its SHA-256. Unzipping checks each member's CRC, leaves
    out members that are there already with their size, and touches nothing unless every copy is as
    it must be. `on_progress` is told the members unzipped and their number.

    Gives `files` (name, size, url, and with `folder` a `state`: "missing", "ok" or what is wrong)
    and with `out_dir` `unzipped`, the number of members written.
    Raises PublicFileError for copies that are not whole, names that lead out of the folder, links,
    and too little free space; nothing is written then.
    """
    listed = of(challenge)
    rows: list[dict[str, Any]] = [
        {"file": one.name, "size": one.size, "url": one.url} for one in listed
    ]
    if folder is None:
        return {"files": rows}
    if not folder.is_dir():
        raise PublicFileError(f"{folder} is no folder; give the one that holds the downloads")
    known = _read_digests(digests) if digests is not None else {}
    for row, one in zip(rows, listed, strict=True):
        row["state"] = _state(one, folder / one.name, sha256=known.get(one.name))
    if out_dir is None:
        return {"files": rows}
    wrong = [
        f"{row['file']} {row['state']}" for row in rows if row["state"] not in ("ok", "missing")
    ]
    if wrong:
        raise PublicFileError(f"nothing was unzipped: {'; '.join(wrong)}. Fetch these again")
    copies = [
        folder / one.name
        for one, row in zip(listed, rows, strict=True)
        if row["state"] == "ok" and one.name.endswith(".zip")
    ]
    return {"files": rows, "unzipped": _unzip(copies, out_dir, on_progress=on_progress)}


def _state(listed: PublicFile, copy: Path, *, sha256: str | None) -> str:
    if not copy.is_file():
        return "missing"
    size = copy.stat().st_size
    if not listed.fits(size):
        return f"has {size} bytes where {listed.size} are listed"
    if copy.suffix == ".zip" and not zipfile.is_zipfile(copy):
        return "is no whole zip"
    if sha256 is not None and (found := _sha256(copy)) != sha256:
        return f"has SHA-256 {found} where {sha256} is known"
    return "ok"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_digests(path: Path) -> dict[str, str]:
    """Read lines of `sha256sum`. Raises PublicFileError naming a line of another form."""
    known = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        match = _DIGEST_LINE.fullmatch(line.strip())
        if match is None:
            raise PublicFileError(
                f"{path}, line {number}: found {line[:80]!r}; a SHA-256 and a file's name are "
                "needed, as sha256sum writes them"
            )
        known[PurePosixPath(match["name"]).name] = match["sha256"]
    return known


def _unzip(copies: list[Path], out_dir: Path, *, on_progress: Callable[[int, int], None]) -> int:
    """Write every member of every zip that is not there yet; give their number."""
    wanted: list[tuple[Path, zipfile.ZipInfo, Path]] = []
    places: dict[Path, Path] = {}
    for copy in copies:
        with zipfile.ZipFile(copy) as archive:
            for member in archive.infolist():
                place = _place(member, out_dir=out_dir, copy=copy)
                if member.is_dir():
                    continue
                if place in places:
                    raise PublicFileError(
                        f"{copy.name}: {member.filename!r} is there twice, also in "
                        f"{places[place].name}; nothing was unzipped"
                    )
                places[place] = copy
                if not (place.is_file() and place.stat().st_size == member.file_size):
                    wanted.append((copy, member, place))
    _require_room(out_dir, sum(member.file_size for _, member, _ in wanted))
    opened: dict[Path, zipfile.ZipFile] = {}
    try:
        for done, (copy, member, place) in enumerate(wanted, start=1):
            archive = opened.setdefault(copy, zipfile.ZipFile(copy))
            _write(archive, member, place)
            on_progress(done, len(wanted))
    finally:
        for archive in opened.values():
            archive.close()
    return len(wanted)


def _place(member: zipfile.ZipInfo, *, out_dir: Path, copy: Path) -> Path:
    """Give where a member goes. Raises PublicFileError for one that leads out, or a link."""
    name = member.orig_filename
    parts = name.rstrip("/").split("/")
    is_outside = any(part in ("", ".", "..") for part in parts) or set("\\:\0") & set(name)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if is_outside or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "leads out of the folder" if is_outside else "is a link or a device"
        raise PublicFileError(
            f"{copy.name}: its member {name!r} {what}; nothing was unzipped. Fetch the file again "
            "from where the challenge lists it"
        )
    place = out_dir.joinpath(*parts)
    for parent in (place, *place.parents):
        if parent == out_dir:
            break
        if parent.is_symlink():
            raise PublicFileError(f"{parent} is a link; nothing was unzipped. Give another folder")
    return place


def _require_room(out_dir: Path, size: int) -> None:
    there = next(path for path in (out_dir, *out_dir.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise PublicFileError(
            f"{size / 1e9:.1f} GB are to be unzipped and {free / 1e9:.1f} GB are free in {there}; "
            "nothing was unzipped. Free space, or give another folder"
        )


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path) -> None:
    """Write a member whole or not at all. Raises PublicFileError where its CRC is another."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.part")
    try:
        with archive.open(member) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
    except (zipfile.BadZipFile, EOFError, ValueError) as wrong:
        part.unlink(missing_ok=True)
        raise PublicFileError(
            f"{archive.filename}: {member.filename!r} is damaged ({wrong}); fetch the file again. "
            "What was unzipped before it stays"
        ) from wrong
    part.replace(place)
