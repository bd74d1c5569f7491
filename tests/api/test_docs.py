"""What docs/participants.md shows runs as it stands, against a real server."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.db import connections

from challenge.embedded.data_folder import ROOT
from challenge.models import Submission
from scoring.client import cli
from scoring.client.errors import Exit
from tests import factories
from tests.api.conftest import build_world, token_of
from tests.live_site import LiveSite

PAGE = (ROOT / "docs" / "participants.md").read_text(encoding="utf-8")
SITE = "https://flair.example.org"


def block(language: str, containing: str) -> str:
    """The page's block of code that holds these words."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    (one,) = [text for text in found if containing in text]
    return str(one)


def score_the_next(known: set[object]) -> threading.Thread:
    """Score the submission that comes, as a worker would."""

    def work() -> None:
        try:
            deadline = time.monotonic() + 40
            while time.monotonic() < deadline:
                fresh = Submission.objects.exclude(pk__in=known).first()
                if fresh is not None:
                    factories.give_score(fresh, 0.75)
                    return
                time.sleep(0.1)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("language", "words"), [("sh", "# 1. Declare the upload"), ("python", "TusClient")]
)
def test_the_examples_submit_and_read_a_score(
    site: LiveSite, tmp_path: Path, language: str, words: str
) -> None:
    world = build_world()
    world.waiting.evaluations.update(state="cancelled")
    token = token_of(world.captain)
    (tmp_path / "predictions.zip").write_bytes(b"PK whatever")
    code = block(language, words).replace("sleep 5", "sleep 0.2").replace("sleep(5)", "sleep(0.2)")
    code = code.replace(SITE, site.url).replace("flair-1/test", "abc/test")
    code = code.replace("flair_…", token)
    worker = score_the_next(set(Submission.objects.values_list("pk", flat=True)))
    program = ["bash", "-eu", "-c"] if language == "sh" else [sys.executable, "-c"]
    result = subprocess.run(
        [*program, code],
        cwd=tmp_path,
        env=os.environ | {"FLAIR_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    worker.join()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0.75" in result.stdout


def test_the_signature_check_accepts_what_we_send() -> None:
    from challenge.services.notifications import webhooks

    names: dict[str, object] = {}
    exec(block("python", "is_genuine"), names)
    is_genuine = names["is_genuine"]
    header = webhooks.sign(b"{}", secret="s", at_s=int(time.time()))
    assert is_genuine(header, b"{}", "s")  # type: ignore[operator]
    assert not is_genuine(header, b"{} ", "s")  # type: ignore[operator]
    late = webhooks.sign(b"{}", secret="s", at_s=int(time.time()) - 1000)
    assert not is_genuine(late, b"{}", "s")  # type: ignore[operator]


def test_every_command_shown_can_be_parsed() -> None:
    lines = [
        line.partition("#")[0]
        for text in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
        for line in text.splitlines()
        if line.startswith("flair ")
    ]
    assert len(lines) >= 8
    for line in lines:
        words = shlex.split(line.partition(">")[0])[1:]
        assert cli.parser().parse_args(words).command == words[0]


def test_the_exit_codes_are_those_of_the_code() -> None:
    shown = {int(one) for one in re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE)}
    assert shown == {code.value for code in Exit}
