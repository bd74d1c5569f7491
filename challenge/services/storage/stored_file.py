"""A stored file that reads like a local one: each read fetches its range alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from challenge.services.storage import archives

BUFFER_BYTES = 1 << 20


class _Ranges(io.RawIOBase):
    def __init__(self, name: str, size_bytes: int) -> None:
        self._name, self._size, self._at = name, size_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = b"".join(archives.read_stored(self._name, first=self._at, end=end))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@contextmanager
def open_stored(name: str, *, size_bytes: int) -> Iterator[IO[bytes]]:
    """Open a stored file for reading and seeking; raises as `archives.read_stored`, when read."""
    with io.BufferedReader(_Ranges(name, size_bytes), BUFFER_BYTES) as file:
        yield cast("IO[bytes]", file)
