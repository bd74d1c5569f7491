"""A cache of a test's own that may be stopped, frozen and filled."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import redis

from challenge.embedded import data_folder

READY_TRIES = 400


class CacheServer:
    """A Valkey server on a socket in ``folder``, running until ``close``."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "cache"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def client(self) -> redis.Redis:
        """A connection of an administrator's."""
        return redis.Redis.from_url(self.url)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            [
                str(data_folder.valkey_program()), "--port", "0", "--save", "",
                "--unixsocket", str(self.socket), "--maxmemory-policy", "noeviction",
            ],
            stdout=subprocess.DEVNULL,
            cwd=self.socket.parent,
        )  # fmt: skip
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), READY_TRIES)
        redis.Redis.from_url(
            self.url, retry=retry, retry_on_error=[redis.exceptions.ConnectionError]
        ).ping()

    def stop(self) -> None:
        """End it, as a machine that loses its power would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Keep it from answering; connections to it still succeed."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def fill(self) -> None:
        """Refuse every write for want of memory."""
        self.client.config_set("maxmemory", "1")

    def fail(self, how: str) -> None:
        """``stopped``, ``frozen`` or ``full``."""
        {"stopped": self.stop, "frozen": self.freeze, "full": self.fill}[how]()

    def close(self) -> None:
        """End it, whatever state it is in."""
        self.stop()
