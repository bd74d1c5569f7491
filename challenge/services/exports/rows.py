"""Rows of the database as lines of an export (:mod:`challenge.services.exports.layout`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import F, Prefetch, Q

from challenge.models import (
    AuditEvent,
    Challenge,
    ChallengeRole,
    Entry,
    Evaluation,
    Grant,
    GroundTruth,
    Membership,
    PageVersion,
    Phase,
    QuotaLine,
    RankLine,
    Registration,
    Score,
    Submission,
    TaskSpec,
    Team,
    TrainingRun,
    User,
)
from challenge.selectors import trail
from challenge.selectors.submissions import Without
from challenge.services.exports import columns, disclosed, layout
from challenge.services.training import results

AT_ONCE = 10  # submissions, each with a card, in memory


@dataclass
class Rows:
    """The lines of one challenge at ``now``; ``personal_data``: names, addresses, free reasons.

    ``persons`` numbers people as they are met: by id, in no order that says anything.
    """

    challenge: Challenge
    now: datetime
    personal_data: bool
    persons: dict[int, int] = field(default_factory=dict)
    archives: dict[str, str] = field(default_factory=dict)

    def of(self, member: str) -> Iterator[layout.Record]:
        """Return the lines of a member of :data:`layout.LINES`."""
        makers = {
            "texts.jsonl": self._challenge,
            "tasks.jsonl": self._tasks,
            "labels.jsonl": self._labels,
            "phases.jsonl": self._phases,
            "pages.jsonl": self._pages,
            "page-versions.jsonl": self._page_versions,
            "people.jsonl": self._people,
            "teams.jsonl": self._teams,
            "entries.jsonl": self._entries,
            "grants.jsonl": self._grants,
            "ranks.jsonl": self._ranks,
            "results.jsonl": self._results,
            "announcements.jsonl": self._announcements,
            "messages.jsonl": self._messages,
            "trail.jsonl": self._trail,
        }
        return makers[member]()

    def phases(self) -> list[Phase]:
        """Return the phases, each with what disclosure asks of it."""
        rows = self.challenge.phases.select_related("ground_truth", "task_spec", "challenge")
        return list(rows.defer("ground_truth__patches", "public_patches").order_by("sort_order"))

    def submissions(self, phase: Phase) -> Iterator[layout.Submission]:
        """Return the submissions of a phase, the oldest first, some at a time."""
        full = disclosed.figures(phase, now=self.now) == "full"
        # The zones' matrices, nine tenths of a card, stay behind.
        scores = Score.objects.defer("card").annotate(card_told=Without("card", "zones"))
        evaluations = (
            Evaluation.objects.filter(
                ground_truth=phase.ground_truth_id, task_spec=phase.task_spec_id
            )
            .prefetch_related("events", Prefetch("score", scores))
            .order_by("pk")
        )
        rows = (
            Submission.objects.filter(entry__phase=phase)
            .select_related("entry")
            .prefetch_related(
                Prefetch("evaluations", evaluations),
                Prefetch("quota_lines", QuotaLine.objects.order_by("pk")),
                Prefetch("training_runs", TrainingRun.objects.order_by("queued_at")),
            )
            .order_by("created_at", "pk")
        )
        for row in rows.iterator(chunk_size=AT_ONCE):
            yield self._submission(row, phase=phase, full=full)

    def person(self, user_id: int | None) -> int | None:
        """Return the number of a person in this export."""
        if user_id is None:
            return None
        return self.persons.setdefault(user_id, len(self.persons) + 1)

    def _words(self, text: str) -> str:
        return text if self.personal_data else ""

    def _challenge(self) -> Iterator[layout.Record]:
        one = self.challenge
        yield layout.Challenge(
            title=one.title, tagline=one.tagline, summary=one.summary, is_published=one.is_published
        )

    def _tasks(self) -> Iterator[layout.Record]:
        for task in TaskSpec.objects.filter(challenge=self.challenge).order_by("version"):
            yield layout.Task(version=task.version, digest=task.digest, data=task.data)

    def _labels(self) -> Iterator[layout.Record]:
        phases = self.phases()
        used = {
            (row["ground_truth"], row["phase"])
            for row in Evaluation.objects.filter(submission__entry__phase__challenge=self.challenge)
            .values("ground_truth", phase=F("submission__entry__phase"))
            .order_by()
            .distinct()
        } | {(phase.ground_truth_id, phase.pk) for phase in phases}
        truths = GroundTruth.objects.filter(challenge=self.challenge).order_by("name", "version")
        for truth in truths:
            of = [phase for phase in phases if (truth.pk, phase.pk) in used]
            yield disclosed.labels(truth, phases=of, now=self.now)

    def _phases(self) -> Iterator[layout.Record]:
        for phase in self.phases():
            truth, task = phase.ground_truth, phase.task_spec
            yield layout.Phase(
                slug=phase.slug,
                name=phase.name,
                summary=phase.summary,
                archive_limit_bytes=phase.archive_limit_bytes,
                grace_minutes=phase.grace_minutes,
                task_version=task.version if task else None,
                labels_name=truth.name if truth else None,
                labels_version=truth.version if truth else None,
                figures=disclosed.figures(phase, now=self.now),
                **{name: getattr(phase, name) for name in columns.PHASE},
            )

    def _pages(self) -> Iterator[layout.Record]:
        for page in self.challenge.pages.order_by("sort_order", "slug", "language"):
            yield layout.Page(**{name: getattr(page, name) for name in layout.Page.model_fields})

    def _page_versions(self) -> Iterator[layout.Record]:
        names = ("slug", "language", "number", "title", "markdown", "created_at")
        rows = PageVersion.objects.filter(challenge=self.challenge).order_by("pk")
        for row in rows.iterator(chunk_size=AT_ONCE):
            values = {name: getattr(row, name) for name in names}
            yield layout.PageVersion(author=self.person(row.author_id), **values)

    def _people(self) -> Iterator[layout.Record]:
        """Who takes part, is or was in a team or has or had a role, or did what is told here."""
        challenge = self.challenge
        involved = User.objects.filter(
            Q(registrations__challenge=challenge)
            | Q(memberships__challenge=challenge)
            | Q(challenge_roles__challenge=challenge)
            | Q(submissions__entry__phase__challenge=challenge)
        )
        if self.personal_data:
            actors = AuditEvent.objects.filter(challenge=challenge).values("actor")
            involved |= User.objects.filter(pk__in=actors)
        for pk in involved.order_by("pk").values_list("pk", flat=True).distinct():
            self.person(pk)
        registered = {
            row.user_id: row
            for row in Registration.objects.filter(challenge=challenge).prefetch_related(
                "acceptances"
            )
        }
        roles = {row.user_id: row for row in ChallengeRole.objects.filter(challenge=challenge)}
        people = User.objects.in_bulk(list(self.persons))
        for pk, number in self.persons.items():
            yield self._person(
                people[pk], number, registration=registered.get(pk), role=roles.get(pk)
            )

    def _person(
        self, user: User, number: int, *, registration: Registration | None, role: Any
    ) -> layout.Person:
        is_platform = user.email == results.EMAIL
        named = self.personal_data and not is_platform
        return layout.Person(
            person=number,
            username=user.username if named else None,
            email=user.email if named else None,
            affiliation=user.affiliation if named else None,
            language=user.language,
            is_platform=is_platform,
            registration=(
                layout.Registration(
                    state=str(registration.state),
                    terms_version=registration.terms_version,
                    accepted_at=registration.accepted_at,
                    note=self._words(registration.note),
                    acceptances=[
                        layout.Acceptance(version=one.version, accepted_at=one.accepted_at)
                        for one in registration.acceptances.all()
                    ],
                )
                if registration
                else None
            ),
            role=(
                layout.Role(role=role.role, granted_at=role.granted_at, expires_at=role.expires_at)
                if role
                else None
            ),
        )

    def _teams(self) -> Iterator[layout.Record]:
        teams = Team.objects.filter(challenge=self.challenge).prefetch_related(
            Prefetch("memberships", Membership.objects.order_by("pk")), "disqualifications"
        )
        for team in teams.order_by("pk"):
            yield layout.Team(
                team=team.pk,
                name=team.name,
                affiliation=team.affiliation,
                is_platform=team.is_platform,
                merged_into=team.merged_into_id,
                created_at=team.created_at,
                members=[
                    layout.Member(
                        person=self._number(one.user_id),
                        role=str(one.role),
                        joined_at=one.joined_at,
                    )
                    for one in team.memberships.all()
                ],
                disqualifications=[
                    layout.Disqualification(
                        reason=self._words(one.reason),
                        disqualified_at=one.disqualified_at,
                        disqualified_by=self._known(one.disqualified_by_id),
                        lifted_at=one.lifted_at,
                        lifted_by=self._known(one.lifted_by_id),
                        lifted_reason=self._words(one.lifted_reason),
                    )
                    for one in team.disqualifications.all()
                ],
            )

    def _entries(self) -> Iterator[layout.Record]:
        rows = Entry.objects.filter(phase__challenge=self.challenge).select_related("phase")
        for row in rows.defer("phase__public_patches").order_by("pk"):
            yield layout.Entry(phase=row.phase.slug, team=row.team_id, created_at=row.created_at)

    def _grants(self) -> Iterator[layout.Record]:
        rows = Grant.objects.filter(phase__challenge=self.challenge).select_related("phase")
        for row in rows.defer("phase__public_patches").order_by("pk"):
            yield layout.PhaseGrant(
                phase=row.phase.slug,
                team=row.team_id,
                late=row.late,
                extra_places=row.extra_places,
                until=row.until,
                reason=self._words(row.reason),
                granted_by=self._known(row.granted_by_id),
                granted_at=row.granted_at,
                withdrawn_by=self._known(row.withdrawn_by_id),
                withdrawn_at=row.withdrawn_at,
            )

    def _ranks(self) -> Iterator[layout.Record]:
        rows = RankLine.objects.filter(
            phase__challenge=self.challenge,
            score__evaluation__ground_truth=F("phase__ground_truth"),
            score__evaluation__task_spec=F("phase__task_spec"),
        )
        names = ("rank", "group", "lead_probability", "submission_count", "public_rank")
        for row in rows.order_by("pk").values(
            *names,
            "miou",
            "public_miou",
            of_phase=F("phase__slug"),
            team=F("entry__team"),
            of=F("submission"),
            revision=F("score__evaluation__revision"),
        ):
            yield layout.Rank(phase=row.pop("of_phase"), submission=row.pop("of"), **row)

    def _results(self) -> Iterator[layout.Record]:
        for phase in self.phases():
            for one in phase.final_results.order_by("version"):
                yield layout.FinalResult(
                    phase=phase.slug,
                    signed_by=self._known(one.signed_by_id),
                    **{
                        name: getattr(one, name)
                        for name in (
                            "version", "document", "signature", "key", "reason", "signed_at",
                        )
                    },
                )  # fmt: skip

    def _announcements(self) -> Iterator[layout.Record]:
        for one in self.challenge.announcements.order_by("pk"):
            yield layout.Announcement(
                key=one.key,
                title=one.title,
                body=one.body,
                published_at=one.published_at,
                created_by=self._known(one.created_by_id),
            )

    def _messages(self) -> Iterator[layout.Record]:
        names = ("subject", "body", "audience", "about_rules", "created_at")
        for one in self.challenge.messages.order_by("pk") if self.personal_data else ():
            values = {name: getattr(one, name) for name in names}
            yield layout.Message(sent_by=self._known(one.sent_by_id), **values)

    def _trail(self) -> Iterator[layout.Record]:
        if not self.personal_data:
            return
        events = AuditEvent.objects.filter(challenge=self.challenge).order_by("at", "pk")
        for event in events.iterator(chunk_size=AT_ONCE):
            yield layout.TrailEvent(
                at=event.at,
                actor=self._known(event.actor_id),
                action=event.action,
                target=event.target,
                data=json.loads(trail.data_text(event) or "{}"),
            )

    def _submission(self, row: Submission, *, phase: Phase, full: bool) -> layout.Submission:
        return layout.Submission(
            team=row.entry.team_id,
            submitted_by=self._known(row.submitted_by_id),
            archive=self.archives.get(str(row.pk)),
            original_name=row.original_name if self.personal_data else "archive.zip",
            disqualified_reason=self._words(row.disqualified_reason),
            disqualified_by=self._known(row.disqualified_by_id),
            training_runs=[
                layout.TrainingRun(
                    run=run.pk, **{name: getattr(run, name) for name in columns.TRAINING_RUN}
                )
                for run in row.training_runs.all()
            ],
            quota=[
                layout.QuotaLine(
                    move=line.move, day=line.day.isoformat(), at=line.at, reason=line.reason
                )
                for line in row.quota_lines.all()
            ],
            evaluations=list(_evaluations(row.evaluations.all(), phase=phase, full=full)),
            **{name: getattr(row, name) for name in columns.SUBMISSION},
        )

    def _number(self, user_id: int) -> int:
        return self.persons[user_id]

    def _known(self, user_id: int | None) -> int | None:
        """Return the number of a person whom ``people.jsonl`` has, which was written before."""
        return None if user_id is None else self.persons.get(user_id)


def _evaluations(
    rows: Iterable[Evaluation], *, phase: Phase, full: bool
) -> Iterator[layout.Evaluation]:
    for row in rows:
        stored = getattr(row, "score", None)
        if stored is not None and not disclosed.may_leave(phase, stored):
            continue
        yield layout.Evaluation(
            **{name: getattr(row, name) for name in columns.EVALUATION},
            events=[
                layout.Event(**{name: getattr(event, name) for name in columns.EVENT})
                for event in row.events.all()
            ],
            score=_score(stored, full=full) if stored is not None else None,
        )


def _score(stored: Any, *, full: bool) -> layout.Score:
    return disclosed.score(stored, stored.card_told, full=full)
