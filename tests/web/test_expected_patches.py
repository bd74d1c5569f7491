"""The browser's check and `flair check` expect the same patches."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from challenge.models import Phase


def expected_by_page(client: Client, phase: Phase) -> list[str]:
    url = reverse("web:check-data", args=[phase.challenge.slug, phase.slug])
    ids: list[str] = client.get(url).json()["ids"]
    return ids


def expected_by_command(client: Client, phase: Phase) -> list[str]:
    url = f"/api/v1/challenges/{phase.challenge.slug}/phases/{phase.slug}/task"
    return [row[2] for row in client.get(url).json()["task"]["expected"]]


@pytest.mark.parametrize("known_from", ["ground truth", "announcement", "task"])
def test_page_and_command_expect_the_same_patches(
    phase: Phase, client: Client, known_from: str
) -> None:
    if known_from != "ground truth":
        phase.ground_truth = None
    phase.public_patches = [["a1", "D001_2020", "z1"]] if known_from == "announcement" else []
    phase.save()
    if known_from == "task":
        spec = phase.task_spec
        spec.data["expected"] = [["D001_2020", "z1", "t1"], ["D001_2020", "z1", "t2"]]
        spec.save()
    found = expected_by_page(client, phase)
    assert found == expected_by_command(client, phase)
    assert found
