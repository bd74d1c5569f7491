"""A locked-down process can compute and talk over its pipes, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scoring.engine.decode import sandbox

ROOT = Path(__file__).resolve().parents[3]

# Each line is tried in a locked-down process; the answer is the error's name, or "allowed".
DEEDS = {
    "read a file": "open('/etc/hostname').read()",
    "read a library": "open(os.__file__).read()",
    "list a folder": "os.listdir('/')",
    "write a file": "open('/tmp/from-a-decoder', 'w')",
    "make a folder": "os.mkdir('/tmp/from-a-decoder')",
    "remove a file": "os.unlink('/tmp/nothing')",
    "reopen by descriptor": "open('/proc/self/fd/1', 'w')",
    "read the environment of others": "open(f'/proc/{os.getppid()}/environ').read()",
    "look at a file": "os.stat('/etc/passwd')",
    "tcp socket": "socket.socket()",
    "udp socket": "socket.socket(type=socket.SOCK_DGRAM)",
    "unix socket": "socket.socket(socket.AF_UNIX)",
    "socket pair": "socket.socketpair()",
    "fork": "os.fork()",
    "fork by clone": "libc.syscall(CLONE, 17, 0, 0, 0, 0) < 0 and raise_errno()",
    "thread": "threading.Thread(target=int).start()",
    "exec": "os.execv('/bin/true', ['true'])",
    "subprocess": "subprocess.run(['/bin/true'])",
    "kill the parent": "os.kill(os.getppid(), 0)",
    "ptrace": "libc.ptrace(16, os.getppid(), 0, 0) < 0 and raise_errno()",
    "read the parent's memory": "libc.process_vm_readv(os.getppid(), 0, 0, 0, 0, 0) < 0"
    " and raise_errno()",
    "io_uring": "libc.syscall(425, 1, 0) < 0 and raise_errno()",
    "pipe": "os.pipe()",
    "anonymous file": "os.memfd_create('x')",
    "executable memory": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "make memory executable": "libc.mprotect(PAGE, 4096, 5) < 0 and raise_errno()",
    "make memory executable by key": "libc.syscall(PKEY_MPROTECT, PAGE, 4096, 5, -1) < 0"
    " and raise_errno()",
    "make all memory executable": "libc.personality(0x0400000) < 0 and raise_errno()",
    "change limits": "resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))",
    "become somebody": "os.setuid(65534)",
    "grow without end": "bytearray(sandbox.MEMORY_HEADROOM_BYTES + 2**20)",
    "compute": "sum(range(1000))",
    "take memory": "bytearray(2**24)",
    "read the clock": "time.monotonic()",
}
ALLOWED = {"compute", "take memory", "read the clock"}
# The last two are how Python says that a thread or a limit was refused.
REFUSED = {"PermissionError", "OSError", "MemoryError", "RuntimeError", "ValueError"}

PROBE = """
import ctypes, json, mmap, os, platform, resource, socket, subprocess, sys, threading, time
from scoring.engine.decode import sandbox
libc = ctypes.CDLL(None, use_errno=True)
CLONE = {"x86_64": 56, "aarch64": 220}[platform.machine()]
PKEY_MPROTECT = {"x86_64": 329, "aarch64": 288}[platform.machine()]
memory = mmap.mmap(-1, 4096)
PAGE = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
def raise_errno():
    raise OSError(ctypes.get_errno(), "refused")
deeds = {name: compile(code, "attempt", "eval") for name, code in json.load(sys.stdin).items()}
if len(sys.argv) > 1:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
status = sandbox.lock_down()
result = {"status": str(status)}
for name, code in deeds.items():
    try:
        eval(code)
        result[name] = "allowed"
    except Exception as error:
        result[name] = type(error).__name__
os.write(1, json.dumps(result).encode())
os._exit(0)
"""

needs_layers = pytest.mark.skipif(
    not sandbox.status().complete, reason=f"this machine offers {sandbox.status()}"
)


def probe(*arguments: str, environment: dict[str, str] | None = None) -> dict[str, str]:
    """What a locked-down process may do, by attempt."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        input=json.dumps(DEEDS).encode(),
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, str] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def as_this_user() -> dict[str, str]:
    return probe()


@needs_layers
@pytest.mark.parametrize("attempt", DEEDS)
def test_only_harmless_deeds_are_allowed(attempt: str, as_this_user: dict[str, str]) -> None:
    if attempt in ALLOWED:
        assert as_this_user[attempt] == "allowed"
    else:
        assert as_this_user[attempt] in REFUSED


@needs_layers
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become an ordinary user")
def test_an_ordinary_user_is_locked_down_alike(as_this_user: dict[str, str]) -> None:
    assert probe("nobody") == as_this_user


@needs_layers
def test_the_status_names_all_three_layers(as_this_user: dict[str, str]) -> None:
    assert "landlock ABI" in as_this_user["status"]
    assert "seccomp" in as_this_user["status"]
    assert "rlimits" in as_this_user["status"]


@pytest.mark.parametrize(
    ("status", "allowed", "fits"),
    [
        (sandbox.Status(4, True, True), "", True),
        (sandbox.Status(0, True, True), "", False),
        (sandbox.Status(0, True, True), "seccomp", False),
        (sandbox.Status(0, True, True), "landlock", True),
        (sandbox.Status(0, False, True), "landlock", False),
        (sandbox.Status(0, False, True), "landlock, seccomp", True),
        (sandbox.Status(0, False, False), "landlock,seccomp,rlimits", True),
    ],
)
def test_missing_layers_must_be_allowed_by_name(
    status: sandbox.Status, allowed: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "status", lambda: status)
    environ = {sandbox.ALLOW_VARIABLE: allowed}
    if fits:
        assert sandbox.require(environ=environ) == status
    else:
        with pytest.raises(sandbox.IsolationUnavailable, match=sandbox.ALLOW_VARIABLE):
            sandbox.require(environ=environ)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_refuses_everything_unlisted(machine: str) -> None:
    """Walk the program as the kernel would, for every number and a foreign architecture."""
    architecture, calls = sandbox._CALLS[machine]
    program = sandbox._program(machine)
    for number in range(1024):
        verdict = run_filter(program, number, architecture)
        if number == calls["mmap"]:
            assert verdict == "allow"
            assert run_filter(program, number, architecture, protection=5) == "refuse"
        else:
            assert verdict == ("allow" if number in calls.values() else "refuse")
    assert run_filter(program, calls["read"], architecture ^ 1) == "kill"
    assert run_filter(program, calls["read"] | 0x40000000, architecture) == "kill"


def run_filter(program: bytes, number: int, architecture: int, *, protection: int = 3) -> str:
    """Interpret classic BPF over one system call."""
    data = {0: number, 4: architecture, 32: protection}
    lines = [
        (
            int.from_bytes(program[at : at + 2], sys.byteorder),
            program[at + 2],
            program[at + 3],
            int.from_bytes(program[at + 4 : at + 8], sys.byteorder),
        )
        for at in range(0, len(program), 8)
    ]
    value, at = 0, 0
    while True:
        code, yes, no, k = lines[at]
        at += 1
        if code == 0x20:
            value = data[k]
        elif code == 0x06:
            return {0x7FFF0000: "allow", 0x80000000: "kill", 0x00050001: "refuse"}[k]
        else:
            holds = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[code]
            at += yes if holds else no
