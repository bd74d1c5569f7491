"""``manage.py load_challenge``: creates, updates, repeats without a change, and never half."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from challenge.models import Announcement, AuditEvent, Challenge, Page, Phase, TaskSpec
from challenge.rules.disclosure import NEVER
from challenge.services.challenges import challenges
from tests.challenges import folders
from tests.factories import make_team, make_truth, submit

pytestmark = pytest.mark.django_db


def load(path: Path, **options: bool | str) -> str:
    out = StringIO()
    call_command("load_challenge", str(path), stdout=out, no_color=True, **options)
    return out.getvalue()


def test_it_works(tmp_path: Path) -> None:
    said = load(folders.write(tmp_path))

    assert said.startswith("tiny: created (11 rows)")
    challenge = Challenge.objects.get(slug="tiny")
    phase = challenge.phases.get()
    assert phase.task_spec == challenge.task_specs.get(version=1)
    assert phase.public_patches == [
        ["000001", "D002_2021", "Z1_UU"],
        ["000002", "D002_2021", "Z1_UU"],
    ]
    assert challenge.pages.count() == 6
    assert challenge.published_results.get().class_ious == {"land": 0.6, "water": 0.4}
    assert challenge.announcements.get().key == "hello"
    assert AuditEvent.objects.get().action == "challenge.load"


def test_the_task_is_stored_without_the_ids(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    assert TaskSpec.objects.get().data["expected"] == []


def test_repeating_the_load_changes_nothing(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    before = Challenge.objects.values().get()
    assert load(tmp_path).startswith("tiny: is up to date\n")
    assert Challenge.objects.values().get() == before
    assert AuditEvent.objects.count() == 1


def test_shipped_challenges_load_twice() -> None:
    root = Path(__file__).resolve().parents[2] / "challenges"
    for folder in sorted(p.parent for p in root.glob("*/challenge.toml")):
        assert challenges.load(folder).created
        assert challenges.load(folder).changes == []


def test_a_change_is_written_and_reported(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    said = load(folders.write(tmp_path, replacing="daily_limit = 5", by="daily_limit = 7"))
    assert "tiny: updated\n  phase test: daily_limit 5 → 7\n" in said
    assert Phase.objects.get().daily_limit == 7


def test_a_dry_run_says_the_change_and_writes_nothing(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    folders.write(tmp_path, replacing="daily_limit = 5", by="daily_limit = 7")
    said = load(tmp_path, dry_run=True)
    assert "tiny: would change\n  phase test: daily_limit 5 → 7\n" in said
    assert Phase.objects.get().daily_limit == 5
    assert AuditEvent.objects.count() == 1


def test_an_edit_on_the_desk_stays_and_is_named(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    Phase.objects.update(total_limit=3)
    said = load(tmp_path)
    assert "phase test: total_limit was changed on the desk, which stays 3 → 50" in said
    assert Phase.objects.get().total_limit == 3
    assert "phase test: total_limit 3 → 50" in load(tmp_path, take="file")
    assert Phase.objects.get().total_limit == 50


def test_what_file_and_desk_both_changed_stops_the_load_until_somebody_says(
    tmp_path: Path,
) -> None:
    load(folders.write(tmp_path))
    both = "total_limit = 50\ninvalid_daily_limit = 20"
    folders.write(tmp_path, replacing=both, by="total_limit = 70\ninvalid_daily_limit = 9")
    Phase.objects.update(total_limit=3)
    before = AuditEvent.objects.count()
    with pytest.raises(CommandError, match="total_limit 3 → 70") as caught:
        load(tmp_path)
    assert "--take file or --take desk" in str(caught.value)
    assert Phase.objects.get().invalid_daily_limit == 20
    assert AuditEvent.objects.count() == before
    assert "conflict: phase test: total_limit 3 → 70" in load(tmp_path, dry_run=True)
    assert "which stays 3 → 70" in load(tmp_path, take="desk")
    phase = Phase.objects.get()
    assert (phase.total_limit, phase.invalid_daily_limit) == (3, 9)
    # Settled: the file's value is known now, and the desk's stays.
    assert "which stays 3 → 70" in load(tmp_path)
    load(tmp_path, take="file")
    assert Phase.objects.get().total_limit == 70
    assert load(tmp_path).startswith("tiny: is up to date\n")


def test_a_page_of_the_desk_stays(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    challenge = Challenge.objects.get()
    challenge.pages.create(slug="faq", language="en", title="FAQ", markdown="Ask.")
    said = load(tmp_path)
    assert "page faq.en: is not in the file; it was made on the desk and stays" in said
    assert challenge.pages.filter(slug="faq").exists()
    assert "page faq.en: removed" in load(tmp_path, take="file")


def test_a_mistake_names_its_line_and_nothing_is_written(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    folders.write(tmp_path, replacing='detail = "domains"', by='detail = "all"')
    with pytest.raises(CommandError) as caught:
        load(tmp_path)
    line = folders.line_of('detail = "domains"')
    assert f"  challenge.toml:{line}: phases[0].detail: is 'all'; allowed are full" in str(
        caught.value
    )
    assert Phase.objects.get().detail == "domains"


def test_what_can_change_a_score_makes_a_new_task_version(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    said = load(folders.write(tmp_path, replacing='"skip"', by='"zero"'))
    assert "task v2: created" in said
    assert Phase.objects.get().task_spec == TaskSpec.objects.get(version=2)

    load(folders.write(tmp_path))
    assert Phase.objects.get().task_spec == TaskSpec.objects.get(version=1)
    assert TaskSpec.objects.count() == 2


def test_a_colour_makes_no_new_task_version(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    assert "task v1: data: changed" in load(
        folders.write(tmp_path, replacing='color = "#1553ae"', by='color = "#1553af"')
    )
    assert TaskSpec.objects.get().data["classes"][1]["color"] == "#1553af"


def test_pages_follow_the_file_and_other_announcements_stay(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    challenge = Challenge.objects.get()
    Announcement.objects.create(challenge=challenge, title={"en": "By hand"}, body={})
    Page.objects.create(challenge=challenge, slug="old", language="en", title="Old", markdown="x")

    said = load(folders.write(tmp_path, replacing='key = "hello"', by='key = "again"'))

    assert "page old.en: is not in the file; it was made on the desk and stays" in said
    assert "announcement hello: removed" in said
    assert sorted(challenge.announcements.values_list("key", flat=True)) == ["", "again"]


def test_a_phase_that_left_the_file_stays_and_is_named(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    folders.write(tmp_path, replacing='slug = "test"', by='slug = "final"')
    path = tmp_path / "challenge.toml"
    path.write_text(path.read_text().replace("[[results]]\n", '[[results]]\nphase = "final"\n'))
    assert "phase test: is not in the file; it stays as it is" in load(tmp_path)
    assert Phase.objects.count() == 2


SECOND = """\
[[phases]]
slug = "practice"
name = { en = "Practice", fr = "Entraînement" }
opens_at = 2024-01-01T00:00:00Z
ids_csv = "ids.csv"
archives_kept_days = 7

