"""The next edition: same task, pages and labels, other dates, nobody in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from challenge.errors import NotAllowed
from challenge.models import Challenge, Entry, GroundTruth, Phase, Registration, Submission, User
from challenge.rules.roles import Role
from challenge.services.challenges import cloning
from challenge.services.challenges.cloning import Clone
from tests import factories
from tests.web.conftest import visit

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 6, 1, tzinfo=UTC)
TITLE = {"en": "ABC 2027", "fr": "ABC 2027"}
__all__ = ["visit"]


@pytest.fixture
def phase(db: None) -> Phase:
    """An open phase with a submission, on Paris time."""
    challenge = factories.make_challenge(time_zone="Europe/Paris", facts={"held_from": "2026"})
    challenge.pages.create(slug="rules", language="en", title="Rules", markdown="Be kind.")
    made = factories.make_phase(
        challenge,
        opens_at=datetime(2026, 5, 1, 10, tzinfo=UTC),
        closes_at=datetime(2026, 10, 26, 11, tzinfo=UTC),
        daily_limit=3,
        frozen_at=NOW,
    )
    factories.submit(factories.make_team(challenge), made, at=NOW)
    return made


@pytest.fixture
def owner(phase: Phase) -> User:
    user = factories.make_user(is_superuser=True)
    return factories.make_organiser(phase.challenge, user)


def next_edition(phase: Phase, actor: User, **changes: object) -> Clone:
    given = {"slug": "abc-2027", "title": TITLE, "days": 364, "now": NOW} | changes
    return cloning.clone(challenge=phase.challenge, actor=actor, **given)  # type: ignore[arg-type]


def test_all_but_people_submissions_and_dates_is_copied(phase: Phase, owner: User) -> None:
    made = next_edition(phase, owner)
    copied = Phase.objects.get(challenge=made.challenge)
    assert (made.challenge.title, made.challenge.is_published) == (TITLE, False)
    assert made.challenge.facts["held_from"] == ""
    assert made.challenge.pages.get().markdown == "Be kind."
    assert made.challenge.page_versions.count() == 1
    assert (copied.daily_limit, copied.is_published, copied.frozen_at) == (3, False, None)
    assert copied.task_spec is not None
    assert copied.task_spec.data["id"] == "abc-2027"
    # 12:00 in Paris stays 12:00, though 364 days before the clocks had not changed yet.
    assert copied.opens_at == datetime(2027, 4, 30, 10, tzinfo=UTC)
    assert copied.closes_at == datetime(2027, 10, 25, 10, tzinfo=UTC)
    assert made.challenge.roles.get().user == owner
    for model in (Entry, Submission, Registration):
        assert model.objects.count() == 1


def test_hidden_labels_are_used_again_by_their_digest(phase: Phase, owner: User) -> None:
    made = next_edition(phase, owner)
    before, after = GroundTruth.objects.order_by("pk")
    assert made.same_labels == ["test"]
    assert (after.digest, after.store_name) == (before.digest, before.store_name)
    assert after.rounding_key == before.rounding_key
    assert after.commitment_key != before.commitment_key
    phase.refresh_from_db()
    # The former edition's values stay rounded as long as the new one runs on these labels.
    assert phase.labels_open_until == Phase.objects.get(challenge=made.challenge).closes_at


def test_labels_whose_values_left_in_full_are_not_used_again(phase: Phase, owner: User) -> None:
    GroundTruth.objects.update(full_precision_at=NOW)
    made = next_edition(phase, owner)
    copied = Phase.objects.get(challenge=made.challenge)
    assert made.needs_labels == ["test"]
    assert copied.ground_truth is None
    assert list(copied.public_patches) == []
    phase.refresh_from_db()
    assert phase.labels_open_until is None


def test_a_time_that_clocks_skip_is_told(phase: Phase, owner: User) -> None:
    opens_at = datetime(2026, 3, 28, 1, 30, tzinfo=UTC)  # 02:30 in Paris
    Phase.objects.update(opens_at=opens_at)
    made = next_edition(phase, owner, days=365)
    copied = Phase.objects.get(challenge=made.challenge)
    assert made.moved_in_hours == ["test"]
    assert copied.opens_at == opens_at + timedelta(days=365)


def test_who_may_not_create_or_does_not_own_may_not(phase: Phase, owner: User) -> None:
    plain = factories.make_organiser(phase.challenge)
    editor = factories.make_organiser(phase.challenge, role=Role.EDITOR)
    for person in (plain, editor):
        with pytest.raises(NotAllowed):
            next_edition(phase, person)
    assert Challenge.objects.count() == 1


def test_the_page_makes_it_and_tells_what_is_missing(phase: Phase, owner: User, visit) -> None:  # type: ignore[no-untyped-def]
    client = visit(owner)
    url = reverse("web:desk-clone", args=[phase.challenge.slug])
    sent = {"title_en": "A", "title_fr": "A", "slug": "abc", "days": "364"}
    assert "is taken" in client.post(url, sent).content.decode()
    assert (
        "1 to 3660 days"
        in client.post(url, sent | {"slug": "abc-2027", "days": "0"}).content.decode()
    )
    done = client.post(url, sent | {"slug": "abc-2027"}, follow=True).content.decode()
    assert "On the same labels as before: test" in done
