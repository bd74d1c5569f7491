"""Lines of an export as rows of the database: all but submissions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.core.management.color import no_style
from django.db import connection

from challenge.errors import refuse
from challenge.models import (
    Announcement,
    AuditEvent,
    Challenge,
    ChallengeRole,
    Entry,
    FinalResult,
    Grant,
    GroundTruth,
    Membership,
    Message,
    Page,
    PageVersion,
    Phase,
    Registration,
    TaskSpec,
    Team,
    TeamDisqualification,
    TermsAcceptance,
    User,
)
from challenge.rules.rounding import Steps
from challenge.services import signing
from challenge.services.accounts import usernames
from challenge.services.exports import columns, layout
from challenge.services.training import results
from scoring.engine.task import specification as task_spec

# Accounts of an export without personal data: nobody can have an address there.
NO_MAIL_DOMAIN = "imported.invalid"
NO_VERSION = 2**31 - 1


@dataclass
class Target:
    """The challenge that is imported, and what numbers of the file are here.

    One method for each kind of line; each raises KeyError for a number or slug that no earlier line
    has, ValueError for what cannot be.
    """

    challenge: Challenge
    now: datetime
    link_accounts: bool = False
    tasks: dict[int, TaskSpec] = field(default_factory=dict)
    truths: dict[tuple[str, int], GroundTruth] = field(default_factory=dict)
    phases: dict[str, Phase] = field(default_factory=dict)
    people: dict[int, User] = field(default_factory=dict)
    teams: dict[int, Team] = field(default_factory=dict)
    merges: dict[int, int] = field(default_factory=dict)
    entries: dict[tuple[str, int], Entry] = field(default_factory=dict)
    authors: list[tuple[PageVersion, int]] = field(default_factory=list)
    keeps_team_numbers: bool = True
    accounts_created: int = 0
    accounts_linked: int = 0

    def begin(self, *, team_numbers: list[int]) -> None:
        """Say whether teams keep their numbers, which leaderboards show: where all are free."""
        self.keeps_team_numbers = not Team.objects.filter(pk__in=team_numbers).exists()
        # The description made one version of the task; which one its line says.
        TaskSpec.objects.filter(challenge=self.challenge).update(version=NO_VERSION)

    def texts(self, line: layout.Challenge) -> None:
        for name in ("title", "tagline", "summary"):
            setattr(self.challenge, name, getattr(line, name))
        self.challenge.save(update_fields=["title", "tagline", "summary"])

    def task(self, line: layout.Task) -> None:
        spec = task_spec.from_json(line.data)
        if spec.digest != line.digest or spec.id != self.challenge.slug:
            raise ValueError(f"digest {spec.digest[:12]}, id {spec.id}")
        found = TaskSpec.objects.filter(challenge=self.challenge, digest=line.digest).first()
        stored = found or TaskSpec(challenge=self.challenge, digest=line.digest)
        stored.version, stored.data = line.version, line.data
        stored.save()
        self.tasks[line.version] = stored

    def labels(self, line: layout.Labels) -> None:
        """A version of labels without its file: with its digest, the same masks install as it."""
        names = (
            "name", "version", "labels_public", "steps", "full_precision_at", "split_commitment",
            "zone_count", "public_zone_count", "public_patch_count", "public_pixels",
            "public_zones", "split_nonce",
        )  # fmt: skip
        truth = GroundTruth(
            challenge=self.challenge,
            patches=[list(row) for row in line.patches],
            patch_count=len(line.patches),
            # Where it is not known, any text that no masks have.
            digest=line.digest or f"unknown-{line.version}",
            given_commitment="" if line.digest else line.commitment,
            store_name=f"{self.challenge.slug}-{line.name}-v{line.version}-imported.truth",
            **{name: getattr(line, name) for name in names},
        )
        if line.commitment_key is not None:
            truth.commitment_key = line.commitment_key
        if truth.commitment != line.commitment:
            raise ValueError(f"commitment {truth.commitment[:12]}")
        if truth.steps:
            Steps.from_json(truth.steps)
        truth.save(force_insert=True)
        self.truths[line.name, line.version] = truth

    def phase(self, line: layout.Phase) -> None:
        phase = Phase.objects.get(challenge=self.challenge, slug=line.slug)
        names = ("name", "summary", "archive_limit_bytes", "grace_minutes", *columns.PHASE)
        for name in names:
            setattr(phase, name, getattr(line, name))
        phase.task_spec = self.tasks[line.task_version] if line.task_version is not None else None
        if line.labels_name is not None and line.labels_version is not None:
            phase.ground_truth = self.truths[line.labels_name, line.labels_version]
        phase.save()
        self.phases[line.slug] = phase

    def begin_pages(self) -> None:
        """Drop the pages that the description gave, in every language: the true ones follow."""
        self.challenge.pages.all().delete()
        self.challenge.page_versions.all().delete()

    def page(self, line: layout.Page) -> None:
        Page.objects.create(challenge=self.challenge, **line.model_dump())

    def page_version(self, line: layout.PageVersion) -> None:
        values = line.model_dump(exclude={"author"})
        version = PageVersion.objects.create(challenge=self.challenge, **values)
        if line.author is not None:
            self.authors.append((version, line.author))

    def end_page_versions(self) -> None:
        """Name the authors, now that people are known."""
        for version, number in self.authors:
            version.author = self.people.get(number)
        PageVersion.objects.bulk_update([version for version, _ in self.authors], ["author"])

    def person(self, line: layout.Person) -> None:
        user = self._account(line)
        self.people[line.person] = user
        if line.registration is not None:
            registration = Registration.objects.create(
                challenge=self.challenge,
                user=user,
                **line.registration.model_dump(exclude={"acceptances"}),
            )
            TermsAcceptance.objects.bulk_create(
                TermsAcceptance(registration=registration, **one.model_dump())
                for one in line.registration.acceptances
            )
        if line.role is not None:
            # It says who does not rank. A right comes from nobody's file.
            ended = min(line.role.expires_at or self.now, self.now)
            ChallengeRole.objects.create(
                challenge=self.challenge,
                user=user,
                role=line.role.role,
                granted_at=line.role.granted_at,
                expires_at=ended,
            )

    def team(self, line: layout.Team) -> None:
        team = Team(
            challenge=self.challenge,
            name=line.name,
            affiliation=line.affiliation,
            is_platform=line.is_platform,
        )
        if self.keeps_team_numbers:
            team.pk = line.team
        team.save(force_insert=True)
        team.created_at = line.created_at
        self.teams[line.team] = team
        if line.merged_into is not None:
            self.merges[line.team] = line.merged_into
        memberships = [
            Membership(
                team=team,
                challenge=self.challenge,
                user=self.people[one.person],
                role=one.role,
                joined_at=one.joined_at,
            )
            for one in line.members
        ]
        Membership.objects.bulk_create(memberships)
        for membership, one in zip(memberships, line.members, strict=True):
            membership.joined_at = one.joined_at
        Membership.objects.bulk_update(memberships, ["joined_at"])
        TeamDisqualification.objects.bulk_create(
            TeamDisqualification(
                team=team,
                disqualified_by=self._known(one.disqualified_by),
                lifted_by=self._known(one.lifted_by),
                **one.model_dump(exclude={"disqualified_by", "lifted_by"}),
            )
            for one in line.disqualifications
        )

    def end_teams(self) -> None:
        """Write merges and dates; further teams get numbers above those that were kept."""
        for number, into in self.merges.items():
            self.teams[number].merged_into = self.teams[into]
        Team.objects.bulk_update(self.teams.values(), ["merged_into", "created_at"], batch_size=500)
        if self.keeps_team_numbers and self.teams:
            with connection.cursor() as cursor:
                for statement in connection.ops.sequence_reset_sql(no_style(), [Team]):
                    cursor.execute(statement)

    def entry(self, line: layout.Entry) -> None:
        entry = Entry.objects.create(phase=self.phases[line.phase], team=self.teams[line.team])
        Entry.objects.filter(pk=entry.pk).update(created_at=line.created_at)
        self.entries[line.phase, line.team] = entry

    def grant(self, line: layout.PhaseGrant) -> None:
        Grant.objects.create(
            phase=self.phases[line.phase],
            team=self.teams[line.team],
            granted_by=self._known(line.granted_by),
            withdrawn_by=self._known(line.withdrawn_by),
            **line.model_dump(exclude={"phase", "team", "granted_by", "withdrawn_by"}),
        )

    def final_result(self, line: layout.FinalResult) -> None:
        if not signing.is_signed_by(line.document, signature=line.signature, key=line.key):
            raise ValueError(f"signature of version {line.version}")
        FinalResult.objects.create(
            phase=self.phases[line.phase],
            signed_by=self._known(line.signed_by),
            **line.model_dump(exclude={"phase", "signed_by"}),
        )

    def announcement(self, line: layout.Announcement) -> None:
        Announcement.objects.create(
            challenge=self.challenge,
            mail_to=Announcement.MailTo.NOBODY,
            created_by=self._known(line.created_by),
            **line.model_dump(exclude={"created_by"}),
        )

    def message(self, line: layout.Message) -> None:
        Message.objects.create(
            challenge=self.challenge,
            sent_by=self._known(line.sent_by),
            **line.model_dump(exclude={"sent_by"}),
        )

    def trail_event(self, line: layout.TrailEvent) -> None:
        AuditEvent.objects.create(
            challenge=self.challenge,
            actor=self._known(line.actor),
            **line.model_dump(exclude={"actor"}),
        )

    def _known(self, number: int | None) -> User | None:
        return None if number is None else self.people[number]

    def _account(self, line: layout.Person) -> User:
        """Return the account of a person of the file: inactive and without a password if it is new.

        Raises Refusal ``import-account-taken``.
        """
        if line.is_platform:
            return results.platform_account()
        username = line.username or f"{self.challenge.slug[:40]}-person-{line.person}"
        email = line.email or f"{self.challenge.slug}-{line.person}@{NO_MAIL_DOMAIN}"
        named = User.objects.filter(username__iexact=username).first()
        addressed = User.objects.filter(email__iexact=email).first()
        if named is not None or addressed is not None:
            if not self.link_accounts or named != addressed or named is None:
                raise refuse("import-account-taken", username=username)
            self.accounts_linked += 1
            return named
        user = User(
            username=usernames.check(username),
            email=email,
            affiliation=line.affiliation or "",
            language=line.language,
            is_active=False,
            mail_on_message=False,
        )
        user.set_unusable_password()
        user.full_clean(exclude=["password"])
        user.save()
        self.accounts_created += 1
        return user
