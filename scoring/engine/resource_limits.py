"""Resource limits of this process (``ulimit``): set within what the machine allows, and named.

A hard limit can be lowered, never raised: a shell, a batch system or a container may have set one
that is below what the scorer would set for itself. Such a limit stays in force. Whatever fails
under one names it, with the command that shows it. Imports no numpy: it is asked before that.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass

if sys.platform != "win32":
    import resource  # here and not where it is used: a locked-down process can load nothing

MIB = 2**20
# Below this numpy, LLVM and the decoders' shared memory cannot be loaded at all (measured).
MIN_ADDRESS_SPACE_BYTES = 288 * MIB
_CAUSED_BY_LIMITS = {errno.EAGAIN, errno.EFBIG, errno.EMFILE, errno.ENOMEM}


class LimitTooLow(RuntimeError):
    """No score is possible under this process's limits; the message names the limit."""


@dataclass(frozen=True)
class _Kind:
    """One limit: its name in `resource`, in words and in the shell, and what is always enough."""

    name: str
    words: str
    option: str
    unit: int
    suffix: str
    ample: int


_KINDS = (
    _Kind("RLIMIT_AS", "address space", "-v", MIB, " MiB", 4096 * MIB),
    _Kind("RLIMIT_NOFILE", "open files", "-n", 1, "", 256),
    _Kind("RLIMIT_NPROC", "processes of this user", "-u", 1, "", 512),
    _Kind("RLIMIT_FSIZE", "size of a file", "-f", 1024, " KiB", 1024 * MIB),
)


def set_limit(kind: int, value: int) -> int:
    """Set limit `kind` (``resource.RLIMIT_…``), soft and hard, to `value` or to the lower hard one.

    Returns the value in force.
    """
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))
    return value


def low_limits() -> str:
    """The limits in force that may be too low for a score, as text; empty where none is.

    ``address space at most 512 MiB (ulimit -v), open files at most 16 (ulimit -n)``
    """
    if sys.platform == "win32":
        return ""
    low = []
    for kind in _KINDS:
        soft, _ = resource.getrlimit(getattr(resource, kind.name))
        if soft != resource.RLIM_INFINITY and soft < kind.ample:
            amount = f"{soft // kind.unit}{kind.suffix}"
            low.append(f"{kind.words} at most {amount} (ulimit {kind.option})")
    return ", ".join(low)


def with_low_limits(message: str) -> str:
    """`message`, followed by the low limits in force, if there are any."""
    low = low_limits()
    return f"{message} [limits of this shell or job: {low}]" if low else message


def describe(error: OSError) -> str:
    """The error in words; with the low limits in force where it is one that they cause."""
    words = str(error)
    return with_low_limits(words) if error.errno in _CAUSED_BY_LIMITS else words


def prepare_start() -> None:
    """Before numpy is imported: refuse an address space in which it cannot be loaded.

    Raises `LimitTooLow`. Under any low limit OpenBLAS gets one thread: it would otherwise take a
    stack and buffers for every core, and end the process where they are not to be had.
    """
    if not low_limits():
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY and soft < MIN_ADDRESS_SPACE_BYTES:
        raise LimitTooLow(
            f"the address space of this shell or job is limited to {soft // MIB} MiB (ulimit -v); "
            f"at least {MIN_ADDRESS_SPACE_BYTES // MIB} MiB are needed"
        )
