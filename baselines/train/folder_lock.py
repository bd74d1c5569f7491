"""One training at a time in a run's folder: requeued and doubled jobs of a cluster are refused.

The lock is the kernel's (flock), not the file's existence: it ends with the process, however that
ends, so a run that was killed leaves nothing that blocks the next. On NFS Linux passes it to the
server, and other machines see it. A file system that knows no locks gives a note instead.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

NAME = "train.lock"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


class FolderLocked(ValueError):
    """Another process trains in the folder; the message says which and what to do."""


@contextmanager
def held(folder: Path, *, on_note: Callable[[str], None]) -> Iterator[None]:
    """Make the folder and hold its lock; ``on_note`` is told where there can be none.

    Raises FolderLocked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderLocked(_message(folder, _lock_owner(file))) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            on_note(
                f"{path}: {error.strerror}; this file system has no locks, nothing keeps a second "
                "process from training in the folder"
            )
        file.truncate(0)
        file.write(json.dumps(_own_identity()))
        file.flush()
        yield


def _own_identity() -> dict[str, str]:
    identity = {
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    job = os.environ.get("SLURM_JOB_ID")
    return identity | ({"job": job} if job else {})


def _lock_owner(file: IO[str]) -> dict[str, str]:
    """What the owner wrote; empty where it has not written yet."""
    file.seek(0)
    try:
        found = json.loads(file.read())
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _message(folder: Path, owner: dict[str, str]) -> str:
    if not owner:
        return f"{folder}: another process trains there; wait for its end or give another folder"
    job = f" (Slurm job {owner['job']})" if "job" in owner else ""
    end = f"scancel {owner['job']}" if "job" in owner else f"kill {owner.get('pid')}"
    return (
        f"{folder}: process {owner.get('pid')} on {owner.get('host')}{job} trains there since "
        f"{owner.get('since')}; wait for its end, end it there (`{end}`), or give another folder"
    )
