from __future__ import annotations

import pytest
from django.test import Client


@pytest.mark.django_db
def test_healthy_when_database_and_cache_answer(client: Client) -> None:
    answer = client.get("/healthz")

    assert (answer.status_code, answer.content) == (200, b"ok\n")
