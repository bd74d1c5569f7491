"""The digest of hidden labels leaves nowhere; after the close it opens what was committed to."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from challenge.models import AuditEvent, Phase
from challenge.rules import commitments
from tests.factories import make_user
from tests.permissions.world import Visitor, World, address, body_of, make_world, routes, visitor

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ["anonymous", "captain", "organiser", "operator"])
def test_no_answer_has_the_digest_of_hidden_labels(role: str) -> None:
    world = make_world()
    truth = world.phase.ground_truth
    assert truth is not None
    # as earlier releases installed labels
    truth.store_name = f"abc-test-v1-{truth.digest[:12]}.truth"
    truth.save()
    AuditEvent.objects.create(
        at=timezone.now(),
        action="ground_truth.install",
        challenge=world.challenge,
        data={"version": 1, "digest": truth.digest},
    )
    operator = Visitor(make_user(is_superuser=True))
    person = operator if role == "operator" else visitor(role, world)
    urls = [address(route, world) for method, route in routes() if method == "GET"]
    if role == "operator":
        for model in admin.site._registry:
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            urls.append(reverse(f"{name}_changelist"))
            row = model._default_manager.first()
            urls += [reverse(f"{name}_change", args=[row.pk])] if row is not None else []
    texts = {url: body_of(person.ask("GET", url)) for url in urls}
    assert role != "operator" or len(urls) > 10
    secrets = (truth.digest[:12], truth.commitment_key[:12])
    assert not [url for url, text in texts.items() if any(part in text for part in secrets)]
    assert [url for url, text in texts.items() if truth.commitment in text]


def labels(world: World) -> dict[str, object]:
    url = f"/api/v1/challenges/{world.challenge.slug}/phases/{world.phase.slug}/labels"
    answer = visitor("anonymous", world).ask("GET", url)
    assert answer.status_code == 200
    (version,) = answer.json()["items"]
    return dict(version)


def test_the_close_opens_the_commitment() -> None:
    world = make_world()
    before = labels(world)
    assert (before["digest"], before["commitment_key"]) == (None, None)
    Phase.objects.update(closes_at=timezone.now() - timedelta(minutes=1))
    after = labels(world)
    assert after["commitment"] == before["commitment"]
    assert commitments.opens(
        str(before["commitment"]),
        digest=str(after["digest"]),
        key=str(after["commitment_key"]),
    )


def test_each_set_of_labels_has_a_key_of_its_own() -> None:
    world = make_world()
    truth = world.phase.ground_truth
    assert truth is not None
    other = type(truth)(digest=truth.digest)
    assert other.commitment != truth.commitment


@pytest.mark.parametrize("key", ["", "00", "zz" * 32])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"found|hexadecimal"):
        commitments.commitment("ab", key=key)
