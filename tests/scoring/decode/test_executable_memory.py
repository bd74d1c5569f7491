"""Nothing that a locked-down process writes can be executed; what was code before runs on."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scoring.engine.decode import executable_memory, sandbox
from scoring.engine.decode.executable_memory import Mapping

ROOT = Path(__file__).resolve().parents[3]
# Machine code of a function that returns 42.
RETURN_42 = {"x86_64": "b82a000000c3", "aarch64": "40058052c0035fd6"}.get(platform.machine(), "")

# As a decoder worker starts: kernels and GDAL are loaded and used, then the process is locked down.
PROLOGUE = f"""
import ctypes, mmap, os, sys
from scoring.engine.decode import decoder, executable_memory, sandbox
from scoring.engine.kernels import strips
code = bytes.fromhex({RETURN_42!r})
strips.load()
decoder.warm_gdal(height_px=64, width_px=64)
page = mmap.mmap(-1, 4096, prot=7)
page[:len(code)] = code
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
call = ctypes.CFUNCTYPE(ctypes.c_int)(address)
before = executable_memory.writable_code(executable_memory.mappings())
assert before, "at least the page above"
"""

needs_layers = pytest.mark.skipif(
    not sandbox.status().complete, reason=f"this machine offers {sandbox.status()}"
)


def run(script: str, *prefix: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-c", PROLOGUE + script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@needs_layers
def test_code_that_was_there_before_the_lock_down_runs_on() -> None:
    done = run("sandbox.lock_down(); os.write(1, str(call()).encode()); os._exit(0)")

    assert (done.returncode, done.stdout) == (0, "42"), done.stderr


@needs_layers
def test_code_written_after_the_lock_down_cannot_run() -> None:
    """On each page that was writable and executable: those of libffi as well as our own."""
    count = run("os.write(1, str(len(before)).encode()); os._exit(0)")
    for index in range(int(count.stdout)):
        done = run(
            f"""
sandbox.lock_down()
start = before[{index}].start
ctypes.memmove(start, code, len(code))
os.write(1, str(ctypes.CFUNCTYPE(ctypes.c_int)(start)()).encode())
os._exit(0)
"""
        )

        assert (done.returncode, done.stdout) == (-signal.SIGSEGV, ""), done.stderr


@needs_layers
def test_a_second_view_of_code_cannot_be_written_either() -> None:
    """As libffi makes one where the system forbids memory that is writable and executable."""
    done = run(
        """
fd = os.memfd_create("code")
os.ftruncate(fd, 4096)
write, execute = mmap.mmap(fd, 4096, prot=3), mmap.mmap(fd, 4096, prot=5)
sandbox.lock_down()
write[:len(code)] = code
os._exit(0)
"""
    )

    assert done.returncode == -signal.SIGSEGV, done.stderr


@needs_layers
def test_a_process_whose_memory_is_always_executable_is_not_locked_down() -> None:
    done = run(
        """
libc = ctypes.CDLL(None)
assert libc.personality(0x0400000) >= 0
try:
    sandbox.lock_down()
except OSError as error:
    os.write(1, str(error).encode())
os._exit(0)
"""
    )

    assert "READ_IMPLIES_EXEC" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("permissions", "file", "name", "found"),
    [
        ("rwxp", ("00:00", "0"), "", True),
        ("rwxp", ("00:00", "0"), "[stack]", True),
        ("-wxp", ("00:00", "0"), "", True),
        ("rw-s", ("00:01", "7"), "/memfd:code (deleted)", True),
        ("rw-s", ("00:01", "8"), "/dev/zero (deleted)", False),
        ("rw-p", ("00:01", "7"), "/usr/lib/libc.so", False),
        ("r-xp", ("08:01", "9"), "/usr/lib/libc.so", False),
        ("rw-p", ("00:00", "0"), "[heap]", False),
    ],
)
def test_which_memory_lets_code_be_written(
    permissions: str, file: tuple[str, str], name: str, found: bool
) -> None:
    code = Mapping(0x1000, 0x2000, "r-xs", ("00:01", "7"), "/memfd:code (deleted)")
    mapping = Mapping(0x3000, 0x4000, permissions, file, name)

    assert executable_memory.writable_code([code, mapping]) == ([mapping] if found else [])


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_lists_no_call_that_makes_memory_executable(machine: str) -> None:
    """Numbers from asm/unistd.h; `test_sandbox` walks the whole program."""
    _architecture, calls = sandbox._CALLS[machine]
    forbidden = {
        "x86_64": {"mprotect": 10, "pkey_mprotect": 329, "personality": 135, "shmat": 30,
                   "remap_file_pages": 216, "execve": 59, "execveat": 322, "memfd_create": 319},
        "aarch64": {"mprotect": 226, "pkey_mprotect": 288, "personality": 92, "shmat": 196,
                    "remap_file_pages": 234, "execve": 221, "execveat": 281,
                    "memfd_create": 279},
    }[machine]  # fmt: skip

    assert not set(forbidden.values()) & set(calls.values())
