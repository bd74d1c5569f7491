"""The operators' admin: every list and page opens, nothing is written but through services."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from challenge.models import (
    Announcement,
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
    client: Client, boss: User, scored: Submission, name: str, query: str
) -> None:
    url = reverse(f"admin:challenge_{name}_changelist")
    assert client.get(f"{url}?{query}").status_code == 400


def test_the_lists_own_filters_work(client: Client, boss: User, scored: Submission) -> None:
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
    client: Client, boss: User, scored: Submission, name: str
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


def test_what_the_desk_does_is_not_done_here(
    client: Client, boss: User, scored: Submission
) -> None:
    """Each of these acts has one way, on the desk or on the submission's page."""
    phase = scored.entry.phase
    waiting = submit(make_team(phase.challenge), phase)
    for action in ("cancel", "disqualify", "reinstate", "score_again"):
        act(client, action, scored, waiting, confirmed="1", reason="because")
    registration = Registration.objects.filter(challenge=phase.challenge)[0]
    url = reverse("admin:challenge_registration_changelist")
    client.post(url, {"action": "refuse", "_selected_action": [registration.pk]})
    hide = reverse("admin:challenge_challenge_change", args=[phase.challenge_id])
    assert client.post(hide, {}).status_code == 403
    assert client.get(reverse("admin:challenge_announcement_add")).status_code == 403
    scored.refresh_from_db()
    registration.refresh_from_db()
    phase.challenge.refresh_from_db()
    assert scored.disqualified_at is None
    assert scored.evaluations.count() == 1
    assert waiting.evaluations.get().state == "queued"
    assert registration.state == "approved"
    assert phase.challenge.is_published


def test_rows_lead_to_the_pages_that_change_them(
    client: Client, boss: User, scored: Submission
) -> None:
    challenge = scored.entry.phase.challenge
    Announcement.objects.create(challenge=challenge, published_at=NOON, key="k")
    for row, address in (
        (challenge, reverse("web:desk", args=[challenge.slug])),
        (scored, reverse("web:desk-team", args=[challenge.slug, scored.entry.team_id])),
        (scored, reverse("web:submission", args=[scored.pk])),
        (Registration.objects.all()[0], reverse("web:desk-registrations", args=[challenge.slug])),
        (Announcement.objects.get(), reverse("web:desk-announcements", args=[challenge.slug])),
    ):
        name = f"admin:challenge_{type(row)._meta.model_name}_change"
        page = client.get(reverse(name, args=[row.pk])).content.decode()
        assert f'href="{address}"' in page, name


def test_the_first_page_is_grouped_and_has_the_sites_name(client: Client, boss: User) -> None:
    page = client.get(reverse("admin:index"))
    groups = {str(app["name"]): app["models"] for app in page.context["app_list"]}
    assert [*groups][:2] == ["Challenges", "Submissions"]
    listed = [model["object_name"] for models in groups.values() for model in models]
    assert sorted(listed) == sorted({model.__name__ for model in admin.site._registry})
    assert "FLAIR · Operation of this site" in page.content.decode()


def test_a_phase_is_read_here_and_changed_on_the_desk(
    client: Client, boss: User, phase: Phase
) -> None:
    url = reverse("admin:challenge_phase_change", args=[phase.pk])
    page = client.get(url).content.decode()
    assert reverse("web:desk-phase", args=[phase.challenge.slug, phase.slug]) in page
    assert client.post(url, {"name": "just text", "daily_limit": "7"}).status_code == 403
    phase.refresh_from_db()
    assert phase.daily_limit != 7
    assert isinstance(phase.name, dict)


def test_lists_show_no_value_of_hidden_labels_finer_than_its_step(
    client: Client, boss: User, phase: Phase
) -> None:
    give_score(submit(make_team(phase.challenge), phase), 0.123456789)
    Phase.objects.update(closes_at=None)
    for name in ("submission", "score"):
        page = client.get(reverse(f"admin:challenge_{name}_changelist"), {"o": "5"})
        assert page.status_code in {200, 403}
        assert not re.search(r"0\.123[3-9]|0\.1234", page.content.decode()), name


def test_the_flag_of_staff_opens_nothing(client: Client, scored: Submission) -> None:
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
    client: Client, boss: User, phase: Phase
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
    client: Client, boss: User, phase: Phase
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
    client: Client, phase: Phase, boss: User
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


@pytest.mark.parametrize("name", ["apitoken", "upload", "webhookdelivery", "submission"])
@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_no_row_opens_for_organisers(client: Client, phase: Phase, name: str, page: str) -> None:
    """The admin reads the row before it asks for the permission."""
    client.force_login(make_organiser(phase.challenge))
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
