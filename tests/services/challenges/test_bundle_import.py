"""Bundles of CodaLab and Codabench in eight shapes become drafts with a true report."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from challenge.errors import NotAllowed, Refusal
from challenge.models import AuditEvent, Challenge, Phase
from challenge.services.challenges import bundle_import, bundle_words
from challenge.services.challenges.bundle_dates import Order
from challenge.services.challenges.bundle_reading import Bundle
from tests import factories

V2 = """
version: 2
title: Burnt areas
description: Map what burnt.
registration_auto_approve: false
terms: terms.md
image: logo.png
docker_image: codalab/codalab-legacy:py37
pages:
  - title: Overview
    file: overview.md
  - title: The data
    file: pages/data.html
tasks:
  - index: 0
    name: Task
    scoring_program: 5b1fd8ea-0b3c-4b1c-9f3a-1d5bb7a6b001
phases:
  - index: 1
    name: Final
    start: 2026-06-01 00:00:00+02:00
    end: 2026-07-01
    max_submissions:
    max_submissions_per_day: 2
    auto_migrate_to_this_phase: true
    tasks: [0]
  - index: 0
    name: Development
    start: "2026-05-01"
    end: "2026-06-01T00:00:00"
    max_submissions: 100
    max_submissions_per_day: "5"
    tasks: [0]
leaderboards:
  - title: Results
    columns:
      - {title: mIoU, key: miou, index: 0, hidden: true}
"""
V1 = """
title: Old challenge
has_registration: true
end_date: 2026-09-01
admin_names: alice, bob
html:
  overview: overview.html
  evaluation: evaluation.html
  terms: terms.html
phases:
  2:
    phasenumber: 2
    label: Final
    start_date: 2026-07-01
    max_submissions: 3
    leaderboard_management_mode: hide_results
    auto_migration: true
  1:
    phasenumber: 1
    label: Development
    start_date: 2026-06-01
    max_submissions_per_day: 5
