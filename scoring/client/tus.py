"""Resumable upload of one file: our own tus 1.0 client.

Where an upload stands is asked of the server after every cut; which upload belongs to which file
is kept on disk, so that a command killed or a machine restarted resumes as well.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from scoring.client import credentials
from scoring.client.api import RETRIED_STATUSES, Api
from scoring.client.errors import CommandError, Exit

VERSION = {"Tus-Resumable": "1.0.0"}
CHUNK_BYTES = 1024 * 1024
REQUEST_BYTES = 64 * 1024 * 1024  # small enough for proxies that limit or buffer a body
FAILURES_MAX = 10
PAUSE_FIRST_S = 0.5
PAUSE_MAX_S = 30.0
AGAIN_STATUSES = RETRIED_STATUSES | {409, 423, 500, 507}
# Of a creation alone these pass by themselves; a quota, a closed phase, too many uploads do not.
PASSING_STATUSES = frozenset({500, 502, 503, 504, 507})
PASSING_CODES = frozenset({"too-many-requests"})

Progress = Callable[[int, int], None]
Cut = Callable[[str, float], None]


@dataclass(frozen=True)
class File:
    """A file as it was when the upload began."""

    path: Path
    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> File:
        """Look at a file. Raises ``CommandError`` when it is not there."""
        try:
            status = path.stat()
        except OSError as error:
            raise CommandError("file-missing", path=str(path)) from error
        return cls(path.resolve(), status.st_size, status.st_mtime_ns)

    def check_unchanged(self) -> None:
        """Raise ``CommandError`` when the file is not what it was."""
        if File.of(self.path) != self:
            raise CommandError("file-changed", path=str(self.path))


class Memory:
    """The address of a file's upload, remembered between runs."""

    def __init__(self, file: File, server: str) -> None:
        key = f"{server}\n{file.path}\n{file.size_bytes}\n{file.modified_ns}"
        digest = hashlib.sha256(key.encode()).hexdigest()[:32]
        self._path = credentials.cache_folder() / "uploads" / f"{digest}.json"

    def read(self) -> str | None:
        """The upload's address, or None."""
        try:
            return str(json.loads(self._path.read_text(encoding="utf-8"))["location"])
        except (OSError, ValueError, KeyError):
            return None

    def write(self, location: str) -> None:
        """Remember the upload's address; where nothing can be kept, this run alone resumes."""
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.write_text(json.dumps({"location": location}), encoding="utf-8")

    def forget(self) -> None:
        """The upload is over."""
        with suppress(OSError):  # where nothing could be kept
            self._path.unlink(missing_ok=True)


def upload(
    path: Path,
    *,
    api: Api,
    on_progress: Progress,
    on_cut: Cut,
    on_resume: Callable[[int], None] = lambda _done: None,
    memory: Memory | None = None,
    phase: str = "",
) -> str:
    """Send a file and return its upload's id; ``on_progress`` gets bytes done and in all.

    ``on_cut`` gets why and how many seconds until the next try, ``on_resume`` the bytes that an
    earlier run had sent. ``phase`` (challenge/phase) is told to the server, which then refuses
    before the first byte what this phase would refuse.

    Survives cuts, restarts of the server and of this program. Raises ``CommandError`` when the
    server declines, or after ten failures in a row without a byte of progress.
    """
    file = File.of(path)
    memory = memory or Memory(file, api.account.server)
    location = memory.read()
    failures, offset = 0, 0
    while True:
        try:
            if location is None:
                location, offset = _create(api, file, phase=phase), 0
                memory.write(location)
            else:
                received = _offset(api, location)
                if received is None:
                    location = None
                    memory.forget()
                    continue
                if received > offset:
                    failures = 0
                    if offset == 0:
                        on_resume(received)
                offset = received
            on_progress(offset, file.size_bytes)
            while offset < file.size_bytes:
                offset = _send(api, file, location, offset=offset, on_progress=on_progress)
                failures = 0
            file.check_unchanged()
            return urlsplit(location).path.rstrip("/").rsplit("/", 1)[-1]
        except _Again as again:
            failures += 1
            if failures > FAILURES_MAX:
                raise CommandError(
                    "upload-gave-up",
                    exit_code=Exit.UNREACHABLE,
                    count=failures,
                    reason=again.reason,
                ) from again
            wait_s = again.wait_s or min(PAUSE_MAX_S, PAUSE_FIRST_S * 2 ** (failures - 1))
            on_cut(again.reason, wait_s)
            time.sleep(wait_s)


class _Again(Exception):
    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


def _request(api: Api, method: str, url: str, **options: object) -> httpx.Response:
    try:
        response = api.http.request(method, url, **options)  # type: ignore[arg-type]
    except httpx.TransportError as error:
        raise _Again(str(error) or type(error).__name__) from error
    if _code(response) == "maintenance":
        raise api.refusal(response)  # for an hour, perhaps: the person decides; it goes on then
    if _passes(response, is_creation=method == "POST"):
        wait = response.headers.get("Retry-After", "")
        raise _Again(f"{response.status_code}", float(wait) if wait.isdecimal() else 0.0)
    return response


def _passes(response: httpx.Response, *, is_creation: bool) -> bool:
    if not is_creation:
        return response.status_code in AGAIN_STATUSES
    if response.status_code in PASSING_STATUSES:
        return True
    code = _code(response)
    return response.status_code in RETRIED_STATUSES if code is None else code in PASSING_CODES


def _code(response: httpx.Response) -> str | None:
    """Return the code of a refusal of the site; None for any other answer."""
    if response.is_success:
        return None
    try:
        return str(response.json()["code"])
    except (ValueError, KeyError, TypeError):
        return None


def _create(api: Api, file: File, *, phase: str) -> str:
    facts = {"filename": file.path.name} | ({"phase": phase} if phase else {})
    pairs = (f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in facts.items())
    headers = {
        **VERSION,
        "Upload-Length": str(file.size_bytes),
        "Upload-Metadata": ",".join(pairs),
    }
    response = _request(api, "POST", "uploads", headers=headers)
    if response.status_code != 201:
        raise api.refusal(response)
    # Only the path is taken: a proxy that changes the host must not send the token elsewhere.
    path = urlsplit(response.headers["Location"]).path
    return urljoin(str(api.http.base_url), path)


def _offset(api: Api, location: str) -> int | None:
    response = _request(api, "HEAD", location, headers=VERSION)
    if response.status_code in {404, 410}:
        return None
    if response.status_code != 200:
        api.get("uploads")  # an answer to HEAD has no words; the same refusal of a GET has
        raise api.refusal(response)
    return int(response.headers["Upload-Offset"])


def _send(api: Api, file: File, location: str, *, offset: int, on_progress: Progress) -> int:
    length = min(REQUEST_BYTES, file.size_bytes - offset)
    headers = {
        **VERSION,
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(length),
    }

    def chunks() -> Iterator[bytes]:
        done = 0
        with file.path.open("rb") as stream:
            stream.seek(offset)
            while done < length:
                data = stream.read(min(CHUNK_BYTES, length - done))
                if not data:
                    raise CommandError("file-changed", path=str(file.path))
                done += len(data)
                yield data
                on_progress(offset + done, file.size_bytes)

    response = _request(api, "PATCH", location, headers=headers, content=chunks())
    if response.status_code != 204:
        raise api.refusal(response)
    return int(response.headers["Upload-Offset"])