[[results]]
name = "U-Net\""""


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        ("labels-closed", "its figures stay rounded"),
        ("phase-closed", "who submits there can read labels"),
    ],
)
def test_it_says_when_phases_share_labels(tmp_path: Path, precision: str, said: str) -> None:
    """The test closes in 2030, the practice on the same patches never."""
    folders.write(tmp_path, replacing='[[results]]\nname = "U-Net"', by=SECOND)
    toml = tmp_path / "challenge.toml"
    text = toml.read_text(encoding="utf-8")
    toml.write_text(
        text.replace('detail = "domains"', f'detail = "domains"\nprecision = "{precision}"'),
        encoding="utf-8",
    )
    report = challenges.load(tmp_path)
    (remark,) = [one for one in report.remarks if "same labels" in one]
    assert remark.startswith("phase test:")
    assert said in remark
    assert "never" in remark
    phase = Phase.objects.get(slug="test")
    assert (phase.labels_open_until, phase.precision) == (NEVER, precision)
    practice = Phase.objects.get(slug="practice")
    assert (practice.labels_open_until, practice.archives_kept_days) == (phase.closes_at, 7)
    assert challenges.load(tmp_path).changes == []


def test_what_changes_of_a_phase_mean_is_confirmed_by_exactly_these_words(tmp_path: Path) -> None:
    load(folders.write(tmp_path))
    phase = Phase.objects.get()
    phase.ground_truth = make_truth(phase.challenge)
    phase.save()
    team = make_team(phase.challenge)
    submit(team, phase, at=timezone.now())
    toml = (tmp_path / "challenge.toml").read_text()
    toml = toml.replace("closes_at = 2030-01-01", "closes_at = 2025-01-01")
    toml = toml.replace('detail = "domains"', 'detail = "full"')
    (tmp_path / "challenge.toml").write_text(toml)

    said = load(tmp_path, dry_run=True)
    assert "consequence: phase test: closes\n" in said
    with pytest.raises(CommandError, match="nothing was loaded") as caught:
        load(tmp_path)
    told = str(caught.value)
    assert "  phase test: queue-waits (n 1)\n  phase test: detail-widens (detail full)\n" in told
    word = told.split("--confirm ")[1]
    assert word.startswith("test:closes,test:queue-waits,test:detail-widens@")
    assert f"--confirm {word}\n" in said
    assert Phase.objects.get().detail == "domains"

    submit(team, phase, at=timezone.now())
    with pytest.raises(CommandError, match="is not what the load means now") as stale:
        load(tmp_path, confirm=word)
    assert "queue-waits (n 2)" in str(stale.value)
    load(tmp_path, confirm=str(stale.value).split("--confirm ")[1])
    assert Phase.objects.get().detail == "full"
    event = AuditEvent.objects.filter(action="challenge.load").first()
    assert event is not None
    assert event.data["confirmed"] == ["test:closes", "test:queue-waits", "test:detail-widens"]
    with pytest.raises(CommandError, match="nothing to confirm"):
        load(tmp_path, confirm=word)