"""
HTML = """<html><head><script>alert(1)</script></head><body><h1>Welcome</h1>
<p>Read <b>this</b> <a href='https://example.org/a'>page</a> and <a href='data.zip'>that</a>.</p>
<ul><li>one</li></ul><p>[[nothing]]</p><img src='logo.png'></body></html>"""
FILES = {
    "overview.md": "# Hello\n\nSee [the data](data) and ![logo](logo.png).",
    "pages/data.html": HTML, "terms.md": "Be fair.", "overview.html": HTML,
    "evaluation.html": "<p>By mIoU.</p>", "terms.html": "<p>Be fair.</p>",
    "scoring/metadata": "command: python score.py", "logo.png": "no picture",
}  # fmt: skip


def pack(path: Path, document: str, *, folder: str = "", **changes: str | None) -> Path:
    """Write a bundle; a file whose name maps to None is left out."""
    files: dict[str, str | None] = {"competition.yaml": document, **FILES, **changes}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            if text is not None:
                archive.writestr(folder + name, text)
    return path


def look(path: Path, **options: Any) -> Bundle:
    return bundle_import.look(path, slug="imported", **options)


def codes(bundle: Bundle, kind: str) -> set[str]:
    for _heading, lines in bundle_words.groups(bundle.notes):
        assert all("%(" not in line for line in lines)
    return {note.code for note in bundle.notes if note.kind == kind}


def phases(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """The phases as the file reader reads them, by slug."""
    return {phase.slug: phase.table.model_dump() for phase in bundle.description.read().phases}


def pages(bundle: Bundle) -> dict[str, str]:
    return {page.slug: page.markdown for page in bundle.description.read().pages}


def test_codabench_v2(tmp_path: Path) -> None:
    bundle = look(pack(tmp_path / "b.zip", V2))
    found = phases(bundle)
    assert list(found) == ["development", "final"]
    assert (found["development"]["daily_limit"], found["development"]["total_limit"]) == (5, 100)
    assert (found["final"]["daily_limit"], found["final"]["total_limit"]) == (2, None)
    assert found["final"]["opens_at"] == datetime(2026, 5, 31, 22, tzinfo=UTC)
    assert {one["visibility"] for one in found.values()} == {"organisers"}
    assert bundle.description.content["challenge"]["approval_required"] is True
    assert codes(bundle, "dropped") == {"key", "migration", "metrics", "links"}
    keys = {note.facts["key"] for note in bundle.notes if note.code == "key"}
    assert keys == {"docker_image", "image", "tasks"}
    assert codes(bundle, "asked") == {"classes", "geometry", "ids", "labels", "french"}
    texts = pages(bundle)
    assert set(texts) == {"overview", "the-data", "rules"}
    assert texts["rules"] == "Be fair.\n"
    assert "logo.png" not in texts["overview"]
    assert "alert" not in texts["the-data"]
    assert "[page](https://example.org/a)" in texts["the-data"]
    assert "- one" in texts["the-data"]


def test_codalab_v1_takes_the_end_from_the_next_phase(tmp_path: Path) -> None:
    bundle = look(pack(tmp_path / "b.zip", V1))
    found = phases(bundle)
    assert bundle.version == 1
    assert list(found) == ["development", "final"]
    assert found["development"]["closes_at"] == found["final"]["opens_at"]
    assert found["final"]["closes_at"] == datetime(2026, 9, 1, tzinfo=UTC)
    assert found["development"]["visibility"] == "public"
    assert found["final"]["visibility"] == "organisers"
    assert "admin_names" in {note.facts.get("key") for note in bundle.notes}
    assert set(pages(bundle)) == {"overview", "evaluation", "rules"}


def test_an_ambiguous_date_is_asked_for_and_never_guessed(tmp_path: Path) -> None:
    path = pack(tmp_path / "b.zip", V1.replace("2026-06-01", "'6-05-2026'"))
    assert look(path).ambiguous == ["6-05-2026"]
    opens = {
        order: phases(look(path, order=order))["development"]["opens_at"]
        for order in (Order.MONTH_FIRST, Order.DAY_FIRST)
    }
    assert opens[Order.MONTH_FIRST] == datetime(2026, 6, 5, tzinfo=UTC)
    assert opens[Order.DAY_FIRST] == datetime(2026, 5, 6, tzinfo=UTC)
    clear = pack(tmp_path / "c.zip", V1.replace("2026-06-01", "'6-25-2026'"))
    assert look(clear).ambiguous == []


def test_a_phase_that_ends_the_day_it_starts_is_asked_about(tmp_path: Path) -> None:
    document = V2.replace("end: 2026-07-01", "end: 2026-06-01").replace(
        "start: 2026-06-01 00:00:00+02:00", "start: 2026-06-01"
    )
    bundle = look(pack(tmp_path / "b.zip", document))
    assert phases(bundle)["final"]["closes_at"] is None
    assert "phase-end" in codes(bundle, "asked")


def test_without_terms_and_pages_stand_ins_are_made_and_named(tmp_path: Path) -> None:
    document = "title: Bare\nphases:\n  1:\n    start_date: 2026-06-01\n    max_submissions:\n"
    bundle = look(pack(tmp_path / "b.zip", document))
    assert set(pages(bundle)) == {"overview", "rules"}
    needed = {n.facts["page"] for n in bundle.notes if n.code == "needed-page"}
    assert needed == {"overview", "rules"}
    assert phases(bundle)["part"]["total_limit"] is None


def test_dates_that_are_missing_or_no_dates_leave_the_phase_to_do(tmp_path: Path) -> None:
    document = V2.replace('start: "2026-05-01"', "start: soon").replace(
        "start: 2026-06-01 00:00:00+02:00", "start:"
    )
    bundle = look(pack(tmp_path / "b.zip", document))
    assert phases(bundle) == {}
    assert {"phase-start", "date-unreadable"} <= codes(bundle, "asked")


def test_a_bundle_in_a_folder_with_missing_files(tmp_path: Path) -> None:
    path = pack(tmp_path / "b.zip", V2, folder="my bundle/", **{"pages/data.html": None})
    bundle = look(path)
    assert "page" in codes(bundle, "dropped")
    assert "overview" in pages(bundle)


def test_values_of_other_types_do_not_stop_it(tmp_path: Path) -> None:
    document = """
