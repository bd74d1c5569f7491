"""A zip that is written while it is sent: nothing of it is kept but its directory."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

EPOCH = (1980, 1, 1, 0, 0, 0)


class Sink(io.RawIOBase):
    """What a zip is written into: bytes wait here until they are sent on. It cannot seek."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


@dataclass(frozen=True)
class Written:
    """A member that was written: its name, bytes and SHA-256."""

    name: str
    bytes: int
    sha256: str


class ZipStream:
    """Members are written one after the other; ``written`` lists those that are complete."""

    def __init__(self) -> None:
        self._sink = Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", allowZip64=True)
        self.written: list[Written] = []

    def add(self, name: str, chunks: Iterable[bytes], *, compress: bool = True) -> Iterator[bytes]:
        """Write a member of some chunks, in memory one at a time; yields the zip's bytes."""
        info = zipfile.ZipInfo(name, EPOCH)
        info.external_attr = 0o600 << 16
        info.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        digest, size_bytes = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=True) as member:
            for chunk in chunks:
                digest.update(chunk)
                size_bytes += len(chunk)
                member.write(chunk)
                yield self._sink.take()
        self.written.append(Written(name, size_bytes, digest.hexdigest()))
        yield self._sink.take()

    def close(self) -> bytes:
        """Write the directory; returns the last bytes."""
        self._zip.close()
        return self._sink.take()
