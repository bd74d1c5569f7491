"""The reveal and a re-score's publication at once: one waits, and then refuses or takes it in."""

from __future__ import annotations

from typing import Any

import pytest

from challenge.models import Phase, RankLine, TaskSpec
from challenge.services import audit
from challenge.services.submissions import rescore_previews, rescore_publication, reveal
from challenge.services.submissions.reveal import RevealError
from scoring.engine.task import specification as specs
from scoring.engine.truth.split import CountedZones
from tests.factories import make_organiser
from tests.races import Act, Hold, hold
from tests.splits.test_reveal import Scored, close, ranking, scored

pytestmark = pytest.mark.django_db(transaction=True)

__all__ = ["hold", "scored"]


def other_task(phase: Phase) -> TaskSpec:
    """The phase's task with one class fewer that counts."""
    task = phase.task_spec
    assert task is not None
    data = specs.from_json(task.data).to_json()
    data["classes"][-1]["scored"] = not data["classes"][-1]["scored"]
    spec = specs.from_json(data)
    return TaskSpec.objects.create(
        challenge=phase.challenge, version=task.version + 1, digest=spec.digest, data=spec.to_json()
    )


@pytest.mark.parametrize("reveal_first", [True, False])
def test_a_reveal_and_a_rescore_follow_one_another(
    scored: Scored, hold: Hold, reveal_first: bool
) -> None:
    close(scored.world)
    phase = scored.world.phase
    owner, task = make_organiser(phase.challenge), other_task(phase)
    made = rescore_previews.preview(phase=phase, task_spec=task)
    rescore = Act(lambda: rescore_publication.publish(made, actor=owner))
    revealing = Act(lambda: reveal.reveal(phase=phase))
    first, second = (revealing, rescore) if reveal_first else (rescore, revealing)
    point: tuple[Any, str] = (reveal, "_open") if reveal_first else (audit, "record")
    stop = hold(first, *point)
    stop.reach()
    assert second.waits()
    stop.release()
    assert first.end() == "done"
    if reveal_first:
        assert rescore.end() == "rescore-stale"
    else:
        with pytest.raises(RevealError, match="changed meanwhile"):
            revealing.end()
        assert scored.world.phase.counted_zones == CountedZones.PUBLIC
        reveal.reveal(phase=scored.world.phase)
    stored = scored.world.phase
    assert stored.counted_zones == CountedZones.PRIVATE
    assert (stored.task_spec == task) is not reveal_first
    assert [name for _rank, name, _public in ranking(scored.world)] == ["Beta", "Alpha"]
    lines = RankLine.objects.values_list("score__counted_zones", "score__evaluation__task_spec")
    assert set(lines) == {(CountedZones.PRIVATE.value, stored.task_spec_id)}
