"""``python -m challenge.demo.trial CHALLENGE --labels DIR --enrol NAME …``: a platform to try on.

The whole platform for a program that submits over HTTP: servers in a data folder of its own
(``FLAIR_DATA_DIR`` must name it), one challenge from its folder with its labels, an account for
each name, a scoring worker, beat and the web on a free port. One JSON object on stdout says when it
serves: ``url`` and ``tokens`` by name. It ends, with everything it started, when its input does.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from challenge import embedded, env
from challenge.demo.serve import wait_until_served
from challenge.embedded.data_folder import data_folder
from challenge.embedded.processes import (
    BEAT,
    MANAGE,
    WEB,
    ProcessEnded,
    ProcessGroup,
    worker,
)

# A server of somebody else's must not receive made-up people and labels.
REFUSED = ("DATABASE_URL", "REDIS_URL", "STORAGE_URL")


def main() -> int:
    """Serve until the input ends; 1 with the reason on stderr when it cannot."""
    parser = argparse.ArgumentParser(prog="python -m challenge.demo.trial")
    parser.add_argument("challenge", type=Path, help="a challenge's folder; its slug is its name")
    parser.add_argument("--labels", type=Path, required=True, help="folder of the masks")
    parser.add_argument("--phase", default="test", help="the phase they belong to (default: test)")
    parser.add_argument("--enrol", nargs="+", default=[], metavar="NAME", help="accounts to make")
    given = parser.parse_args()
    try:
        _refuse_shared()
        _serve(given.challenge, labels=given.labels, phase=given.phase, names=given.enrol)
    except subprocess.CalledProcessError as error:
        output = error.stderr or error.stdout or ""
        print(f"{' '.join(error.cmd)} ended with {error.returncode}\n{output}", file=sys.stderr)
        return 1
    except (ProcessEnded, embedded.EmbeddedServersError, env.BadSetting) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _refuse_shared() -> None:
    for name in REFUSED:
        if env.text(name):
            raise env.BadSetting(name, "is set", "unset it: a trial has servers of its own")
    if not env.text("FLAIR_DATA_DIR"):
        raise env.BadSetting("FLAIR_DATA_DIR", "is not set", "name an empty folder for the trial")


def _serve(challenge: Path, *, labels: Path, phase: str, names: list[str]) -> None:
    data = data_folder()
    bind = f"127.0.0.1:{_free_port()}"
    url = f"http://{bind}"
    os.environ.update(SITE_URL=url, SECOND_FACTOR_REQUIRED="0")
    hidden = {"LABELS_DIR": str(data / "labels")}
    (data / "labels").mkdir(mode=0o700, parents=True, exist_ok=True)
    # Quick: what a trial holds is gone with it.
    embedded.connect_if_unset(quick=True)
    _manage("migrate", "--verbosity", "0")
    _manage("load_challenge", str(challenge.resolve()))
    slug = challenge.resolve().name
    install = ("--labels", str(labels.resolve()), "--phase", phase, "--verbosity", "0")
    _manage("install_ground_truth", slug, *install, environment=hidden)
    tokens = json.loads(_manage("enrol", slug, *names)) if names else {}
    with ProcessGroup(logs=data / "logs") as processes:
        scoring = worker("scoring", queues="scoring,default", concurrency=1)
        processes.start("worker", scoring, environment=hidden)
        processes.start("beat", BEAT)
        processes.start(
            "web", WEB, environment={"BIND": bind, "LABELS_DIR": "", "WEB_WORKERS": "1"}
        )
        wait_until_served(f"{url}/healthz", processes)
        print(json.dumps({"url": url, "tokens": tokens}), flush=True)
        sys.stdin.read()
        processes.check()


def _manage(*words: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [*MANAGE, *words],
        env=os.environ | (environment or {}),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
