"""The labels of a phase, handed in as predictions, score 1; a task that does not fit shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from challenge.models import AuditEvent, Phase
from challenge.selectors import launch
from challenge.selectors.launch import State
from tests.factories import make_task
from tests.workers.real import SIDE_PX, make_real_phase

pytestmark = pytest.mark.django_db


def oracle_state(phase: Phase) -> State:
    found = launch.checks(phase.challenge, now=timezone.now())
    return next(check.state for check in found if check.code == "oracle")


def test_the_labels_score_one_and_the_launch_check_knows(
    tmp_path: Path, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    phase = make_real_phase(tmp_path, patches=3)
    settings.LABELS_DIR = tmp_path
    assert oracle_state(phase) is State.WARN
    call_command("check_oracle", "abc", "test")
    assert "abc/test: the labels score 1" in capsys.readouterr().out
    assert AuditEvent.objects.get(action="phase.oracle").data["miou"] == 1.0
    assert oracle_state(phase) is State.GOOD
    # Another task: what was checked says nothing of it.
    wider = {"patch_height_px": SIDE_PX, "patch_width_px": SIDE_PX, "absent_policy": "zero"}
    phase.task_spec = make_task(phase.challenge, **wider)
    phase.save()
    assert oracle_state(phase) is State.WARN


def test_a_task_that_does_not_fit_the_labels_is_told(tmp_path: Path, settings: Any) -> None:
    phase = make_real_phase(tmp_path, patches=1)
    settings.LABELS_DIR = tmp_path
    phase.task_spec = make_task(phase.challenge, patch_height_px=8, patch_width_px=8)
    phase.save()
    with pytest.raises(CommandError, match="512"):
        call_command("check_oracle", "abc", "test")
    assert not AuditEvent.objects.exists()
    with pytest.raises(CommandError, match="found no phase abc/other; there are: abc/test"):
        call_command("check_oracle", "abc", "other")
    settings.LABELS_DIR = None
    with pytest.raises(CommandError, match="LABELS_DIR is not set"):
        call_command("check_oracle", "abc", "test")
