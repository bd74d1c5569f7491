"""Submitting by form, the submission's page, and who may see what of it."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from challenge.models import Evaluation, Phase, Submission, Team
from challenge.services.leaderboard import ranks
from challenge.services.submissions import evaluations
from challenge.services.submissions import submissions as service
from scoring.engine.problems.problems import Problem
from tests import factories
from tests.web.conftest import Visit


@pytest.fixture
def submission(team: Team, phase: Phase) -> Submission:
    return factories.submit(team, phase)


def page(submission: Submission, name: str = "submission") -> str:
    return reverse(f"web:{name}", args=[submission.pk])


def claim(submission: Submission) -> int:
    found = evaluations.claim(worker="test", now=submission.created_at)
    assert found is not None
    assert found.submission_id == submission.pk
    return found.evaluation_id


def submit_url(phase: Phase) -> str:
    return reverse("web:submit", args=[phase.challenge.slug, phase.slug])


def archive(content: bytes = b"PK") -> SimpleUploadedFile:
    return SimpleUploadedFile("preds.zip", content, "application/zip")


def test_a_plain_form_post_submits(team: Team, phase: Phase, visit: Visit) -> None:
    client = visit(factories.captain_of(team))
    answer = client.post(submit_url(phase), {"method_name": "U-Net", "archive": archive()})
    made = Submission.objects.get()
    assert answer["Location"] == page(made)
    assert made.archive_bytes == 2
    assert made.method_name == "U-Net"
    html = client.get(page(made)).content.decode()
    assert "Yours is next." in html


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"method_name": "U-Net"}, "Choose the zip of your predictions."),
        ({"archive": b"PK"}, "This field is required."),
        ({"method_name": "U-Net", "archive": b""}, "The file is empty"),
        (
            {"method_name": "U-Net", "archive": b"PK", "code_url": "javascript:x"},
            "Enter a valid URL.",
        ),
    ],
)
def test_a_form_with_a_fault_says_so_and_submits_nothing(
    team: Team, phase: Phase, visit: Visit, fields: dict[str, object], said: str
) -> None:
    if "archive" in fields:
        fields = fields | {"archive": archive(fields["archive"])}  # type: ignore[arg-type]
    answer = visit(factories.captain_of(team)).post(submit_url(phase), fields)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not Submission.objects.exists()


def test_a_used_quota_is_reported_before_and_after(team: Team, phase: Phase, visit: Visit) -> None:
    Phase.objects.filter(pk=phase.pk).update(total_limit=1)
    client = visit(factories.captain_of(team))
    client.post(submit_url(phase), {"method_name": "U-Net", "archive": archive()})
    html = client.get(submit_url(phase)).content.decode()
    assert "Your team has used up its submissions of this phase (1 in all)." in html
    answer = client.post(submit_url(phase), {"method_name": "U-Net", "archive": archive()})
    assert answer.status_code == 422
    assert Submission.objects.count() == 1


def test_the_same_archive_again_is_asked_about_before_it_costs_quota(
    team: Team, phase: Phase, visit: Visit
) -> None:
    client = visit(factories.captain_of(team))
    fields = {"method_name": "U-Net"}
    client.post(submit_url(phase), fields | {"archive": archive()})
    assert 'name="again"' in client.get(submit_url(phase)).content.decode()
    answer = client.post(submit_url(phase), fields | {"archive": archive()})
    assert answer.status_code == 422
    assert "Your team submitted this very archive before, as #1:" in answer.content.decode()
    wants_json = {"accept": "application/json"}
    refused = client.post(submit_url(phase), fields | {"archive": archive()}, headers=wants_json)
    assert (refused.status_code, refused.json()["repeated"]) == (422, True)
    assert Submission.objects.count() == 1
    other = client.post(submit_url(phase), fields | {"archive": archive(b"PK other")})
    assert other.status_code == 302
    again = client.post(submit_url(phase), fields | {"archive": archive(), "again": "on"})
    assert again.status_code == 302
    assert Submission.objects.count() == 3


def test_an_archive_that_was_not_scored_may_come_again(
    team: Team, phase: Phase, visit: Visit
) -> None:
    captain = factories.captain_of(team)
    client = visit(captain)
    client.post(submit_url(phase), {"method_name": "U-Net", "archive": archive()})
    service.cancel(submission=Submission.objects.get(), actor=captain)
    answer = client.post(submit_url(phase), {"method_name": "U-Net", "archive": archive()})
    assert answer.status_code == 302


def test_the_time_of_the_next_quota_is_shown_in_words(
    team: Team, phase: Phase, visit: Visit
) -> None:
    Phase.objects.filter(pk=phase.pk).update(daily_limit=1)
    client = visit(factories.captain_of(team))
    client.post(submit_url(phase), {"method_name": "U-Net", "archive": archive()})
    html = client.get(submit_url(phase)).content.decode()
    assert re.search(
        r"today&#x27;s submissions \(1 a UTC day\); next at \d+ \w+ \d{4} 00:00 UTC", html
    )


def test_remaining_hours_are_shown_without_scripts(team: Team, phase: Phase, visit: Visit) -> None:
    soon = timezone.now() + timedelta(minutes=130)
    Phase.objects.filter(pk=phase.pk).update(closes_at=soon)
    html = visit(factories.captain_of(team)).get(submit_url(phase)).content.decode()
    assert f'datetime="{soon.isoformat(timespec="seconds")}">in 2 hours</time>' in html


def test_who_does_not_take_part_is_sent_to_the_rules(phase: Phase, visit: Visit) -> None:
    html = visit(factories.make_user()).get(submit_url(phase)).content.decode()
    assert reverse("web:join", args=[phase.challenge.slug]) in html
    assert "disabled" in html


@pytest.mark.parametrize(
    "name", ["submission", "submission-live", "submission-card", "submission-receipt"]
)
def test_another_team_finds_nothing(submission: Submission, visit: Visit, name: str) -> None:
    factories.give_score(submission)
    rival = factories.captain_of(factories.make_team(submission.entry.phase.challenge))
    assert visit(rival).get(page(submission, name)).status_code == 404
    assert visit().get(page(submission, name)).status_code == 302


@pytest.mark.parametrize("name", ["cancel-submission", "choose-final"])
def test_another_team_can_do_nothing(submission: Submission, visit: Visit, name: str) -> None:
    rival = factories.captain_of(factories.make_team(submission.entry.phase.challenge))
    assert visit(rival).post(page(submission, name)).status_code == 404
    assert submission.evaluations.get().state == "queued"


def test_the_page_shows_patches_done(submission: Submission, visit: Visit) -> None:
    pk = claim(submission)
    evaluations.heartbeat(pk, attempt=1, stage="scoring", patches_done=1200, patches_total=15700)
    html = visit(submission.submitted_by).get(page(submission)).content.decode()
    assert "1,200 of 15,700 patches" in html
    assert 'data-hx-trigger="every 2s"' in html
    assert '<noscript><meta http-equiv="refresh"' in html


def test_the_progress_fragment_reloads_the_page_once_done(
    submission: Submission, visit: Visit
) -> None:
    client = visit(submission.submitted_by)
    moving = client.get(page(submission, "submission-live"))
    assert "HX-Refresh" not in moving
    assert "<html" not in moving.content.decode()
    factories.give_score(submission)
    assert client.get(page(submission, "submission-live"))["HX-Refresh"] == "true"


def test_the_result_is_shown_class_by_class(submission: Submission, visit: Visit) -> None:
    factories.give_score(submission, 0.512345678)
    html = visit(submission.submitted_by).get(page(submission)).content.decode()
    for text in ("rank 1, your best", "Class by class", "in steps (mIoU: 0.10 points)"):
        assert text in html
    for low, high in (("51.20", "51.30"), ("71.20", "71.30"), ("81.00", "81.50")):
        assert low in html or high in html
    for finer in ("51.23", "71.23", "81.23", "Precision"):
        assert finer not in html
    assert "1,234,567" not in html  # counts of labels stay inside while the phase is open
    assert "0.512345678" not in html


def test_the_result_says_what_changed(team: Team, phase: Phase, visit: Visit) -> None:
    first = factories.submit(team, phase)
    factories.give_score(first, 0.5)
    second = factories.submit(team, phase, at=first.created_at.replace(hour=14))
    factories.give_score(second, 0.52)
    html = visit(factories.captain_of(team)).get(page(second)).content.decode()
    assert "+2.00 mIoU" in html
    alone = visit(factories.captain_of(team)).get(page(second) + "?with=none")
    assert "+2.00 mIoU" not in alone.content.decode()


def test_a_page_takes_nine_queries_however_many_there_are(
    team: Team, phase: Phase, visit: Visit, django_assert_num_queries: Any
) -> None:
    for hour, miou in enumerate((0.3, 0.4, 0.5, 0.6), start=1):
        made = factories.submit(team, phase, at=factories.NOON.replace(hour=hour))
        factories.give_score(made, miou)
    rival = factories.make_team(phase.challenge, "Oak")
    factories.give_score(factories.submit(rival, phase), 0.7)
    ranks.recompute(phase=phase)
    client = visit(factories.captain_of(team))
    client.get(page(made))  # the menu, tabs and phases are kept for ten seconds
    # session, person, submission, the team's submissions, their evaluations, two cards, the
    # board's lines, the pictures, for the head whether the person organises anything
    with django_assert_num_queries(9):
        html = client.get(page(made)).content.decode()
    assert "to the leader, Oak" in html
    assert "+10.00 mIoU" in html


def test_nothing_but_the_last_ten_seconds_is_asked_while_it_runs(
    submission: Submission, visit: Visit, django_assert_num_queries: Any
) -> None:
    evaluations.heartbeat(
        claim(submission), attempt=1, stage="scoring", patches_done=1, patches_total=2
    )
    client = visit(submission.submitted_by)
    client.get(page(submission, "submission-live"))
    with django_assert_num_queries(4):  # session, person, submission, evaluations
        client.get(page(submission, "submission-live"))


def test_a_hidden_leaderboard_shows_no_rank_on_the_submission(
    submission: Submission, visit: Visit
) -> None:
    factories.give_score(submission, 0.5)
    Phase.objects.update(visibility="after-close")
    html = visit(submission.submitted_by).get(page(submission)).content.decode()
    assert "50.00" in html
    assert "your best" not in html


def test_an_organiser_sees_one_submission_and_not_the_teams_others(
    team: Team, phase: Phase, visit: Visit
) -> None:
    first, second = (factories.submit(team, phase, method=name) for name in ("First", "Second"))
    for made in (first, second):
        factories.give_score(made)
    organiser = factories.make_user()
    factories.make_organiser(phase.challenge, organiser)
    html = visit(organiser).get(page(second)).content.decode()
    assert "Second" in html
    assert "First" not in html


def test_counts_of_pixels_are_shown_on_demand_once_the_phase_is_closed(
    submission: Submission, visit: Visit
) -> None:
    factories.give_score(submission)
    client = visit(submission.submitted_by)
    assert "show-counts" not in client.get(page(submission)).content.decode()
    Phase.objects.update(closes_at=factories.NOON.replace(year=2021))
    html = client.get(page(submission)).content.decode()
    assert 'id="show-counts"' in html
    assert '<span class="count">1,234,567</span>' in html


def test_a_class_is_held_against_the_teams_best(team: Team, phase: Phase, visit: Visit) -> None:
    worse, best = (
        factories.submit(team, phase, at=factories.NOON.replace(hour=hour)) for hour in (1, 2)
    )
    factories.give_score(worse, 0.3)
    factories.give_score(best, 0.4)
    factories.give_score(factories.submit(factories.make_team(phase.challenge), phase), 0.6)
    ranks.recompute(phase=phase)
    client = visit(factories.captain_of(team))
    html = client.get(page(worse) + "?with=none").content.decode()
    assert "To your best" in html
    assert html.count("−10.00") == 3  # two scored classes and the mean
    assert "To your best" not in client.get(page(best)).content.decode()


def test_a_phase_that_shows_the_mean_alone_shows_no_class(
    submission: Submission, visit: Visit
) -> None:
    Phase.objects.update(detail="miou")
    factories.give_score(submission, 0.5)
    client = visit(submission.submitted_by)
    html = client.get(page(submission)).content.decode()
    assert "50.00" in html
    assert "Class by class" not in html
    assert "classes" not in json.loads(client.get(page(submission, "submission-card")).content)


def test_a_rejection_is_shown_in_the_viewers_language(submission: Submission, visit: Visit) -> None:
    pk = claim(submission)
    problem = Problem.of("missing-patches", count=2, expected=4, ids="p1, p2").to_json()
    evaluations.complete_rejected(pk, attempt=1, problems=[problem], more=3)
    user = submission.submitted_by
    assert (
        "2 of 4 patches are missing (first: p1, p2)"
        in visit(user).get(page(submission)).content.decode()
    )
    french = visit(user, language="fr").get(page(submission)).content.decode()
    assert "Il manque 2 patchs sur 4" in french
    assert "et 3 autres" in french


@pytest.mark.parametrize(("count", "folded"), [(4, 0), (5, 2), (20, 17)])
def test_problems_of_one_kind_are_folded_away(
    submission: Submission, visit: Visit, count: int, folded: int
) -> None:
    problems = [
        Problem.of(
            "values-one-based", file=f"PRED_{n:06}.tif", pixels=312, value=13, highest=12
        ).to_json()
        for n in range(count)
    ]
    other = Problem.of("missing-patches", count=2, expected=4, ids="p1, p2").to_json()
    evaluations.complete_rejected(claim(submission), attempt=1, problems=[*problems, other], more=0)
    html = visit(submission.submitted_by).get(page(submission)).content.decode()
    assert html.count("312 pixels") == count
    _first, _summary, rest = html.partition("<summary>and ")
    assert rest.count("312 pixels") == folded
    assert (f"<summary>and {folded} more<" in html) == (folded > 0)
    assert html.index("2 of 4 patches") < html.index("<summary>and") if folded else True


def test_our_own_failure_is_called_ours(submission: Submission, visit: Visit) -> None:
    pk = claim(submission)
    evaluations.mark_failed(pk, attempt=1, code="scorer-killed")
    html = visit(submission.submitted_by).get(page(submission)).content.decode()
    assert "Scoring failed on our side." in html
    assert "scorer-killed" not in html


def test_withdrawing_refunds_the_quota(submission: Submission, visit: Visit) -> None:
    client = visit(submission.submitted_by)
    html = client.post(page(submission, "cancel-submission"), follow=True).content.decode()
    assert "Withdrawn before it was scored." in html
    assert Evaluation.objects.get().state == "cancelled"
    again = client.post(page(submission, "cancel-submission"), follow=True).content.decode()
    assert 'role="alert"' in again


def test_the_receipt_is_a_signed_file(submission: Submission, visit: Visit) -> None:
    factories.give_score(submission)
    answer = visit(submission.submitted_by).get(page(submission, "submission-receipt"))
    assert set(json.loads(answer.content)) == {"receipt", "signature", "key"}
    assert answer["Content-Disposition"].startswith("attachment")


def test_names_from_outside_are_escaped(team: Team, phase: Phase, visit: Visit) -> None:
    made = factories.submit(team, phase, method="<script>alert(1)</script>")
    factories.give_score(made)
    client = visit(factories.captain_of(team))
    board = reverse("web:leaderboard", args=[phase.challenge.slug, phase.slug])
    for address in (page(made), board, reverse("web:submissions", args=[phase.challenge.slug])):
        assert "<script>alert" not in client.get(address).content.decode()


def test_what_the_browser_checks_with_is_public_and_has_both_languages(
    phase: Phase, visit: Visit
) -> None:
    address = reverse("web:check-data", args=[phase.challenge.slug, phase.slug])
    english = visit().get(address)
    data = english.json()
    assert data["ids"] == ["p0", "p1", "p2", "p3"]
    assert "missing-patches" in data["texts"]
    french = visit(language="fr").get(address).json()
    assert french["texts"]["missing-patches"] != data["texts"]["missing-patches"]
    again = visit().get(address, headers={"If-None-Match": english["ETag"]})
    assert again.status_code == 304


def test_the_browser_knows_the_limit_of_the_file_and_of_what_it_inflates_to(
    phase: Phase, visit: Visit
) -> None:
    """A raw archive may inflate to more than the phase's limit of the file; a change is told."""
    address = reverse("web:check-data", args=[phase.challenge.slug, phase.slug])
    before = visit().get(address)
    phase.archive_limit_bytes = 1234
    phase.save()
    after = visit().get(address, headers={"If-None-Match": before["ETag"]})
    assert after.status_code == 200
    task = phase.task_spec.data["limits"]
    assert after.json()["limits"] == {
        "archive_bytes": 1234,
        "inflated_bytes": task["archive_bytes"],
        "member_bytes": task["member_bytes"],
    }


