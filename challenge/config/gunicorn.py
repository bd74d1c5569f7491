"""gunicorn's settings: threads, so that slow uploads do not keep readers waiting.

``gunicorn --config python:challenge.config.gunicorn challenge.config.wsgi``. Threads cost little
memory and 426 MB/s of uploads went through them; sync workers stop answering under four slow
uploads (docs/decisions/033-gunicorn-threads.md).
"""

from __future__ import annotations

from challenge.config import env

bind = env.text("BIND") or "127.0.0.1:8000"
worker_class = "gthread"
workers = env.integer("WEB_WORKERS", default=2, minimum=1)
threads = env.integer("WEB_THREADS", default=16, minimum=1)
# Of a worker that answers nobody, not of one request: uploads may take hours.
timeout = 60
graceful_timeout = 20
keepalive = 5
# In the container's memory: a heartbeat on a slow disk would have workers killed.
worker_tmp_dir = "/dev/shm"
accesslog = None
errorlog = "-"
loglevel = "warning"
