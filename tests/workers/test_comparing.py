"""Near-twins: real archives, counted by the worker's task and told to organisers alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.utils import timezone

from challenge.errors import NotAllowed, refuse
from challenge.models import AuditEvent, PixelComparison, Submission
from challenge.rules.roles import Role
from challenge.selectors import duplicates as selector
from challenge.services import maintenance
from challenge.services.storage import archives
from challenge.services.submissions import pixel_comparisons as service
from challenge.workers import comparing
from scoring.engine.metrics import equal_pixels
from scoring.engine.task.examples import abc_spec
from scoring.engine.task.specification import Patch
from scoring.engine.truth import store
from tests.factories import captain_of, make_organiser, make_team
from tests.helpers import refused
from tests.permissions.world import Visitor
from tests.splits.world import PATCHES, SIDE_PX, SplitWorld, make_split_world

pytestmark = pytest.mark.django_db(transaction=True)

PIXELS = len(PATCHES) * SIDE_PX * SIDE_PX


@pytest.fixture
def world(tmp_path: Path, settings: Any) -> SplitWorld:
    made = make_split_world(tmp_path)
    settings.LABELS_DIR = made.labels_dir
    settings.EVIDENCE_DIR = made.evidence_dir
    made.labels_dir.mkdir(exist_ok=True)
    return made


@pytest.fixture
def sent(world: SplitWorld) -> dict[str, Submission]:
    """Three teams: Copy changed one pixel of Larch's, Other a whole patch more."""
    world.install()
    challenge = world.phase.challenge
    first, *_rest = PATCHES
    wrong = {"Larch": 0, "Copy": 1, "Other": SIDE_PX * SIDE_PX}
    found = {
        name: world.submit(make_team(challenge, name), wrong_px={first: pixels})
        for name, pixels in wrong.items()
    }
    assert world.score() == 3
    return found


def test_the_count_is_that_of_a_loop_over_pixels(tmp_path: Path) -> None:
    spec = abc_spec(patch_height_px=9, patch_width_px=7)
    random = np.random.default_rng(5)
    labels = np.array(spec.label_values, dtype=np.uint8)
    arrays = [random.choice(labels, size=(4, 9, 7)) for _ in range(3)]
    arrays.append(arrays[0].copy())
    packs = []
    for position, pixels in enumerate(arrays):
        patches = [(Patch(f"{n}", "", ""), one) for n, one in enumerate(pixels)]
        store.from_arrays(patches, tmp_path / f"{position}", spec=spec)
        packs.append(store.PackedTruth.open(tmp_path / f"{position}"))
    counts = equal_pixels.count(packs)
    for i, a in enumerate(arrays):
        for j, b in enumerate(arrays):
            assert counts[i, j] == sum(x == y for x, y in zip(a.flat, b.flat, strict=True))
    assert counts[0, 3] == counts[0, 0] == 4 * 9 * 7


def test_equal_pixels_are_counted_stored_and_shown(
    world: SplitWorld, sent: dict[str, Submission]
) -> None:
    judge = make_organiser(world.phase.challenge, role=Role.JUDGE)
    row = service.request(phase=world.phase, actor=judge)
    with refused("comparison-open"):
        service.request(phase=world.phase, actor=judge)
    assert comparing.compare_pixels() == 1
    row.refresh_from_db()
    assert (row.state, row.error_code) == ("succeeded", "")
    found = selector.near_twins(row).pairs
    patch = SIDE_PX * SIDE_PX
    assert [({p.first.entry.team.name, p.second.entry.team.name}, p.equal_px) for p in found] == [
        ({"Larch", "Copy"}, PIXELS - 1),
        ({"Copy", "Other"}, PIXELS - patch + 1),
        ({"Larch", "Other"}, PIXELS - patch),
    ]
    assert found[0].share == (PIXELS - 1) / PIXELS
    assert AuditEvent.objects.get(action="comparison.request").actor == judge
    address = "/challenges/tiny/desk/phases/test/duplicates/"
    page = Visitor(judge).ask("GET", address).content.decode()
    assert page.index("99.9") < page.index("93.8")
    assert f"/desk/people/teams/{sent['Copy'].entry.team_id}/" in page
    api = "/api/v1/organise/challenges/tiny/phases/test/comparison"
    answer = Visitor(judge).ask("GET", api).json()
    assert answer["pairs"][0]["equal_pixels"] == PIXELS - 1
    team = captain_of(sent["Larch"].entry.team)
    for url in (address, api):
        assert Visitor(team).ask("GET", url).status_code == 403
    with pytest.raises(NotAllowed):
        service.request(
            phase=world.phase, actor=make_organiser(world.phase.challenge, role=Role.EDITOR)
        )


