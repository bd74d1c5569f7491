"""Everybody × every address: the table is the law, and no open phase leaks a value."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from challenge.errors import Conflict
from challenge.models import Phase
from tests.factories import change_phase, make_phase, make_user
from tests.permissions.table import TABLE
from tests.permissions.world import (
    LEAK,
    ROLES,
    Visitor,
    World,
    address,
    admin_routes,
    body_for,
    body_of,
    make_world,
    routes,
    visitor,
)

pytestmark = pytest.mark.django_db
# The value of the world's score in steps; not the end of a time such as 17:04:10.123456.
ROUNDED = re.compile(r"(?<!\d)0\.123|(?<!\d)(?<!\d:)12\.30")
HIDDEN = {301, 302, 401, 403, 404, 405}


def read_table() -> dict[tuple[str, str], list[int]]:
    rows = {}
    for line in TABLE.splitlines():
        if line:
            method, *route, a, r, m, c, o, s = line.split()
            rows[method, "".join(route)] = [int(code) for code in (a, r, m, c, o, s)]
    return rows


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    rows, there = set(read_table()), set(routes())
    assert not there - rows, f"no row in tests/permissions/table.py for {sorted(there - rows)}"
    assert not rows - there, f"no route any more for {sorted(rows - there)}"


@pytest.mark.parametrize("role", ROLES)
def test_everybody_gets_what_the_table_says(role: str) -> None:
    world = make_world()
    person = visitor(role, world)
    expected = read_table()
    wrong, leaks = [], []
    for method, route in routes():
        answer = person.ask(method, address(route, world), body_for(method, route, world))
        wanted = expected.get((method, route), [0] * 6)[ROLES.index(role)]
        if answer.status_code != wanted:
            wrong.append(f"{method} {route}: found {answer.status_code}, the table says {wanted}")
        leaks += [f"{method} {route}: {found}" for found in LEAK.findall(body_of(answer))]
    assert not wrong, "\n".join(wrong)
    assert not leaks, "values of an open phase left the server:\n" + "\n".join(leaks)


def leaks_of(world: World, role: str) -> list[str]:
    """Values finer than their step, or counts, that anybody in this role is told."""
    person = visitor(role, world)
    told = []
    for method, route in routes():
        if method == "GET":
            answer = person.ask(method, address(route, world))
            told += [f"{route}: {found}" for found in LEAK.findall(body_of(answer))]
    return told


@pytest.mark.parametrize("role", ROLES)
def test_a_closed_phase_waits_for_the_others_on_its_labels(role: str) -> None:
    """The first to close would tell in full what the other still asks for."""
    world = make_world()
    now = timezone.now()
    other = make_phase(
        world.challenge,
        "final",
        ground_truth=world.phase.ground_truth,
        opens_at=now - timedelta(days=1),
        closes_at=now + timedelta(days=9),
    )
    close = {"closes_at": now - timedelta(minutes=1)}
    organiser = world.people["organiser"]
    change_phase(world.phase, organiser, close)
    assert not leaks_of(world, role), "told while another phase on these labels is open"
    change_phase(other, organiser, close)
    assert leaks_of(world, role), "everything is closed: the values are to be told"
    with pytest.raises(Conflict, match="full precision"):
        change_phase(other, organiser, {"closes_at": None})


def test_an_organiser_may_disclose_full_precision_at_the_phases_own_close() -> None:
    world = make_world()
    make_phase(
        world.challenge,
        "final",
        ground_truth=world.phase.ground_truth,
        opens_at=timezone.now(),
        closes_at=None,
    )
    changes = {"closes_at": timezone.now() - timedelta(minutes=1), "precision": "phase-closed"}
    change_phase(world.phase, world.people["organiser"], changes)
    assert leaks_of(world, "anonymous")


@pytest.mark.parametrize(
    ("role", "detail"), [("anonymous", "miou"), ("captain", "miou"), ("captain", "classes")]
)
def test_no_more_detail_leaves_than_the_organiser_chose(role: str, detail: str) -> None:
    world = make_world(detail=detail)
    person = visitor(role, world)
    told = []
    for method, route in routes():
        if method != "GET":
            continue
        text = body_of(person.ask(method, address(route, world)))
        # Precision and recall of the card are 0.7123… and 0.8123…, the row shares 0.75 and 1.
        if re.search(r'"confusion_rows":\s*\[', text):
            told.append(f"{route}: the matrix")
        if detail == "miou" and ("0.8123" in text or "81.23" in text):
            told.append(f"{route}: recall")
    assert not told, "\n".join(told)


@pytest.mark.parametrize("role", ["anonymous", "captain"])
def test_a_board_for_organisers_shows_no_score_to_others(role: str) -> None:
    world = make_world(visibility="organisers")
    person = visitor(role, world)
    told = []
    for method, route in routes():
        if method == "GET":
            text = body_of(person.ask(method, address(route, world)))
            if LEAK.search(text) or ROUNDED.search(text):
                told.append(route)
    assert not told


@pytest.mark.parametrize("hide", ["challenge", "phase"])
@pytest.mark.parametrize("role", ["anonymous", "captain", "staff"])
def test_what_is_unpublished_is_there_for_its_organisers_alone(role: str, hide: str) -> None:
    world = make_world()
    hidden = world.challenge if hide == "challenge" else world.phase
    hidden.is_published = False
    hidden.save()
    person = visitor(role, world)
    seen = []
    for method, route in routes():
        inside = "<slug" in route and (hide == "challenge" or "phase" in route)
        if not inside or route.startswith("api/v1/organise"):
            continue
        answer = person.ask(method, address(route, world), body_for(method, route, world))
        if answer.status_code not in HIDDEN:
            seen.append(f"{method} {route}: {answer.status_code}")
    assert not seen, "\n".join(seen)
    for method, route in [("GET", ""), ("GET", "api/v1/challenges")]:
        text = body_of(person.ask(method, address(route, world)))
        if hide == "challenge":
            assert "/abc/" not in text


def test_the_admin_rounds_values_of_an_open_phase_like_the_pages() -> None:
    make_world()
    person = Visitor(make_user("operator", is_superuser=True))
    leaks, opened = [], 0
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.first()
        urls = [reverse(f"{name}_changelist")]
        urls += [reverse(f"{name}_change", args=[row.pk])] if row is not None else []
        for url in urls:
            answer = person.ask("GET", url)
            opened += answer.status_code == 200
            leaks += [f"{url}: {found}" for found in LEAK.findall(body_of(answer))]
    assert not leaks, "\n".join(leaks)
    assert opened > 10


@pytest.mark.parametrize("role", ["anonymous", "captain", "organiser"])
def test_the_admin_is_for_operators(role: str) -> None:
    world = make_world()
    person = visitor(role, world)
    opened = []
    for route in admin_routes():
        url = "/" + route
        for pattern in ("<path:object_id>", "<id>", "<path:content_type_id>"):
            url = url.replace(pattern, "1")
        if "<" in url or "(?P" in url or url == "/admin/login/":
            continue
        if person.ask("GET", url).status_code not in {301, 302, 403, 404}:
            opened.append(route)
    assert not opened
    assert Phase.objects.count() == 1
