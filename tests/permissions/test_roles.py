"""Act × role × own, other and draft challenge; and every organisers' route for every role."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from challenge.embedded.data_folder import ROOT
from challenge.errors import NotAllowed
from challenge.models import Challenge, User
from challenge.rules.roles import Act, Role
from challenge.selectors import roles
from challenge.services.accounts import tokens
from tests.factories import make_challenge, make_organiser, make_user
from tests.permissions.table import TABLE
from tests.permissions.world import Visitor, World, address, body_for, make_world, routes

pytestmark = pytest.mark.django_db

# What each role allows, written out once more: owner, editor, judge, observer.
ALLOWED = """
read      yes yes yes yes
pages     yes yes no  no
phases    yes yes no  no
training  yes yes no  no
people    yes no  yes no
verdicts  yes no  yes no
finals    yes no  yes no
rescore   yes no  yes no
archives  yes no  yes no
export    yes no  yes no
export-all yes no no no
labels    yes no  no  no
publish   yes no  no  no
roles     yes no  no  no
"""
# The act of each route that is for organisers; a route that is missing here fails the test.
ACT_OF = {
    "GET api/v1/organise/challenges/<slug>/export": Act.EXPORT_ALL,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>/archives": Act.ARCHIVES,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>/comparison": Act.READ,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/comparison": Act.VERDICTS,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>/export": Act.EXPORT,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>/leaderboard.tex": Act.EXPORT,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>/result": Act.READ,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/result": Act.FINALS,
    "GET api/v1/organise/challenges/<slug>/announcements": Act.READ,
    "POST api/v1/organise/challenges/<slug>/announcements": Act.PAGES,
    "DELETE api/v1/organise/challenges/<slug>/announcements/<announcement_id>": Act.PAGES,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>/certificates": Act.READ,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>/certificates.zip": Act.EXPORT,
    "DELETE api/v1/organise/challenges/<slug>/phases/<phase>/comparison": Act.VERDICTS,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>/copies/<target>": Act.READ,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/copies/<target>": Act.FINALS,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>/documents": Act.READ,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/documents": Act.FINALS,
    "PATCH api/v1/organise/challenges/<slug>/documents/<request_id>": Act.FINALS,
    "POST api/v1/organise/challenges/<slug>/documents/<request_id>": Act.FINALS,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>/reveal": Act.READ,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/reveal": Act.FINALS,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>/rescores": Act.READ,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/rescores": Act.LABELS,
    "DELETE api/v1/organise/challenges/<slug>/phases/<phase>/rescores": Act.LABELS,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/rescores/missing": Act.LABELS,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/rescores/preview": Act.LABELS,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/rescores/publish": Act.LABELS,
    "GET api/v1/organise/challenges/<slug>/admission": Act.PEOPLE,
    "PATCH api/v1/organise/challenges/<slug>/admission": Act.PEOPLE,
    "POST api/v1/organise/challenges/<slug>/admission": Act.PEOPLE,
    "DELETE api/v1/organise/challenges/<slug>/admission/<entry_id>": Act.PEOPLE,
    "POST api/v1/organise/challenges/<slug>/admission/check": Act.PEOPLE,
    "DELETE api/v1/organise/challenges/<slug>/grants/<grant_id>": Act.PEOPLE,
    "PATCH api/v1/organise/challenges/<slug>/languages": Act.PAGES,
    "GET api/v1/organise/challenges/<slug>/messages": Act.READ,
    "POST api/v1/organise/challenges/<slug>/messages": Act.PEOPLE,
    "GET api/v1/organise/challenges/<slug>/messages/<message_id>": Act.READ,
    "POST api/v1/organise/challenges/<slug>/messages/preview": Act.PEOPLE,
    "POST api/v1/organise/challenges/<slug>/messages/test": Act.PEOPLE,
    "POST api/v1/organise/challenges/<slug>/phases": Act.PHASES,
    "GET api/v1/organise/challenges/<slug>/phases/<phase>": Act.READ,
    "PATCH api/v1/organise/challenges/<slug>/phases/<phase>": Act.PHASES,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/preview": Act.PHASES,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/settle": Act.PUBLISH,
    "POST api/v1/organise/challenges/<slug>/role-invitations": Act.ROLES,
    "DELETE api/v1/organise/challenges/<slug>/role-invitations/<invitation_id>": Act.ROLES,
    "GET api/v1/organise/challenges/<slug>/roles": Act.READ,
    "DELETE api/v1/organise/challenges/<slug>/roles/<username>": Act.ROLES,
    "PATCH api/v1/organise/challenges/<slug>/roles/<username>": Act.ROLES,
    "GET api/v1/organise/challenges/<slug>/teams": Act.READ,
    "POST api/v1/organise/challenges/<slug>/teams/<team_id>/disqualify": Act.VERDICTS,
    "GET api/v1/organise/challenges/<slug>/teams/<team_id>/grants": Act.READ,
    "POST api/v1/organise/challenges/<slug>/teams/<team_id>/grants": Act.PEOPLE,
    "POST api/v1/organise/challenges/<slug>/teams/<team_id>/reinstate": Act.VERDICTS,
    "PATCH api/v1/organise/challenges/<slug>/time-zone": Act.PHASES,
    "GET api/v1/organise/challenges/<slug>/registrations": Act.PEOPLE,
    "GET api/v1/organise/challenges/<slug>/submissions": Act.READ,
    "POST api/v1/organise/challenges/<slug>/phases/<phase>/rescore": Act.RESCORE,
    "POST api/v1/organise/challenges/<slug>/registrations/<registration_id>": Act.PEOPLE,
    "POST api/v1/organise/submissions/<submission_id>/disqualify": Act.VERDICTS,
    "POST api/v1/organise/submissions/<submission_id>/reinstate": Act.VERDICTS,
    "POST api/v1/organise/submissions/<submission_id>/rescore": Act.RESCORE,
    "DELETE api/v1/submissions/<submission_id>/archive": Act.VERDICTS,
    "GET api/v1/challenges/<slug>/downloads": Act.READ,
    "GET api/v1/submissions/<submission_id>": Act.READ,
    "GET api/v1/submissions/<submission_id>/archive": Act.ARCHIVES,
    "GET api/v1/submissions/<submission_id>/receipt": Act.READ,
    "GET api/v1/submissions/<submission_id>/score": Act.READ,
    "POST api/v1/submissions/<submission_id>/cancel": Act.VERDICTS,
    "GET challenges/<slug:slug>/desk/": Act.READ,
    "GET challenges/<slug:slug>/desk/labels/": Act.READ,
    # An act that there is none of; the true ones: tests/labels/test_page.py.
    "POST challenges/<slug:slug>/desk/labels/<str:act>/": Act.READ,
    "GET challenges/<slug:slug>/desk/phases/": Act.READ,
    "POST challenges/<slug:slug>/desk/phases/": Act.PHASES,
    "GET challenges/<slug:slug>/desk/phases/<slug:phase_slug>/certificates.zip": Act.EXPORT,
    "GET challenges/<slug:slug>/desk/phases/<slug:phase_slug>/copy/": Act.READ,
    "POST challenges/<slug:slug>/desk/phases/<slug:phase_slug>/copy/": Act.FINALS,
    "GET challenges/<slug:slug>/desk/phases/<slug:phase_slug>/kit/": Act.READ,
    "POST challenges/<slug:slug>/desk/phases/<slug:phase_slug>/kit/": Act.PHASES,
    "GET challenges/<slug:slug>/desk/phases/<slug:phase_slug>/documents/": Act.READ,
    "POST challenges/<slug:slug>/desk/phases/<slug:phase_slug>/documents/": Act.FINALS,
    "GET challenges/<slug:slug>/desk/phases/<slug:phase_slug>/duplicates/": Act.READ,
    "POST challenges/<slug:slug>/desk/phases/<slug:phase_slug>/duplicates/": Act.VERDICTS,
    "GET challenges/<slug:slug>/desk/phases/<slug:phase_slug>/result/": Act.READ,
    "POST challenges/<slug:slug>/desk/phases/<slug:phase_slug>/result/": Act.FINALS,
    "GET challenges/<slug:slug>/desk/phases/<slug:phase_slug>/": Act.READ,
    "POST challenges/<slug:slug>/desk/phases/<slug:phase_slug>/": Act.PHASES,
    "POST challenges/<slug:slug>/desk/phases/<slug:phase_slug>/settle/": Act.PUBLISH,
    "GET challenges/<slug:slug>/desk/phases/new/": Act.PHASES,
    "POST challenges/<slug:slug>/desk/phases/new/": Act.PHASES,
    "GET challenges/<slug:slug>/desk/export.zip": Act.EXPORT_ALL,
    "GET challenges/<slug:slug>/desk/export/": Act.EXPORT_ALL,
    "GET challenges/<slug:slug>/desk/launch/": Act.READ,
    "POST challenges/<slug:slug>/desk/launch/": Act.PUBLISH,
    "GET challenges/<slug:slug>/desk/task/": Act.LABELS,
    "POST challenges/<slug:slug>/desk/task/": Act.LABELS,
    "GET challenges/<slug:slug>/desk/announcements/": Act.READ,
    "POST challenges/<slug:slug>/desk/announcements/": Act.PAGES,
    "GET challenges/<slug:slug>/desk/pages/": Act.READ,
    "POST challenges/<slug:slug>/desk/pages/": Act.PAGES,
    "GET challenges/<slug:slug>/desk/pages/<slug:page_slug>/<slug:language>/": Act.PAGES,
    "POST challenges/<slug:slug>/desk/pages/<slug:page_slug>/<slug:language>/": Act.PAGES,
    "GET challenges/<slug:slug>/desk/versions/<int:pk>/": Act.PAGES,
    "POST challenges/<slug:slug>/desk/versions/<int:pk>/": Act.PAGES,
    "GET challenges/<slug:slug>/desk/preview/<slug:page_slug>/": Act.READ,
    "GET challenges/<slug:slug>/desk/people/": Act.READ,
    # An act that there is none of; the true ones: tests/web/test_desk.py.
    "POST challenges/<slug:slug>/desk/people/<str:act>/": Act.READ,
    "GET challenges/<slug:slug>/desk/people/admission/": Act.PEOPLE,
    # An act that there is none of; the true ones: tests/web/test_desk_registrations.py.
    "POST challenges/<slug:slug>/desk/people/admission/<str:act>/": Act.READ,
    "GET challenges/<slug:slug>/desk/people/messages/": Act.READ,
    "GET challenges/<slug:slug>/desk/people/messages/<int:pk>/": Act.READ,
    # An act that there is none of; the true ones: tests/web/test_desk_messages.py.
    "POST challenges/<slug:slug>/desk/people/messages/<str:act>/": Act.READ,
    "GET challenges/<slug:slug>/desk/people/registrations/": Act.READ,
    "POST challenges/<slug:slug>/desk/people/registrations/<int:pk>/": Act.PEOPLE,
    "GET challenges/<slug:slug>/desk/people/teams/": Act.READ,
    "GET challenges/<slug:slug>/desk/people/teams/<int:pk>/": Act.READ,
    # An act that there is none of; the true ones: tests/web/test_desk_teams.py.
    "POST challenges/<slug:slug>/desk/people/teams/<int:pk>/<str:act>/": Act.READ,
    "GET challenges/<slug:slug>/desk/health/": Act.READ,
    "GET challenges/<slug:slug>/desk/scores/": Act.READ,
    "GET challenges/<slug:slug>/desk/scores/<slug:phase_slug>/": Act.READ,
    # An act that there is none of; the true ones: tests/web/test_desk_scores.py.
    "POST challenges/<slug:slug>/desk/scores/<slug:phase_slug>/<str:act>/": Act.READ,
    "GET challenges/<slug:slug>/desk/scores/<slug:phase_slug>/archives.zip": Act.ARCHIVES,
    "GET challenges/<slug:slug>/desk/scores/<slug:phase_slug>/leaderboard.tex": Act.EXPORT,
    "GET challenges/<slug:slug>/desk/scores/<slug:phase_slug>/submissions.csv": Act.EXPORT,
    "GET challenges/<slug:slug>/desk/scores/<slug:phase_slug>/submissions.json": Act.EXPORT,
    "GET challenges/<slug:slug>/desk/trail.csv": Act.PEOPLE,
    "GET challenges/<slug:slug>/desk/trail/": Act.PEOPLE,
    "GET challenges/<slug:slug>/training/": Act.READ,
    "POST challenges/<slug:slug>/training/": Act.TRAINING,
    "GET challenges/<slug:slug>/training/<uuid:run_id>/": Act.READ,
    "POST challenges/<slug:slug>/training/<uuid:run_id>/cancel/": Act.TRAINING,
    "GET challenges/<slug:slug>/training/<uuid:run_id>/live/": Act.READ,
    "POST challenges/<slug:slug>/training/<uuid:run_id>/requeue/": Act.TRAINING,
    "GET challenges/<slug:slug>/training/compare/": Act.READ,
    "GET submissions/<uuid:pk>/": Act.READ,
    "GET submissions/<uuid:pk>/archive/": Act.ARCHIVES,
    # Tells on the submission's page what the service refuses.
    "POST submissions/<uuid:pk>/archive/remove/": Act.READ,
    "POST submissions/<uuid:pk>/cancel/": Act.READ,
    "POST submissions/<uuid:pk>/final/": Act.READ,
    "GET submissions/<uuid:pk>/card.json": Act.READ,
    "GET submissions/<uuid:pk>/live/": Act.READ,
    "GET submissions/<uuid:pk>/receipt.json": Act.READ,
}


def allowed() -> dict[tuple[Act, Role], bool]:
    rows = {}
    for line in ALLOWED.strip().splitlines():
        act, *answers = line.split()
        for role, answer in zip(Role, answers, strict=True):
            rows[Act(act), role] = answer == "yes"
    return rows


def test_every_act_has_a_row() -> None:
    assert {act for act, _role in allowed()} == set(Act)


@pytest.mark.parametrize("role", Role)
def test_a_role_allows_its_acts_in_its_own_challenge_alone(role: Role) -> None:
    own = {True: make_challenge("own"), False: make_challenge("draft", is_published=False)}
    others = [make_challenge("other"), make_challenge("other-draft", is_published=False)]
    person = make_user()
    for challenge in own.values():
        make_organiser(challenge, person, role)
    for act in Act:
        for challenge in own.values():
            assert roles.may(person, act, challenge) is allowed()[act, role], (act, challenge)
        for challenge in others:
            assert not roles.may(person, act, challenge), (act, challenge)
            with pytest.raises(NotAllowed, match="organisers of"):
                roles.require(person, act, challenge)
    assert set(roles.challenges_of(person)) == set(own.values())


def test_nobody_else_may_anything_and_the_operator_may_all() -> None:
    challenge = make_challenge()
    owner = make_organiser(challenge)
    gone = make_organiser(challenge, expires_at=timezone.now() - timedelta(seconds=1))
    owner_off = make_organiser(challenge)
    User.objects.filter(pk=owner_off.pk).update(is_active=False)
    for act in Act:
        for person in (None, make_user(is_staff=True), gone, User.objects.get(pk=owner_off.pk)):
            assert not roles.may(person, act, challenge)
        assert roles.may(owner, act, challenge)
        assert roles.may(make_user(is_superuser=True), act, challenge)


@pytest.mark.parametrize(("scopes", "acts"), [(["read"], {Act.READ}), (["submit"], set()),
                                              (["organise"], set(Act))])  # fmt: skip
def test_a_token_allows_no_more_than_its_scopes(scopes: list[str], acts: set[Act]) -> None:
    challenge = make_challenge()
    person = make_organiser(challenge)
    person.request_facts.scopes = frozenset(scopes)
    assert {act for act in Act if roles.may(person, act, challenge)} == acts
    for act in set(Act) - acts:
        with pytest.raises(NotAllowed) as refused:
            roles.require(person, act, challenge)
        assert refused.value.code == "token-scope-missing"


def test_a_token_to_read_changes_nothing_of_another_team() -> None:
    world = make_world()
    person = world.people["organiser"]
    _row, plain = tokens.create(user=person, name="t", scopes=["read", "submit"])
    visitor = Visitor(person)
    visitor.script = {"Authorization": f"Bearer {plain}"}
    url = f"/api/v1/submissions/{world.submission.pk}"
    assert visitor.ask("GET", url).status_code == 200
    for method, address_ in (("POST", f"{url}/cancel"), ("DELETE", f"{url}/archive"),
                             ("GET", f"{url}/archive")):  # fmt: skip
        answer = visitor.ask(method, address_)
        assert answer.status_code == 403, address_
        assert answer.json()["code"] == "token-scope-missing"


def organisers_routes() -> dict[tuple[str, str], tuple[int, int]]:
    """The routes where the table's organiser and a stranger get different answers, and both."""
    found = {}
    for line in TABLE.strip().splitlines():
        method, *route, _a, _r, _m, _c, organiser, staff = line.split()
        if "".join(route) == "api/v1/uploads":
            continue  # of no challenge: who organises one may upload
        if organiser != staff or "api/v1/organise/" in "".join(route):
            found[method, "".join(route)] = (int(organiser), int(staff))
    return found


