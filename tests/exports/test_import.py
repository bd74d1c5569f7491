"""Exports that were altered, made up or imported before: refused whole, with the reason."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db.models import F
from django.test import Client
from django.utils import timezone

from challenge.models import (
    Announcement,
    AuditEvent,
    Challenge,
    ChallengeRole,
    FinalResult,
    OutgoingMail,
    PageVersion,
    Phase,
    Score,
    Submission,
    Team,
    TrainingRun,
    User,
)
from challenge.services import signing
from challenge.services.exports import importing
from challenge.services.exports.importing import Options
from challenge.services.leaderboard import ranks
from challenge.services.submissions import archive_exports
from tests import factories
from tests.exports.conftest import OWN_RECIPE, Edition, Exporter
from tests.helpers import refused

pytestmark = pytest.mark.django_db(transaction=True)
Change = Callable[[dict[str, bytes]], None]
RUN = ("pk", "recipe", "recipe_text", "recipe_digest", "overrides", "data_root", "seed")


def read(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as found:
        return {name: found.read(name) for name in found.namelist()}


def write(file: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in members.items():
            target.writestr(name, data)
    return file


def signed_anew(members: dict[str, bytes]) -> dict[str, bytes]:
    """The manifest of whoever makes up an export: true digests, a true signature."""
    import hashlib

    document = json.loads(members["manifest.json"])["manifest"]
    document["members"] = [
        {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in members.items()
        if name != "manifest.json"
    ]
    document = {
        "manifest": document,
        "signature": signing.sign(document),
        "key": signing.public_key(),
    }
    return members | {"manifest.json": json.dumps(document).encode()}


def remove_everything() -> None:
    call_command("flush", interactive=False, verbosity=0)


def test_what_is_imported(edition: Edition, export: Exporter, tmp_path: Path) -> None:
    file = export(edition.challenge, personal_data=True, archives=True)
    before = {
        "pages": list(PageVersion.objects.order_by("pk").values_list("slug", "number", "markdown")),
        "teams": list(Team.objects.order_by("pk").values_list("pk", "name", "created_at")),
        "results": list(FinalResult.objects.values_list("document", "signature", "signed_at")),
        "archives": list(Submission.objects.order_by("pk").values_list("pk", "archive_sha256")),
        "trail": list(AuditEvent.objects.order_by("at", "pk").values_list("action", "target")),
        "runs": list(TrainingRun.objects.order_by("pk").values_list(*RUN)),
    }
    assert OWN_RECIPE in {text for _pk, _name, text, *_ in before["runs"]}
    names = set(User.objects.values_list("username", "email"))
    remove_everything()
    factories.make_user("olive")
    with refused("import-account-taken"):
        importing.import_challenge(file)
    report = importing.import_challenge(file, options=Options(link_accounts=True))
    assert report.accounts_linked == 1
    assert not ChallengeRole.objects.filter(expires_at=None).exists()

    remove_everything()
    owner = factories.make_user("operator")
    out = io.StringIO()
    call_command("import_challenge", str(file), "--owner", owner.email, stdout=out)
    assert "imported (12 teams, 16 submissions" in out.getvalue()
    assert "not there: figures-rounded (phase next)" in out.getvalue()
    challenge = Challenge.objects.get()
    assert not challenge.is_published
    after = {
        "pages": list(PageVersion.objects.order_by("pk").values_list("slug", "number", "markdown")),
        "teams": list(Team.objects.order_by("pk").values_list("pk", "name", "created_at")),
        "results": list(FinalResult.objects.values_list("document", "signature", "signed_at")),
        "archives": list(Submission.objects.order_by("pk").values_list("pk", "archive_sha256")),
        "runs": list(TrainingRun.objects.order_by("pk").values_list(*RUN)),
    }
    assert after == {name: before[name] for name in after}
    told = list(AuditEvent.objects.order_by("at", "pk").values_list("action", "target"))
    assert [event for event in before["trail"] if event in told] == before["trail"]
    imported = User.objects.exclude(pk=owner.pk)
    assert set(imported.values_list("username", "email")) == names
    assert not imported.filter(is_active=True).exists()
    assert not any(user.has_usable_password() for user in imported)
    roles = ChallengeRole.objects.exclude(user=owner)
    assert roles.count() == 3
    assert not roles.filter(expires_at=None).exists()
    assert Announcement.objects.get().mail_to == Announcement.MailTo.NOBODY
    assert not OutgoingMail.objects.exists()
    one = Submission.objects.filter(archive_removed_at=None).first()
    assert one is not None
    whole = zipfile.ZipFile(io.BytesIO(b"".join(archive_exports.stream(one.entry.phase))))
    lines = json.loads(whole.read("manifest.json"))
    assert {line["state"] for line in lines if line["submission"] == str(one.pk)} == {"included"}
    assert Team.objects.create(challenge=challenge, name="New").pk > max(
        pk for pk, *_ in before["teams"]
    )
    with pytest.raises(CommandError, match="already"):
        call_command("import_challenge", str(file))


def test_an_altered_byte_of_any_member_is_refused_by_name(
    edition: Edition, export: Exporter, tmp_path: Path
) -> None:
    file = export(edition.challenge, archives=True)
    members = read(file)
    data = file.read_bytes()
    with zipfile.ZipFile(file) as found:
        offsets = {one.filename: (one.header_offset, one.compress_size) for one in found.infolist()}
    for name in members:
        if name.startswith("archives/") and name != min(
            one for one in members if "archives/" in one
        ):
            continue
        at, size = offsets[name]
        at += 30 + len(name) + 20 + size // 2
        spoiled = tmp_path / "spoiled.zip"
        spoiled.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with refused("export-member-altered") as caught:
            importing.import_challenge(spoiled)
        assert caught.value.params["member"] == name
        # Whoever packs it again with a right checksum of the zip is refused by the digest.
        if name != "manifest.json":
            write(spoiled, members | {name: members[name] + b" "})
            with refused("export-member-altered") as caught:
                importing.import_challenge(spoiled)
            assert caught.value.params["member"] == name


def board_of(slug: str) -> dict[str, Any]:
    """The leaderboard as anybody gets it now."""
    cache.clear()
    answer = Client().get(f"/api/v1/challenges/abc/phases/{slug}/leaderboard")
    found: dict[str, Any] = json.loads(answer.content)
    return found


def test_a_leaderboard_of_rounded_values_stays_once_they_would_leave_in_full(
    edition: Edition, export: Exporter
) -> None:
    before = board_of("next")
    file = export(edition.challenge)
    remove_everything()
    importing.import_challenge(file, options=Options(publish=True))
    marked = Phase.objects.filter(lacks_full_values=True)
    assert [phase.slug for phase in marked] == ["next"]
    long_ago = timezone.now() - timedelta(days=1)
    Phase.objects.update(closes_at=long_ago, settled_at=long_ago, labels_open_until=None)
    for phase in Phase.objects.all():
        ranks.recompute(phase=phase)
    after = board_of("next")
    values = [[(row["rank"], row["miou"]) for row in one["rows"]] for one in (before, after)]
    assert len(values[0]) > 2
    assert values[1] == values[0]
    assert (after["decimals"], board_of("test")["decimals"]) == (3, None)
    next_phase = Client().get("/api/v1/challenges/abc/phases/next").json()
    assert next_phase["rounded_until"] is None

    # Everything is scored again: full values are there, and leave.
    Score.objects.filter(miou=None).update(miou=F("rounded_miou"))
    ranks.recompute(phase=marked.get())
    assert not Phase.objects.filter(lacks_full_values=True).exists()
    assert board_of("next")["decimals"] is None


def replaced(member: str, old: bytes, new: bytes) -> Change:
    def change(members: dict[str, bytes]) -> None:
        assert old in members[member], member
        members[member] = members[member].replace(old, new, 1)

    return change


SENT = "submissions/test.jsonl"
LINE = "export-line-invalid"
MADE_UP: list[tuple[Change, str]] = [
    (lambda m: m.update({"description/../../x.md": b"x"}), "export-archive-refused"),
    (lambda m: m.update({"notes.txt": b"x"}), "export-members-differ"),
    (lambda m: m.update({"trail.jsonl": b"{" * (17 << 20)}), "export-too-large"),
    (lambda m: m.update({"teams.jsonl": b"[1]\n"}), LINE),
    (replaced("ranks.jsonl", b'"miou":0.', b'"miou":1e999,"x":0.'), LINE),
    (replaced("people.jsonl", b'"person":1,', b'"person":1,"is_superuser":true,'), LINE),
    (replaced("teams.jsonl", b'"person":', b'"person":99'), LINE),
    (replaced("results.jsonl", b'"tied":false', b'"tied":true'), LINE),
    (replaced("labels.jsonl", b'"commitment":"', b'"commitment":"00'), LINE),
    (replaced(SENT, b'"code_url":""', b'"code_url":"javascript:1"'), LINE),
    (replaced(SENT, b'"recipe_text":"title', b'"recipe_text":"Title'), LINE),
    (replaced(SENT, b'"state":"scored"', b'"state":"queued"'), LINE),
    (replaced("teams.jsonl", b'"affiliation":"', b'"affiliation":"\\u0000'), "export-data-refused"),
]


def test_made_up_exports_are_refused_and_nothing_is_written(
    edition: Edition, export: Exporter, tmp_path: Path
) -> None:
    members = read(export(edition.challenge))
    remove_everything()
    for change, code in MADE_UP:
        made_up = dict(members)
        change(made_up)
        file = write(tmp_path / "made-up.zip", signed_anew(made_up))
        with refused(code):
            importing.import_challenge(file)
        assert not Challenge.objects.exists()
        assert not User.objects.exists()
    twice = tmp_path / "twice.zip"
    write(twice, members)
    with zipfile.ZipFile(twice, "a") as target, pytest.warns(UserWarning, match="Duplicate"):
        target.writestr("ranks.jsonl", members["ranks.jsonl"])
    with refused("export-archive-refused"):
        importing.import_challenge(twice)
