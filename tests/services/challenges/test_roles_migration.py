"""Who organised a challenge before there were roles is its owner afterwards, and back."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

BEFORE, AFTER = (
    [("challenge", name)] for name in ("0014_announcement_mails", "0015_challenge_roles")
)


@pytest.mark.django_db(transaction=True)
def test_organisers_become_owners_and_back() -> None:
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes("challenge")
    try:
        MigrationExecutor(connection).migrate(BEFORE)
        old = MigrationExecutor(connection).loader.project_state(BEFORE).apps
        challenge = old.get_model("challenge", "Challenge").objects.create(slug="abc")
        people = old.get_model("challenge", "User")
        olive = people.objects.create(username="olive", email="olive@example.org")
        people.objects.create(username="ada", email="ada@example.org")
        challenge.organisers.add(olive)
        ranked = {"challenge": challenge, "opens_at": timezone.now(), "ranked_at": timezone.now()}
        with_her, without = (
            old.get_model("challenge", "Phase").objects.create(slug=slug, **ranked)
            for slug in ("with-her", "without")
        )
        team = old.get_model("challenge", "Team").objects.create(challenge=challenge, name="Larch")
        team.memberships.create(user=olive, challenge=challenge)
        team.entries.create(phase=with_her)
        MigrationExecutor(connection).migrate(AFTER)
        new = MigrationExecutor(connection).loader.project_state(AFTER).apps
        phases = new.get_model("challenge", "Phase").objects
        [row] = new.get_model("challenge", "ChallengeRole").objects.all()
        assert (row.challenge_id, row.user_id, row.role) == (challenge.pk, olive.pk, "owner")
        assert row.expires_at is None
        assert phases.get(pk=with_her.pk).ranked_at is None, "she ranks no longer"
        assert phases.get(pk=without.pk).ranked_at is not None
        MigrationExecutor(connection).migrate(BEFORE)
        assert [one.pk for one in challenge.organisers.all()] == [olive.pk]
    finally:
        MigrationExecutor(connection).migrate(latest)