def test_the_very_same_pixels_are_told_without_asking(
    world: SplitWorld, sent: dict[str, Submission]
) -> None:
    late = world.submit(make_team(world.phase.challenge, "Late"), wrong_px={next(iter(PATCHES)): 1})
    assert selector.exact_twins(world.phase) == []
    world.score()
    (group,) = selector.exact_twins(world.phase)
    assert group == [sent["Copy"], late]


def test_an_archive_that_is_gone_is_named_and_the_others_are_compared(
    world: SplitWorld, sent: dict[str, Submission]
) -> None:
    judge = make_organiser(world.phase.challenge, role=Role.JUDGE)
    Submission.objects.filter(pk=sent["Other"].pk).update(archive_removed_at=timezone.now())
    chosen = [one.pk for one in sent.values()]
    row = service.request(phase=world.phase, actor=judge, best=0, chosen=chosen)
    comparing.compare_pixels()
    row.refresh_from_db()
    found = selector.near_twins(row)
    assert found.unread == [(sent["Other"], "archive-removed")]
    assert [pair.equal_px for pair in found.pairs] == [PIXELS - 1]


def test_a_killed_worker_leaves_it_to_the_next_and_is_fenced(
    world: SplitWorld, sent: dict[str, Submission]
) -> None:
    judge = make_organiser(world.phase.challenge, role=Role.JUDGE)
    row = service.request(phase=world.phase, actor=judge)
    lost = service.claim(worker="lost")
    assert lost is not None
    maintenance.sweep(now=timezone.now() + timedelta(hours=1))
    row.refresh_from_db()
    assert row.state == "queued"
    assert comparing.compare_pixels() == 1
    with refused("late-worker"):
        service.complete(lost.comparison_id, attempt=lost.attempt, result={})
    row.refresh_from_db()
    assert (row.state, row.attempt, len(row.result["pairs"])) == ("succeeded", 2, 3)


def test_storage_that_is_away_delays_a_comparison_and_ends_it_after_an_hour(
    world: SplitWorld, sent: dict[str, Submission]
) -> None:
    judge = make_organiser(world.phase.challenge, role=Role.JUDGE)
    row = service.request(phase=world.phase, actor=judge)
    folder = Path(default_storage.path(sent["Copy"].archive)).parent
    away = folder.with_name("away")
    folder.rename(away)
    assert comparing.compare_pixels() == 1, "not again and again in one run"
    row.refresh_from_db()
    assert (row.state, row.error_code) == ("queued", "")
    last = row.events.order_by("-pk")[0]
    assert (last.to_state, last.reason) == ("queued", "archive-missing")
    now = timezone.now()
    for minutes, waits in ((30, True), (59, True), (61, False)):
        at = now + timedelta(minutes=minutes)
        claim = service.claim(worker="w", now=at)
        assert claim is not None
        given = service.return_to_queue(
            claim.comparison_id, attempt=claim.attempt, code="archive-missing", now=at
        )
        assert given is waits
    row.refresh_from_db()
    assert (row.state, row.error_code) == ("failed", "archive-missing")
    again = service.request(phase=world.phase, actor=judge)
    away.rename(folder)
    assert comparing.compare_pixels() == 1
    again.refresh_from_db()
    assert (again.state, len(again.result["pairs"])) == ("succeeded", 3)


def test_an_object_store_that_does_not_answer_is_waited_for(
    world: SplitWorld, sent: dict[str, Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = service.request(phase=world.phase, actor=make_organiser(world.phase.challenge))

    def unreachable(_name: str) -> Any:
        raise refuse("archive-unreachable")

    def no_disk(_name: str) -> Any:
        raise OSError("no space left on device")

    for opened, code in ((unreachable, "archive-unreachable"), (no_disk, "scorer-storage")):
        with monkeypatch.context() as patched:
            patched.setattr(archives, "open_local", opened)
            assert comparing.compare_pixels() == 1
        row.refresh_from_db()
        assert row.state == "queued"
        assert row.events.order_by("-pk")[0].reason == code
    assert comparing.compare_pixels() == 1
    row.refresh_from_db()
    assert (row.state, row.attempt) == ("succeeded", 3)


def test_what_cannot_be_compared_is_refused(world: SplitWorld, sent: dict[str, Submission]) -> None:
    judge = make_organiser(world.phase.challenge, role=Role.JUDGE)
    for code, asked in {
        "comparison-too-few": {"best": 1},
        "comparison-size-invalid": {"best": service.MOST + 1},
        "comparison-submission-unknown": {"chosen": [unknown_id()]},
    }.items():
        with refused(code):
            service.request(phase=world.phase, actor=judge, **asked)
    assert not PixelComparison.objects.exists()


def unknown_id() -> Any:
    """An id of no submission."""
    return Submission._meta.pk.to_python("00000000-0000-4000-8000-000000000000")
