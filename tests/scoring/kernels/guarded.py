"""Arrays between pages that nobody may touch: one byte too far ends the process."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PAGE = mmap.PAGESIZE
_PROT_NONE = 0
_libc = ctypes.CDLL(None, use_errno=True)


class Guarded:
    """``array`` of `size` items ends (or begins, with ``at_start``) at a forbidden page."""

    def __init__(self, size: int, *, dtype: Any = np.uint8, at_start: bool = False) -> None:
        size_bytes = size * np.dtype(dtype).itemsize
        pages = max(1, -(-size_bytes // _PAGE))
        self._memory = mmap.mmap(-1, (pages + 2) * _PAGE)
        whole = np.frombuffer(self._memory, dtype=np.uint8)
        for begin in (0, (pages + 1) * _PAGE):
            address = ctypes.c_void_p(whole.ctypes.data + begin)
            if _libc.mprotect(address, ctypes.c_size_t(_PAGE), _PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")
        first = _PAGE if at_start else (pages + 1) * _PAGE - size_bytes
        self.array: NDArray[Any] = whole[first : first + size_bytes].view(dtype)

    @property
    def address(self) -> int:
        """Where the array begins in memory."""
        return int(self.array.ctypes.data)
