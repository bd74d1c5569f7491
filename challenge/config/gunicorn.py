"""gunicorn's settings: threads, so that slow uploads do not keep readers waiting.

``gunicorn --config python:challenge.config.gunicorn challenge.config.wsgi``. Threads cost little
memory and 426 MB/s of uploads went through them; sync workers stop answering under four slow
uploads (decision 033).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from challenge import env
from challenge.config import WEB_THREADS

# Where the processes put what they count, so that /metrics sums it; before prometheus_client is
# imported. In the container's memory, and empty at each start.
METRICS_FOLDER = tempfile.mkdtemp(prefix="flair-metrics-", dir="/dev/shm")
os.environ.update(PROMETHEUS_MULTIPROC_DIR=METRICS_FOLDER)

bind = env.text("BIND") or "127.0.0.1:8000"
# gunicorn's gthread, whose threads wait for no client that has not sent its request.
worker_class = "challenge.config.gthread.Worker"
workers = env.integer("WEB_WORKERS", default=2, minimum=1)
threads = env.integer("WEB_THREADS", default=WEB_THREADS, minimum=1)
# Of a worker that answers nobody, not of one request: uploads may take hours.
timeout = 60
graceful_timeout = 20
keepalive = 5
# In the container's memory: a heartbeat on a slow disk would have workers killed.
worker_tmp_dir = "/dev/shm"
accesslog = None
errorlog = "-"
loglevel = "warning"
# Nobody asks it, and its socket would lie in a home folder that user 10001 has not.
control_socket_disable = True


def child_exit(_server: Any, worker: Any) -> None:
    """Take a process that ended out of what is summed of live ones."""
    from prometheus_client import multiprocess  # not before the folder is named

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    shutil.rmtree(METRICS_FOLDER, ignore_errors=True)