def test_every_route_of_organisers_names_its_act() -> None:
    assert {" ".join(route) for route in organisers_routes()} == set(ACT_OF)


def _wrong(
    world: World, person: User, wanted: dict[tuple[str, str], set[int]], **changed: str
) -> list[str]:
    visitor = Visitor(person)
    wrong = []
    for method, route in routes():
        if (method, route) not in wanted:
            continue
        url = address(route, world, **changed)
        found = visitor.ask(method, url, body_for(method, route, world)).status_code
        if found not in wanted[method, route]:
            wrong.append(f"{method} {route}: {found}, wanted {wanted[method, route]}")
    return wrong


@pytest.mark.parametrize("draft", [False, True])
@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OWNER])
def test_every_route_of_organisers_for_every_role(role: Role, draft: bool) -> None:
    world = make_world()
    person = make_organiser(world.challenge, role=role)
    Challenge.objects.update(is_published=not draft)
    wanted = {
        (method, route): {organiser} if allowed()[ACT_OF[f"{method} {route}"], role] else {403}
        for (method, route), (organiser, _staff) in organisers_routes().items()
    }
    assert not _wrong(world, person, wanted)


@pytest.mark.parametrize("draft", [False, True])
def test_no_route_of_organisers_is_for_owners_of_another_challenge(draft: bool) -> None:
    world = make_world()
    person = make_organiser(make_challenge("other"))
    Challenge.objects.filter(pk=world.challenge.pk).update(is_published=not draft)
    wanted = {
        route: {404} if draft else {stranger}
        for route, (_organiser, stranger) in organisers_routes().items()
    }
    assert not _wrong(world, person, wanted)


# Who reads what opens something: these, and nothing else.
READERS = {
    "challenge/selectors/roles.py",
    "challenge/services/challenges/roles.py",
    "challenge/models/__init__.py",
    "challenge/models/roles.py",
}
# Names of columns in the operator's list of accounts, and the made-up operator of the demo.
COLUMNS = {
    "challenge/admin/people.py",
    "challenge/demo/people.py",
    "challenge/services/exports/imported_rows.py",
    "challenge/services/exports/rows.py",
}


def test_nothing_else_reads_roles_or_is_staff() -> None:
    words = re.compile(
        r"\bis_staff\b|\bis_superuser\b|\bChallengeRole\b|\.challenge_roles\b|\bchallenge_roles__"
    )
    found = set()
    for path in Path(ROOT / "challenge").rglob("*"):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix not in {".py", ".html"} or "/migrations/" in name:
            continue
        if words.search(path.read_text(encoding="utf-8")):
            found.add(name)
    assert found == READERS | COLUMNS
