"""Locks a process down before it reads uploaded bytes. Linux, ordinary users included.

First no memory stays both writable and executable (`executable_memory`). Then three layers, each
stopping what the others do not:

- resource limits: memory, file size, processes, open files, core dumps;
- Landlock: no path can be opened, created or executed, no TCP port bound or connected;
- seccomp: an allow-list of the system calls a decoder needs (read, write, memory, time, exit);
  everything else fails with EPERM, whatever the path or pointer says.

After `lock_down` the process can compute, read and write the descriptors it already has, and end.
Sources: landlock(7), seccomp(2), linux/landlock.h, linux/seccomp.h, linux/bpf_common.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from scoring.engine.decode import executable_memory
from scoring.engine.resource_limits import set_limit

if sys.platform != "win32":
    import resource  # here and not where it is used: a locked-down process can load nothing

ALLOW_VARIABLE = "SCORING_ALLOW_UNSANDBOXED"
MEMORY_HEADROOM_BYTES = 512 * 2**20

_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_SET_PDEATHSIG = 4, 22, 38, 1
_SECCOMP_MODE_FILTER = 2
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_VERSION_FLAG = 1
# Rights that each version of Landlock knows; a ruleset may only name known ones.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NET_RIGHTS_SINCE, _SCOPES_SINCE = 4, 6

# System call numbers: (audit architecture, {name: number}). The names a decoder needs.
_CALLS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (0xC000003E, {
        "read": 0, "write": 1, "close": 3, "lseek": 8, "mmap": 9, "munmap": 11, "brk": 12,
        "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "readv": 19, "writev": 20,
        "sched_yield": 24, "mremap": 25, "madvise": 28, "getpid": 39, "exit": 60,
        "gettimeofday": 96, "sigaltstack": 131, "gettid": 186, "futex": 202,
        "clock_gettime": 228, "clock_getres": 229, "exit_group": 231, "getrandom": 318,
        "restart_syscall": 219, "rseq": 334, "getcpu": 309,
    }),
    "aarch64": (0xC00000B7, {
        "read": 63, "write": 64, "close": 57, "lseek": 62, "mmap": 222, "munmap": 215, "brk": 214,
        "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "readv": 65,
        "writev": 66, "sched_yield": 124, "mremap": 216, "madvise": 233, "getpid": 172,
        "exit": 93, "gettimeofday": 169, "sigaltstack": 132, "gettid": 178, "futex": 98,
        "clock_gettime": 113, "clock_getres": 114, "exit_group": 94, "getrandom": 278,
        "restart_syscall": 128, "rseq": 293, "getcpu": 168,
    }),
}  # fmt: skip
_X32_BIT = 0x40000000
_MMAP_PROT_ARG, _PROT_EXEC = 2, 4


class IsolationUnavailable(RuntimeError):
    """This machine cannot lock a decoder down; the message names the missing layers."""


@dataclass(frozen=True)
class Status:
    """Which layers this machine offers. ``landlock_abi`` is 0 where there is none."""

    landlock_abi: int
    seccomp: bool
    rlimits: bool

    @property
    def complete(self) -> bool:
        """All three layers are there."""
        return self.landlock_abi > 0 and self.seccomp and self.rlimits

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the layers that are not there."""
        layers = {"landlock": self.landlock_abi > 0, "seccomp": self.seccomp,
                  "rlimits": self.rlimits}  # fmt: skip
        return tuple(name for name, present in layers.items() if not present)

    def __str__(self) -> str:
        landlock = f"landlock ABI {self.landlock_abi}" if self.landlock_abi else "no landlock"
        return ", ".join(
            (landlock, "seccomp" if self.seccomp else "no seccomp",
             "rlimits" if self.rlimits else "no rlimits")
        )  # fmt: skip


def status() -> Status:
    """What this machine offers. Asks the kernel, changes nothing."""
    if not sys.platform.startswith("linux"):
        return Status(0, False, False)
    abi = _libc().syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION_FLAG)
    return Status(max(0, abi), platform.machine() in _CALLS and _has_seccomp(), True)


def require(*, environ: dict[str, str] | None = None) -> Status:
    """The status, if it is complete or the setting allows to go without.

    ``SCORING_ALLOW_UNSANDBOXED`` names the layers one does without, e.g. ``landlock``,
    comma-separated. Raises `IsolationUnavailable`.
    """
    available = status()
    allowed = (os.environ if environ is None else environ).get(ALLOW_VARIABLE, "")
    refused = set(available.missing) - {a.strip() for a in allowed.split(",")}
    if refused:
        names = ",".join(sorted(refused))
        raise IsolationUnavailable(
            f"this machine has no {' and no '.join(sorted(refused))}, needed to isolate the "
            f"decoder ({available}); to do without, set {ALLOW_VARIABLE}={names}"
        )
    return available


