"""The organisers' admin: every list and page opens, actions go through services, nothing else."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from challenge.models import (
    AuditEvent,
    Evaluation,
    Phase,
    Registration,
    Score,
    Submission,
    TrainingRun,
    User,
)
from challenge.services.accounts import tokens
from challenge.services.challenges import phases
from challenge.services.training import training_runs
from tests.factories import (
    NOON,
    captain_of,
    give_score,
    make_challenge,
    make_organiser,
    make_phase,
    make_team,
    make_user,
    submit,
)

pytestmark = pytest.mark.django_db
OURS = [m for m in admin.site._registry if m._meta.app_label == "challenge"]


@pytest.fixture
def scored(phase: Phase) -> Submission:
    found = submit(make_team(phase.challenge), phase)
    give_score(found, 0.5)
    return found


@pytest.fixture
def boss(client: Client) -> User:
    user = make_user("boss", is_superuser=True)
    client.force_login(user)
    return user


@pytest.fixture
def organiser(client: Client, phase: Phase) -> User:
    user = make_user("organiser")
    make_organiser(phase.challenge, user)
    client.force_login(user)
    return user


def act(client: Client, action: str, *rows: Submission, **more: str) -> object:
    data = {"action": action, "_selected_action": [str(row.pk) for row in rows], **more}
    return client.post(reverse("admin:challenge_submission_changelist"), data)


@pytest.mark.parametrize("model", OURS, ids=lambda m: m._meta.model_name)
def test_every_list_and_every_row_opens(
    client: Client, boss: User, scored: Submission, model: type
) -> None:
    tokens.create(user=boss, name="t", scopes=["read"])
    training_runs.create(recipe="unet", data_root="toy", actor=boss, phase=scored.entry.phase)
    name = model._meta.model_name
    assert client.get(reverse(f"admin:challenge_{name}_changelist")).status_code == 200
    row = model._default_manager.first()
    if row is not None:
        page = client.get(reverse(f"admin:challenge_{name}_change", args=[row.pk]))
        assert page.status_code == 200


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("score", "miou__gt=0.4"),
        ("score", "card__confusion__0__0__gt=1"),
        ("score", "class_ious__a__gt=0.4"),
        ("groundtruth", "digest__startswith=a"),
        ("groundtruth", "label_pixels__1__gt=5"),
        ("submission", "evaluations__score__miou__gt=0.4"),
    ],
)
def test_an_address_cannot_ask_for_a_hidden_value(
    client: Client, organiser: User, scored: Submission, name: str, query: str
) -> None:
    url = reverse(f"admin:challenge_{name}_changelist")
    assert client.get(f"{url}?{query}").status_code == 400


def test_the_lists_own_filters_work(client: Client, organiser: User, scored: Submission) -> None:
    url = reverse("admin:challenge_submission_changelist")
    phase_id = scored.entry.phase_id
    year = scored.created_at.year
    for query in (
        f"entry__phase__id__exact={phase_id}",
        "same_pixels=yes",
        "is_baseline__exact=0",
        "disqualified_at__isempty=1",
        f"created_at__year={year}",
    ):
        assert client.get(f"{url}?{query}").status_code == 200, query


@pytest.mark.parametrize("name", ["score", "submission"])
def test_lists_are_not_sorted_by_hidden_values(
    client: Client, organiser: User, scored: Submission, name: str
) -> None:
    lower = submit(make_team(scored.entry.phase.challenge), scored.entry.phase)
    give_score(lower, 0.5 - 1e-9)
    url = reverse(f"admin:challenge_{name}_changelist")
    orders = set()
    for column in range(1, 11):
        for sign in ("", "-"):
            page = client.get(f"{url}?o={sign}{column}")
            found = page.context["cl"].queryset.query.order_by
            orders |= {str(field) for field in found}
    assert not [field for field in orders if "miou" in field and "rounded" not in field]


@pytest.mark.parametrize("model", OURS, ids=lambda m: m._meta.model_name)
def test_nothing_is_deleted_here(client: Client, boss: User, model: type) -> None:
    site = admin.site._registry[model]
    request = client.get("/admin/").wsgi_request
    request.user = boss
    assert not site.has_delete_permission(request)
    assert "delete_selected" not in site.get_actions(request)


@pytest.mark.parametrize("model", [Submission, Evaluation], ids=lambda m: m._meta.model_name)
def test_a_post_cannot_move_a_state(
    client: Client, boss: User, scored: Submission, model: type
) -> None:
    row = model._default_manager.get()
    url = reverse(f"admin:challenge_{model._meta.model_name}_change", args=[row.pk])
    assert client.post(url, {"state": "queued", "is_final": "on"}).status_code == 403
    assert scored.evaluations.get().state == "scored"


def test_cancel_goes_through_the_service(client: Client, organiser: User, phase: Phase) -> None:
    waiting = submit(make_team(phase.challenge), phase)
    act(client, "cancel", waiting)
    assert waiting.evaluations.get().state == "cancelled"
    assert waiting.quota_lines.last().move == "refunded"


def test_a_refused_cancellation_is_reported(
    client: Client, organiser: User, scored: Submission
) -> None:
    act(client, "cancel", scored)
    page = client.get(reverse("admin:challenge_submission_changelist"))
    assert "cannot become cancelled" in page.content.decode()
    assert scored.evaluations.get().state == "scored"


@pytest.mark.parametrize("page", ["submission", "phase"])
def test_queueing_again_is_for_the_desk_alone(
    client: Client, organiser: User, scored: Submission, page: str
) -> None:
    listed = client.get(reverse(f"admin:challenge_{page}_changelist")).content.decode()
    assert '<option value="' in listed
    assert "score_again" not in listed
    assert "queue_failed" not in listed
    if page == "submission":
        act(client, "score_again", scored)
        assert scored.evaluations.count() == 1


def test_disqualifying_asks_for_a_reason(
    client: Client, organiser: User, scored: Submission
) -> None:
    asked = act(client, "disqualify", scored)
    assert b"textarea" in asked.content
    scored.refresh_from_db()
    assert scored.disqualified_at is None
    act(client, "disqualify", scored, confirmed="1", reason="external data")
    scored.refresh_from_db()
    assert scored.disqualified_reason == "external data"
    assert scored.disqualified_by == organiser
    assert AuditEvent.objects.filter(action="submission.disqualify").count() == 1
    act(client, "reinstate", scored, confirmed="1", reason="a mistake")
    scored.refresh_from_db()
    assert scored.disqualified_at is None


def test_a_phase_is_read_here_and_changed_on_the_desk(
    client: Client, organiser: User, phase: Phase
) -> None:
    url = reverse("admin:challenge_phase_change", args=[phase.pk])
    page = client.get(url).content.decode()
    assert reverse("web:desk-phase", args=[phase.challenge.slug, phase.slug]) in page
    assert client.post(url, {"name": "just text", "daily_limit": "7"}).status_code == 403
    phase.refresh_from_db()
    assert phase.daily_limit != 7
    assert isinstance(phase.name, dict)


def test_registrations_are_decided(client: Client, organiser: User, phase: Phase) -> None:
    make_team(phase.challenge)
    registration = Registration.objects.get()
    url = reverse("admin:challenge_registration_changelist")
    client.post(url, {"action": "refuse", "_selected_action": [registration.pk]})
    registration.refresh_from_db()
    assert registration.state == "refused"


def test_organisers_see_their_own_challenges_alone(
    client: Client, organiser: User, phase: Phase
) -> None:
    other = make_phase(make_challenge("other"))
    foreign = submit(make_team(other.challenge, "Foreigners"), other)
    submit(make_team(phase.challenge, "Ours"), phase)
    page = client.get(reverse("admin:challenge_submission_changelist")).content.decode()
    assert "Ours" in page
    assert "Foreigners" not in page
    url = reverse("admin:challenge_submission_change", args=[foreign.pk])
    assert client.get(url).status_code == 302
    act(client, "cancel", foreign)
    assert foreign.evaluations.get().state == "queued"
    assert client.get(reverse("admin:challenge_user_changelist")).status_code == 403
    assert client.get(reverse("admin:challenge_apitoken_changelist")).status_code == 403


def test_lists_show_no_value_of_hidden_labels_finer_than_its_step(
    client: Client, organiser: User, phase: Phase
) -> None:
    give_score(submit(make_team(phase.challenge), phase), 0.123456789)
    Phase.objects.update(closes_at=None)
    for name in ("submission", "score"):
        page = client.get(reverse(f"admin:challenge_{name}_changelist"), {"o": "5"})
        assert page.status_code in {200, 403}
        assert not re.search(r"0\.123[3-9]|0\.1234", page.content.decode()), name


def test_who_organises_nothing_sees_nothing(client: Client, scored: Submission) -> None:
    client.force_login(make_user(is_staff=True))
    url = reverse("admin:challenge_submission_changelist")
    assert client.get(url, follow=True).status_code == 403


def test_participants_are_sent_to_the_log_in(client: Client, scored: Submission) -> None:
    client.force_login(captain_of(scored.entry.team))
    assert client.get(reverse("admin:index")).status_code == 302


def test_the_trail_is_only_read(client: Client, boss: User, phase: Phase) -> None:
    AuditEvent.objects.create(at=NOON + timedelta(days=1), action="x")
    assert client.get(reverse("admin:challenge_auditevent_add")).status_code == 403


def test_the_same_pixels_under_another_account_are_shown(
    client: Client, organiser: User, phase: Phase
) -> None:
    rows = {}
    for name, digest in (("Ours", "a" * 64), ("Twins", "a" * 64), ("Others", "b" * 64)):
        rows[name] = submit(make_team(phase.challenge, name), phase)
        give_score(rows[name], 0.5)
        Score.objects.filter(evaluation__submission=rows[name]).update(content_digest=digest)
    url = reverse("admin:challenge_submission_changelist")
    found = client.get(url, {"same_pixels": "yes"}).context["cl"].queryset
    assert {row.entry.team.name for row in found} == {"Ours", "Twins"}
    page = client.get(reverse("admin:challenge_submission_change", args=[rows["Ours"].pk]))
    shown = page.content.decode()
    assert reverse("admin:challenge_submission_change", args=[rows["Twins"].pk]) in shown
    assert reverse("admin:challenge_submission_change", args=[rows["Others"].pk]) not in shown


def test_two_submissions_of_one_team_are_not_reported_as_duplicates(
    client: Client, organiser: User, phase: Phase
) -> None:
    team = make_team(phase.challenge)
    for _turn in range(2):
        give_score(submit(team, phase), 0.5)
    Score.objects.update(content_digest="a" * 64)
    url = reverse("admin:challenge_submission_changelist")
    assert not client.get(url, {"same_pixels": "yes"}).context["cl"].queryset.exists()


def test_the_admin_has_no_log_in_of_its_own(client: Client) -> None:
    make_user("boss", is_superuser=True)
    asked = client.get(reverse("admin:login") + "?next=/admin/")
    assert asked.status_code == 302
    assert asked.url.startswith(reverse("account_login"))
    assert "%2Fadmin%2F" in asked.url
    tried = client.post(reverse("admin:login"), {"username": "boss", "password": "x"})
    assert tried.status_code == 302
    assert tried.url.startswith(reverse("account_login"))


def test_a_phase_shows_until_when_its_values_are_rounded(
    client: Client, phase: Phase, organiser: User
) -> None:
    url = reverse("admin:challenge_phase_change", args=[phase.pk])

    def shown() -> str:
        return client.get(url).content.decode()

    assert f"{phase.closes_at:%Y-%m-%d %H:%M} UTC" in shown()
    assert "same labels goes on" not in shown()
    make_phase(phase.challenge, "final", ground_truth=phase.ground_truth, closes_at=None)
    phases.update_labels_open_until()
    assert "never: no end is set. Another phase on the same labels goes on" in shown()
    Phase.objects.filter(pk=phase.pk).update(precision="phase-closed")
    assert "who submits there can read them" in shown()


@pytest.mark.parametrize("name", ["apitoken", "upload", "webhookdelivery"])
@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_rows_of_people_do_not_break_for_organisers(
    client: Client, organiser: User, name: str, page: str
) -> None:
    """The admin reads the row before it asks for the permission."""
    url = reverse(f"admin:challenge_{name}_{page}", args=["1"])
    assert client.get(url).status_code in {302, 403}


def test_failed_runs_are_queued_again_once_their_number_is_confirmed(
    client: Client, boss: User, phase: Phase
) -> None:
    fields = {"recipe": "unet", "data_root": "toy", "actor": boss, "phase": phase}
    failed, waiting = (training_runs.create(**fields) for _ in range(2))  # type: ignore[arg-type]
    TrainingRun.objects.filter(pk=failed.pk).update(state="failed")
    url = reverse("admin:challenge_trainingrun_changelist")
    chosen = {"action": "queue_failed", "_selected_action": [failed.pk, waiting.pk]}
    asked = client.post(url, chosen).content.decode()
    assert "1 failed training run is queued again" in asked
    assert "1 chosen run has not failed" in asked
    assert str(waiting.pk) not in asked
    failed.refresh_from_db()
    assert failed.state == "failed"
    client.post(url, {**chosen, "_selected_action": [failed.pk], "confirmed": "1"})
    failed.refresh_from_db()
    assert failed.state == "queued"
