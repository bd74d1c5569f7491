"""Roles on the desk of a challenge, and the acts that each allows. Pure."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What somebody is on a challenge's desk. A person has one role in a challenge at most."""

    OWNER = "owner"
    EDITOR = "editor"
    JUDGE = "judge"
    OBSERVER = "observer"


class Act(StrEnum):
    """What is done on a challenge's desk.

    ``READ``: see the challenge and its phases before they are published, every submission and
    score (under the organisers' disclosure), training runs, news of all teams by webhook.
    ``PAGES``: pages and announcements. ``PHASES``: a phase's settings, its ranks computed anew.
    ``TRAINING``: start, cancel and queue again the runs of baselines. ``PEOPLE``: registrations
    with their addresses, approval and refusal, the audit trail. ``VERDICTS``: disqualify and
    reinstate, withdraw what waits, remove an archive. ``FINALS``: the final results.
    ``RESCORE``: queue scored or failed submissions again. ``ARCHIVES``: download what teams sent.
    ``EXPORT``: all submissions as a file. ``EXPORT_ALL``: the whole challenge as a file.
    ``LABELS``: which labels and which task count.
    ``PUBLISH``: show or hide the challenge and its phases. ``ROLES``: invite, change and revoke.
    """

    READ = "read"
    PAGES = "pages"
    PHASES = "phases"
    TRAINING = "training"
    PEOPLE = "people"
    VERDICTS = "verdicts"
    FINALS = "finals"
    RESCORE = "rescore"
    ARCHIVES = "archives"
    EXPORT = "export"
    EXPORT_ALL = "export-all"
    LABELS = "labels"
    PUBLISH = "publish"
    ROLES = "roles"


ACTS: dict[Role, frozenset[Act]] = {
    Role.OWNER: frozenset(Act),
    Role.EDITOR: frozenset({Act.READ, Act.PAGES, Act.PHASES, Act.TRAINING}),
    Role.JUDGE: frozenset(
        {
            Act.READ,
            Act.PEOPLE,
            Act.VERDICTS,
            Act.FINALS,
            Act.RESCORE,
            Act.ARCHIVES,
            Act.EXPORT,
        }
    ),
    Role.OBSERVER: frozenset({Act.READ}),
}

# Whoever holds one of these changes what participants stand on: people, results, labels, roles.
SECOND_FACTOR_ROLES = frozenset({Role.OWNER, Role.JUDGE})


def allows(role: Role | None, act: Act) -> bool:
    """Say whether a role allows an act; None, no role, allows none.

    >>> allows(Role.JUDGE, Act.VERDICTS), allows(Role.EDITOR, Act.VERDICTS), allows(None, Act.READ)
    (True, False, False)
    """
    return role is not None and act in ACTS[role]


def roles_that_allow(act: Act) -> list[Role]:
    """Return the roles that allow an act, the owner first.

    >>> [str(role) for role in roles_that_allow(Act.PAGES)]
    ['owner', 'editor']
    """
    return [role for role in Role if act in ACTS[role]]


def needs_second_factor(role: Role, act: Act) -> bool:
    """Say whether an act wants a second factor of who holds the role: all but reading do."""
    return act is not Act.READ and role in SECOND_FACTOR_ROLES