def test_my_list_holds_my_teams_submissions_alone(
    submission: Submission, client: Client, visit: Visit
) -> None:
    challenge = submission.entry.phase.challenge
    factories.submit(factories.make_team(challenge), submission.entry.phase, method="Rival's")
    html = (
        visit(submission.submitted_by)
        .get(reverse("web:submissions", args=[challenge.slug]))
        .content.decode()
    )
    assert "U-Net" in html
    assert "Rival" not in html


def test_a_team_gets_its_archive_back_in_ranges(team: Team, phase: Phase, visit: Visit) -> None:
    made = factories.submit(team, phase, archive=factories.make_archive(b"0123456789"))
    client = visit(factories.captain_of(team))
    address = page(made, "submission-archive")
    whole = client.get(address)
    assert b"".join(whole.streaming_content) == b"0123456789"  # type: ignore[attr-defined]
    assert whole["Content-Disposition"].startswith("attachment")
    assert whole["X-Content-Type-Options"] == "nosniff"
    part = client.get(address, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part["Content-Range"]) == (206, "bytes 2-4/10")
    assert b"".join(part.streaming_content) == b"234"  # type: ignore[attr-defined]
    assert client.get(address, headers={"Range": "bytes=10-12"}).status_code == 416


def test_another_team_gets_no_archive(submission: Submission, visit: Visit) -> None:
    rival = factories.captain_of(factories.make_team(submission.entry.phase.challenge))
    assert visit(rival).get(page(submission, "submission-archive")).status_code == 404
    assert visit().get(page(submission, "submission-archive")).status_code == 302
