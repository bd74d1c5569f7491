"""Takes the right to write away from memory that holds machine code. Linux.

Libraries that make code while they run (libffi's closures, which ctypes and llvmlite use; a
just-in-time compiler) keep pages that are writable and executable at once: whoever can write there
runs code of their own without any system call. `forbid_writing_code` ends that for the whole
process; the system call filter of `sandbox` keeps memory from becoming executable again.
Sources: proc_pid_maps(5), mprotect(2), personality(2).
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_READ_IMPLIES_EXEC, _GET_PERSONALITY = 0x0400000, 0xFFFFFFFF
_DATA_AREAS = ("[heap]", "[stack]")


@dataclass(frozen=True, slots=True)
class Mapping:
    """One line of ``/proc/self/maps``: addresses in bytes, permissions such as ``r-xp``."""

    start: int
    end: int
    permissions: str
    file: tuple[str, str]  # device and inode; inode "0" for anonymous memory
    name: str

    @property
    def writable(self) -> bool:
        """Whether the process may write there."""
        return "w" in self.permissions

    @property
    def executable(self) -> bool:
        """Whether the process may execute what is there."""
        return "x" in self.permissions

    @property
    def shared(self) -> bool:
        """Whether writes are seen through other mappings of the same file."""
        return self.permissions.endswith("s")


def mappings() -> list[Mapping]:
    """The memory of this process. Raises OSError where ``/proc`` is not mounted."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    return [_parse(line) for line in lines]


def _parse(line: str) -> Mapping:
    addresses, permissions, _offset, device, inode, *name = line.split(maxsplit=5)
    start, _, end = addresses.partition("-")
    return Mapping(int(start, 16), int(end, 16), permissions, (device, inode), "".join(name))


def writable_code(memory: Iterable[Mapping]) -> list[Mapping]:
    """Those of `memory` through which code could be written.

    They are writable and executable, or a writable view of a file that is mapped executable, both
    shared.
    """
    memory = list(memory)
    code = {m.file for m in memory if m.executable and m.shared and m.file[1] != "0"}
    return [m for m in memory if m.writable and (m.executable or (m.shared and m.file in code))]


def forbid_writing_code() -> None:
    """Make memory that holds code read-only, and heap and stack not executable.

    Call it before system calls are filtered; code that was there runs on. Raises OSError when the
    kernel refuses, when such memory is left, or when the process was started with readable memory
    always executable (``setarch -X``): it must then not read uploaded bytes.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.personality(ctypes.c_ulong(_GET_PERSONALITY)) & _READ_IMPLIES_EXEC:
        raise OSError("readable memory of this process is executable (READ_IMPLIES_EXEC)")
    for mapping in writable_code(mappings()):
        rights = mmap.PROT_READ
        if mapping.name in _DATA_AREAS:
            rights |= mmap.PROT_WRITE
        elif mapping.executable:
            rights |= mmap.PROT_EXEC
        address, size = ctypes.c_void_p(mapping.start), mapping.end - mapping.start
        if libc.mprotect(address, ctypes.c_size_t(size), rights):
            number = ctypes.get_errno()
            raise OSError(number, f"mprotect of {_words(mapping)}: {os.strerror(number)}")
    if left := writable_code(mappings()):
        raise OSError(f"memory is writable and executable: {', '.join(map(_words, left))}")


def _words(mapping: Mapping) -> str:
    name = mapping.name or "anonymous memory"
    return f"{name} at {mapping.start:x} ({mapping.permissions})"