def lock_down(*, memory_headroom_bytes: int = MEMORY_HEADROOM_BYTES) -> Status:
    """Give up everything but memory, time and open descriptors, for good. Returns what is active.

    Call it in a process with one thread, after every import. Raises OSError when a layer that
    this machine offers cannot be applied: the caller must then end.
    """
    available = require()
    if not sys.platform.startswith("linux"):
        return available
    # In this order: each layer takes away what applying the one before it needs.
    memory_bytes = _memory_bytes() + memory_headroom_bytes
    executable_memory.forbid_writing_code()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    if available.landlock_abi:
        _restrict_paths(available.landlock_abi)
    _limit_resources(memory_bytes)
    if available.seccomp:
        _filter_calls()
    return available


def limit_memory(headroom_bytes: int) -> int:
    """Let this process take at most `headroom_bytes` of address space beyond what it has now.

    Less where a hard limit is lower. Returns the address space it may have in all, in bytes.
    """
    set_limit(resource.RLIMIT_CORE, 0)
    return set_limit(resource.RLIMIT_AS, _memory_bytes() + headroom_bytes)


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process when its parent ends; end now if it already has."""
    _prctl(_PR_SET_PDEATHSIG, 9)
    if os.getppid() != parent_pid:
        os._exit(1)


def _memory_bytes() -> int:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _limit_resources(memory_bytes: int) -> None:
    for name, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        set_limit(name, value)


def _restrict_paths(abi: int) -> None:
    """A ruleset that handles every known right and grants none."""
    files = max(rights for since, rights in _FILE_RIGHTS.items() if since <= abi)
    net = 0b11 if abi >= _NET_RIGHTS_SINCE else 0
    scopes = 0b11 if abi >= _SCOPES_SINCE else 0
    fields = (files, net, scopes)[: 1 + (abi >= _NET_RIGHTS_SINCE) + (abi >= _SCOPES_SINCE)]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    libc = _libc()
    fd = libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if fd < 0:
        raise _error("landlock_create_ruleset")
    try:
        if libc.syscall(_LANDLOCK_RESTRICT_SELF, fd, 0):
            raise _error("landlock_restrict_self")
    finally:
        os.close(fd)


def _filter_calls() -> None:
    """Install the seccomp allow-list: unlisted calls ret EPERM, foreign architectures death."""
    program = _program(platform.machine())

    class Fprog(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    code = ctypes.create_string_buffer(program, len(program))
    fprog = Fprog(len(program) // 8, ctypes.cast(code, ctypes.c_void_p).value)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(fprog))


def _program(machine: str) -> bytes:
    """Classic BPF over struct seccomp_data {int nr; u32 arch; u64 ip; u64 args[6]}."""
    architecture, calls = _CALLS[machine]
    load, equal, at_least, bits_set, ret = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill, deny = 0x7FFF0000, 0x80000000, 0x00050000 | 1  # ERRNO(EPERM)

    def op(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("=HBBI", code, yes, no, k)

    plain = sorted(number for name, number in calls.items() if name != "mmap")
    lines = [
        op(load, 4),
        op(equal, architecture, 1, 0),
        op(ret, kill),
        op(load, 0),
        op(at_least, _X32_BIT, 0, 1),
        op(ret, kill),
    ]
    for number in plain:
        lines += [op(equal, number, 0, 1), op(ret, allow)]
    # New memory may not be executable: code cannot be added to the process.
    lines += [
        op(equal, calls["mmap"], 0, 3),
        op(load, 16 + 8 * _MMAP_PROT_ARG),
        op(bits_set, _PROT_EXEC, 1, 0),
        op(ret, allow),
        op(ret, deny),
    ]
    return b"".join(lines)


def _has_seccomp() -> bool:
    with contextlib.suppress(OSError), Path("/proc/self/status").open() as file:
        return any(line.startswith("Seccomp:") for line in file)
    return False


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _prctl(option: int, value: int, pointer: int = 0) -> None:
    libc = _libc()
    libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
    if libc.prctl(option, value, pointer, 0, 0):
        raise _error(f"prctl({option})")


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