version: "2"
title: 2027
description: [a, b]
terms: {a: b}
pages: [overview, {title: null, file: 7}, {file: overview.md}]
html: none
leaderboards: {a: b}
phases:
  - just a text
  - {name: [x], start: 2026-06-01, end: .inf, max_submissions: many, tasks: 7}
  - {name: Same, start: 2026-06-01, max_submissions_per_day: -1}
  - {name: Same, start: 2026-06-02, max_submissions_per_day: 1.5}
"""
    found = phases(look(pack(tmp_path / "b.zip", document)))
    assert list(found) == ["x", "same", "same-2"]
    assert {one["daily_limit"] for one in found.values()} == {None}


@pytest.mark.parametrize("name", ["../outside.md", "/etc/passwd", "..\\outside.md"])
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refusal) as caught:
        look(pack(tmp_path / "b.zip", V2, **{name: "x"}))
    assert caught.value.code == "bundle-archive-refused"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("a: &a [x]\ntitle: *a", "bundle-yaml-alias"),
        ("title: !!python/object/apply:os.system ['true']", "bundle-yaml-invalid"),
        ("[" * 100_000, "bundle-yaml-invalid"),
        ("title: [", "bundle-yaml-invalid"),
        ("- a list", "bundle-yaml-invalid"),
        ("title: T\nphases: []", "bundle-no-phases"),
        ("phases: {1: {start_date: 2026-01-01}}", "bundle-no-title"),
        ("title: " + "x" * 1_000_001, "bundle-text-too-large"),
    ],
)
def test_a_document_that_cannot_be_is_refused(tmp_path: Path, document: str, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        look(pack(tmp_path / "b.zip", document))
    assert caught.value.code == code


def test_a_text_that_inflates_too_far_is_left_out(tmp_path: Path) -> None:
    bundle = look(pack(tmp_path / "b.zip", V2, **{"overview.md": "x" * 50_000_000}))
    assert "page" in codes(bundle, "dropped")


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"no zip at all")
    with pytest.raises(Refusal) as caught:
        look(tmp_path / "no.zip")
    assert caught.value.code == "bundle-archive-refused"
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "x")
    (tmp_path / "other.zip").write_bytes(other.getvalue())
    with pytest.raises(Refusal) as caught:
        look(tmp_path / "other.zip")
    assert caught.value.code == "bundle-yaml-missing"


@pytest.mark.django_db
def test_the_draft_is_created_once_its_dates_are_clear(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = factories.make_user("operator", is_superuser=True)
    path = pack(tmp_path / "b.zip", V2.replace('"2026-05-01"', '"5-01-2026"'))
    words = ["import_bundle", str(path), "imported", "--owner", operator.email]
    with pytest.raises(CommandError, match="5-01-2026"):
        call_command(*words)
    assert not Challenge.objects.exists()
    call_command(*words, "--dates", "month-first")
    made = Challenge.objects.get(slug="imported")
    assert (made.is_published, made.approval_required) == (False, True)
    assert set(made.pages.values_list("slug", "language")) == {
        ("overview", "en"), ("the-data", "en"), ("rules", "en"),
    }  # fmt: skip
    assert Phase.objects.filter(challenge=made, is_published=False).count() == 2
    assert made.roles.get().user == operator
    assert "To do:" in capsys.readouterr().out
    assert AuditEvent.objects.filter(action="challenge.import", challenge=made).exists()
    with pytest.raises(NotAllowed):
        bundle_import.create(path, actor=factories.make_user(), slug="mine")
