"""``python -m challenge.demo.serve [--no-serve]``: the whole platform on this machine.

Starts the embedded servers, migrates, starts real Celery workers and beat, lets ``manage.py demo``
load and score everything, prints the leaderboard, then serves until Ctrl-C. Safe to run twice.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType

from challenge import embedded, env
from challenge.embedded.data_folder import data_folder
from challenge.embedded.processes import (
    BEAT,
    MANAGE,
    WEB,
    ProcessEnded,
    ProcessGroup,
    worker,
)

SERVING_S = 30.0


class Interrupted(Exception):
    """Ctrl-C or a polite kill."""


def say(words: str) -> None:
    print(f"\n==> {words}", flush=True)


def manage(*words: str, environment: dict[str, str]) -> None:
    """Run one management command in the foreground; raises when it fails."""
    subprocess.run([*MANAGE, *words], env=os.environ | environment, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m challenge.demo.serve")
    parser.add_argument("--no-serve", action="store_true", help="end after the leaderboard")
    serve = not parser.parse_args().no_serve

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        return run(serve=serve)
    except Interrupted:
        print("\nStopped.")
        return 0
    except subprocess.CalledProcessError as error:
        print(f"\nFailed with code {error.returncode}: {' '.join(error.cmd)}", file=sys.stderr)
        return 1
    except (ProcessEnded, embedded.EmbeddedServersError, env.BadSetting) as error:
        print(f"\nFailed: {error}", file=sys.stderr)
        return 1


def run(*, serve: bool) -> int:
    bind = env.text("BIND") or "127.0.0.1:8000"
    if serve:
        refuse_taken(bind)
    data = data_folder()
    # Only these processes may open a label; the web is started without.
    labels = {"LABELS_DIR": env.text("LABELS_DIR") or str(data / "labels")}
    labels["LABELS_KEY_DIR"] = str(data / "labels-key")
    for folder in (Path(labels["LABELS_DIR"]), Path(labels["LABELS_DIR"]).parent / "evidence"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Data sets of one's own are trained on as they are, and known to the worker; else the demo
    # makes some.
    datasets = None if env.text("BASELINES_DATA_DIR") else data / "datasets"
    if datasets is not None:
        datasets.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("SITE_URL", f"http://{bind}")
    # Mails would reach nobody: a page shows them instead.
    mails = data / "mails"
    if not env.text("EMAIL_URL"):
        mails.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ |= {"EMAIL_URL": f"file://{mails}", "DEMO_MAILS_DIR": str(mails)}
    # The demo's organiser is made up, and nobody has the app for its codes.
    os.environ.setdefault("SECOND_FACTOR_REQUIRED", "0")

    started_s = time.monotonic()
    connection = embedded.connect_if_unset()
    address = (
        f"embedded, in {connection.data.folder}"
        if connection
        else "the servers of DATABASE_URL, REDIS_URL"
    )
    say(f"PostgreSQL and Valkey are up ({address}; {time.monotonic() - started_s:.1f} s)")
    say("Preparing the database and the static files")
    manage("migrate", "--verbosity", "0", environment={})
    manage("collectstatic", "--no-input", "--verbosity", "0", environment={})
    with ProcessGroup(logs=data / "logs") as processes:
        say(f"Starting a Celery worker and beat (logs in {processes.logs})")
        processes.start(
            "worker",
            worker("scoring", queues="scoring,labels,default", concurrency=2),
            environment=labels,
        )
        processes.start("beat", BEAT)
        known = {"BASELINES_DATA_DIR": str(datasets)} if datasets is not None else {}
        # Without torch it says on the organiser's page what to install.
        processes.start("gpu-worker", worker("gpu", queues="gpu", concurrency=1), environment=known)
        say("Loading the challenges and scoring the demo's submissions")
        keep = ("--datasets", str(datasets)) if datasets is not None else ()
        manage("demo", *keep, environment=labels)
        processes.check()
        if serve:
            processes.start("web", WEB, environment={"BIND": bind, "LABELS_DIR": ""})
            wait_until_served(f"http://{bind}/healthz", processes)
            say(f"The site is at http://{bind}/ until you press Ctrl-C")
            print(where_things_are(bind), flush=True)
            while True:
                time.sleep(1)
                processes.check()
    return 0


def where_things_are(bind: str) -> str:
    """What a visitor of the demo looks for: mails, another port, passwords."""
    lines = ["    Another port: BIND=127.0.0.1:8001 make demo"]
    if env.text("DEMO_MAILS_DIR"):
        lines.insert(0, f"    Its mails (sign-ups, scores): http://{bind}/demo/mails/")
    lines.append("    The password of the organiser and the captains stands above, at “Log in as”")
    return "\n".join(lines)


def refuse_taken(bind: str) -> None:
    """Better now than after a minute of scoring."""
    host, _, port = bind.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            raise env.BadSetting(
                "BIND", f"cannot listen on {bind} ({error.strerror})", "set BIND=127.0.0.1:PORT"
            ) from error


def wait_until_served(url: str, processes: ProcessGroup) -> None:
    deadline = time.monotonic() + SERVING_S
    while True:
        processes.check()
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise ProcessEnded(f"the site does not answer at {url}: {error}") from error
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
