"""Runs services of docker-compose.yml without Docker: their exact commands, as user 10001.

With a read-only root, volumes, tmpfs and secrets where the file puts them, and their own network.

The kernel does it, by ``unshare`` and ``nsenter`` (util-linux): the root is a tmpfs into which this
machine's programs are mounted, read-only, and nothing else can be written. Two things differ from
containers: programs are this machine's and this environment's, and names of services are lines of
/etc/hosts.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from challenge.embedded.data_folder import ROOT, valkey_program
from challenge.embedded.processes import Process, ProcessGroup

ADDRESSES = {"broker": "127.0.0.2", "cache": "127.0.0.3", "web": "127.0.0.4", "proxy": "127.0.0.5"}
USER = "10001"
SYSTEM = ("usr", "bin", "sbin", "lib", "lib64", "proc", "dev")
IMAGE = {  # what the Dockerfile sets and makes
    "PATH": f"{sys.prefix}/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "FLAIR_DATA_DIR": "/tmp/flair",
    "STATIC_DIR": "/srv/static",
}
PATIENCE_S = 120.0


def why_impossible() -> str:
    """Why this machine cannot run them; empty: it can."""
    words = ["unshare", "--user", "--map-root-user", "--net", "--mount", "true"]
    tried = subprocess.run(words, capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"the kernel forbids user namespaces: {tried.stderr}"


@dataclass
class Host:
    """A host that runs services. ``folder`` has its volumes, secrets and logs."""

    folder: Path
    services: dict[str, dict[str, Any]]
    sockets: Path | None = None
    processes: ProcessGroup = field(init=False)
    started: dict[str, Process] = field(default_factory=dict)
    _environment: dict[str, dict[str, str]] = field(default_factory=dict)

    def __enter__(self) -> Host:
        self.processes = ProcessGroup(logs=self.folder / "logs").__enter__()
        words = "ip link set lo up && echo up && exec sleep infinity"
        separate = (program("unshare"), "--user", "--map-root-user", "--net")
        network = self.processes.start("network", (*separate, "sh", "-ec", words))
        self._network = str(network.popen.pid)
        self._wait("the network", lambda: "up" in network.tail())
        etc = self.folder / "etc"
        etc.mkdir()
        (etc / "passwd").write_text(f"flair:x:{USER}:{USER}::/nonexistent:/usr/sbin/nologin\n")
        (etc / "group").write_text(f"flair:x:{USER}:\n")
        lines = [f"{address} {name}" for name, address in ADDRESSES.items()]
        (etc / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines]) + "\n")
        return self

    def __exit__(self, *error: Any) -> None:
        self.processes.__exit__(*error)

    def start(
        self,
        name: str,
        *more: str,
        volumes: dict[str, Path] | None = None,
        instead: tuple[str, ...] = (),
    ) -> Process:
        """Start a service; ``more`` is added to its command, ``volumes`` mounted besides.

        ``instead`` replaces the command, as what follows ``docker compose run`` does.
        """
        service = self.services[name]
        words = instead or service.get("command") or []
        command = [*(service.get("entrypoint") or []), *words, *more]
        if command[0] == "valkey-server":
            command[0] = str(valkey_program())
        inner = ("unshare", "--user", f"--map-user={USER}", f"--map-group={USER}")
        root = self.folder / "roots" / name
        root.mkdir(parents=True)
        script = "\n".join([*self._mounts(root, service, volumes or {}), "shift", 'exec "$@"'])
        values = {key: str(value) for key, value in (service.get("environment") or {}).items()}
        assigned = [f"{key}={value}" for key, value in (IMAGE | values).items()]
        words = (
            *(program("nsenter"), "--target", self._network, "--user", "--net"),
            "--preserve-credentials",
            *("unshare", "--mount", "--propagation", "private"),
            *("sh", "-ec", script, name, "--"),
            *("env", "--ignore-environment", *assigned),
            *(*inner, f"--root={root}", "--wd=/app"),
            *command,
        )
        self._environment[name] = IMAGE | values
        self.started[name] = self.processes.start(name, words)
        return self.started[name]

    def run(self, name: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command within a service that runs, as ``docker compose exec`` does."""
        pid = str(self.started[name].popen.pid)
        words = ["nsenter", "--target", pid, "--user", "--mount", "--net", "--root"]
        return subprocess.run(
            [*words, "--wd", "--preserve-credentials", *command],
            env=self._environment[name],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def wait_until_healthy(self, name: str) -> None:
        """Ask what the file asks, until it says yes."""
        probe = self.services[name]["healthcheck"]["test"][1:]
        if probe[0] == "valkey-cli":
            probe = [sys.executable, "-c", PING, ADDRESSES[name]]
        said: list[str] = []

        def is_healthy() -> bool:
            self.processes.check()
            done = self.run(name, probe)
            said[:] = [done.stdout + done.stderr]
            return done.returncode == 0

        self._wait(name, is_healthy, said)

    def _wait(self, what: str, condition: Any, said: list[str] | None = None) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            logs = "\n".join(f"{one.name}: {one.tail()}" for one in self.processes.processes)
            assert time.monotonic() < end_s, f"{what} is not healthy: {said}\n{logs}"
            time.sleep(0.3)

    def _mounts(self, root: Path, service: dict[str, Any], volumes: dict[str, Path]) -> list[str]:
        """The lines of a shell that build the root of a service."""
        lines = [f"mount -t tmpfs none {root}"]
        inside = {f"/{name}": (Path("/", name), True) for name in SYSTEM}
        inside |= {"/etc": (self.folder / "etc", True), "/app": (ROOT, True)}
        # This environment's programs and the sockets of its PostgreSQL have their own paths.
        environment = Path(sys.prefix).resolve()
        inside[str(environment)] = (environment, True)
        inside[str(Path(sys.base_prefix))] = (Path(sys.base_prefix), True)
        if self.sockets is not None:
            inside[str(self.sockets)] = (self.sockets, True)
        for volume in service.get("volumes", []):
            source = self.folder / "volumes" / Path(volume["source"]).name
            source.mkdir(parents=True, exist_ok=True)
            inside[volume["target"]] = (source, bool(volume.get("read_only")))
        inside |= {target: (source, True) for target, source in volumes.items()}
        for secret in service.get("secrets", []):
            target = f"/run/secrets/{secret['source']}"
            inside[target] = (self.folder / "secrets" / secret["source"], True)
        for path in [one.partition(":")[0] for one in service.get("tmpfs", [])]:
            lines += [f"mkdir -p {root}{path}", f"mount -t tmpfs none {root}{path}"]
        for target, (source, is_read_only) in sorted(inside.items()):
            if target.startswith("/usr/") or not source.exists():
                continue
            if target.startswith("/etc/"):
                _make_mount_point(self.folder / target.lstrip("/"), like=source)
            if source.is_symlink():
                lines.append(f"cp --no-dereference {source} {root}{target}")
                continue
            place = shlex.quote(f"{root}{target}")
            make = f"mkdir -p {place}" if source.is_dir() else (
                f"mkdir -p $(dirname {place}) && [ -e {place} ] || touch {place}"
            )  # fmt: skip
            lines += [make, f"mount --rbind {shlex.quote(str(source))} {place}"]
            if is_read_only and target not in ("/proc", "/dev"):
                lines.append(f"mount -o remount,bind,ro {place}")
        if service.get("read_only"):
            lines.append(f"mount -o remount,ro {root}")
        return lines


def _make_mount_point(path: Path, *, like: Path) -> None:
    """In the folder that is mounted, read-only, as /etc."""
    folder = path if like.is_dir() else path.parent
    folder.mkdir(parents=True, exist_ok=True)
    if not like.is_dir():
        path.touch()


PING = """
import socket, sys
with socket.create_connection((sys.argv[1], 6379), 5) as one:
    one.sendall(b"PING\\r\\n")
    sys.exit(one.recv(16) != b"+PONG\\r\\n")
"""


def program(name: str) -> str:
    """Where a program of this machine is."""
    found = shutil.which(name, path=IMAGE["PATH"])
    assert found is not None, f"{name} is not installed"
    return found
