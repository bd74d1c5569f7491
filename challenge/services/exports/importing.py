"""Importing an exported challenge: the operator's command, all in one transaction.

The description is read by the file reader, every other line by the models of the layout. Whoever
imports trusts the file's scores as they are; nobody gets an account, a right or a mail by it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files.storage import default_storage
from django.db import DataError, IntegrityError, transaction
from django.utils import timezone

from challenge.errors import refuse
from challenge.models import Challenge, User
from challenge.rules.roles import Role
from challenge.services import audit
from challenge.services.challenges import challenge_file, challenges, phases, publishing
from challenge.services.challenges import roles as role_service
from challenge.services.exports import export_archive, imported_submissions, layout
from challenge.services.exports.export_archive import ExportArchive
from challenge.services.exports.imported_rows import Target


@dataclass(frozen=True)
class Options:
    """``link_accounts``: people of the file are accounts here with the same name and address."""

    owner: User | None = None
    publish: bool = False
    link_accounts: bool = False


@dataclass
class Report:
    """What an import did. ``left_out`` is what the export had not, in codes.

    ``key`` is the public key of the site that exported; ``new_team_numbers``: those of the file
    were taken here.
    """

    challenge: Challenge
    key: str
    exported_at: datetime
    accounts_created: int = 0
    accounts_linked: int = 0
    teams: int = 0
    submissions: int = 0
    archives: int = 0
    new_team_numbers: bool = False
    left_out: list[dict[str, Any]] = field(default_factory=list)


def import_challenge(
    path: Path, *, options: Options | None = None, now: datetime | None = None
) -> Report:
    """Import an export; the challenge is unpublished unless ``publish``. The operator's command.

    Its address must be free: a second import is refused. Leaderboards are those of the export: no
    rank is made anew. What had no verdict is failed here, for an organiser to queue again once
    labels are installed. Raises what `export_archive.open_export` raises, `FileMistakes`, Refusal
    ``import-challenge-exists``, ``import-account-taken``, ``import-submission-exists``,
    ``export-line-invalid``, ``export-data-refused``, ``challenge-pages-missing``; nothing is
    written then.
    """
    options, now = options or Options(), now or timezone.now()
    stored: list[str] = []
    with export_archive.open_export(path) as found:
        slug = found.manifest.challenge
        if Challenge.objects.filter(slug=slug).exists():
            raise refuse("import-challenge-exists", slug=slug)
        try:
            with transaction.atomic():
                return _write(found, options, stored, now=now)
        except (DataError, IntegrityError) as error:
            _forget(stored)
            said = str(error.__cause__ or error).splitlines()[0][:120]
            raise refuse("export-data-refused", found=said) from error
        except BaseException:
            _forget(stored)
            raise


def _forget(names: list[str]) -> None:
    for name in names:
        with suppress(OSError):
            default_storage.delete(name)


def _write(found: ExportArchive, options: Options, stored: list[str], *, now: datetime) -> Report:
    challenge = _described(found)
    target = Target(challenge, now=now, link_accounts=options.link_accounts)
    readers: dict[str, Callable[[Any], None]] = {
        "texts.jsonl": target.texts,
        "tasks.jsonl": target.task,
        "labels.jsonl": target.labels,
        "phases.jsonl": target.phase,
        "pages.jsonl": target.page,
        "page-versions.jsonl": target.page_version,
        "people.jsonl": target.person,
        "teams.jsonl": target.team,
        "entries.jsonl": target.entry,
        "grants.jsonl": target.grant,
        "results.jsonl": target.final_result,
        "announcements.jsonl": target.announcement,
        "messages.jsonl": target.message,
        "trail.jsonl": target.trail_event,
    }
    target.begin(team_numbers=[one.team for one in found.lines("teams.jsonl", layout.Team)])
    _read_lines(found, readers, ("texts.jsonl", "tasks.jsonl", "labels.jsonl", "phases.jsonl"))
    target.begin_pages()
    _read_lines(found, readers, ("pages.jsonl", "page-versions.jsonl", "people.jsonl"))
    target.end_page_versions()
    _read_lines(found, readers, ("teams.jsonl",))
    target.end_teams()
    _read_lines(found, readers, ("entries.jsonl", "grants.jsonl"))
    count = imported_submissions.write(found, target, stored)
    imported_submissions.write_ranks(found, target)
    _read_lines(
        found, readers, ("results.jsonl", "announcements.jsonl", "messages.jsonl", "trail.jsonl")
    )
    phases.update_labels_open_until()
    if options.owner is not None:
        role_service.set_role(
            challenge=challenge, user=options.owner, role=Role.OWNER, actor=None, now=now
        )
    if options.publish:
        publishing.check_ready(challenge)
        challenge.is_published = challenge.was_published = True
        challenge.save(update_fields=["is_published", "was_published", "updated_at"])
    report = Report(
        challenge,
        found.key,
        found.manifest.exported_at,
        accounts_created=target.accounts_created,
        accounts_linked=target.accounts_linked,
        teams=len(target.teams),
        submissions=count,
        archives=len(stored),
        new_team_numbers=not target.keeps_team_numbers,
        left_out=found.manifest.left_out,
    )
    audit.record(
        "challenge.import",
        actor=None,
        challenge=challenge,
        target=challenge,
        now=now,
        exported_at=report.exported_at.isoformat(),
        key=report.key,
        accounts_created=report.accounts_created,
        accounts_linked=report.accounts_linked,
        teams=report.teams,
        submissions=report.submissions,
        archives=report.archives,
        published=options.publish,
    )
    return report


def _read_lines(
    found: ExportArchive, readers: dict[str, Callable[[Any], None]], members: tuple[str, ...]
) -> None:
    for member in members:
        for number, line in enumerate(found.lines(member, layout.LINES[member]), start=1):
            try:
                readers[member](line)
            except KeyError as error:  # it names what no earlier line has
                raise export_archive.line_refusal(member, number, f"{error} …") from error
            except (TypeError, ValueError, ValidationError) as error:
                raise export_archive.line_refusal(member, number, str(error)) from error


def _described(found: ExportArchive) -> Challenge:
    """Let the file reader read the description, and load it."""
    with TemporaryDirectory(prefix="challenge-") as name:
        folder = Path(name)
        for member in found.names(layout.DESCRIPTION):
            path = folder / member.removeprefix(layout.DESCRIPTION)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(found.read(member))
        file = challenge_file.read(folder)
    if file.slug != found.manifest.challenge:
        raise refuse("export-manifest-invalid", found=file.slug)
    challenges.save(file)
    return Challenge.objects.get(slug=file.slug)
