"""Certificates of teams in a signed final result: a PDF each, in the languages of the site.

A certificate says what the signed document says and nothing else; its signature is the document's.
It is drawn when it is asked for, of the last version alone.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.text import slugify
from django.utils.translation import gettext

from challenge.errors import refuse
from challenge.formats import day_text, percent_text
from challenge.models import FinalResult, Phase, User
from challenge.rules.roles import Act
from challenge.selectors import final_results as selector
from challenge.selectors import people, roles
from challenge.services import audit, links, signing
from challenge.services.leaderboard import certificate_pdf
from challenge.services.leaderboard.certificate_pdf import Text
from challenge.services.storage.zip_stream import Sink


def languages() -> list[str]:
    """Return the languages in which there are certificates."""
    return [code for code, _name in settings.LANGUAGES]


def of_team(phase: Phase, *, user: User, team_id: int, language: str) -> bytes:
    """Return the certificate of a team in the last signed result of a phase.

    Raises NotFound for who is neither in the team nor an organiser, for a team without a ranked
    line, an unknown language, and before a result was signed.
    """
    is_mine = people.team_id_in(user, phase) == team_id
    if not is_mine and not roles.may(user, Act.READ, phase.challenge):
        raise refuse("not-found")
    if language not in languages():
        raise refuse("not-found")
    result = selector.get(phase)
    line = selector.ranked_lines(result).get(team_id)
    if line is None:
        raise refuse("not-found")
    return draw(result, line, language=language)


def record(phase: Phase, *, actor: User) -> None:
    """Write into the trail who takes all certificates. Raises NotAllowed without ``Act.EXPORT``."""
    roles.require(actor, Act.EXPORT, phase.challenge)
    audit.record(
        "certificates.export",
        actor=actor,
        challenge=phase.challenge,
        target=phase,
        version=phase.result_version,
    )


def stream(phase: Phase) -> Iterator[bytes]:
    """Return a zip of all certificates, ``rank-team-language.pdf``, drawn one at a time.

    Raises NotFound, once it is iterated, before a result was signed.
    """
    result = selector.get(phase)
    sink = Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as target:
        for team_id, line in selector.ranked_lines(result).items():
            for language in languages():
                name = f"{line['rank']:03}-{file_name(line, team_id, language)}"
                info = zipfile.ZipInfo(name, result.signed_at.timetuple()[:6])
                info.external_attr = 0o600 << 16
                target.writestr(info, draw(result, line, language=language))
                yield sink.take()
    yield sink.take()


def file_name(line: dict[str, Any], team_id: int, language: str) -> str:
    """Return ``team-language.pdf``, in letters that every disk takes; no two teams' are alike."""
    name = slugify(line["team"])[:60] or "team"
    return f"{name}-{team_id}-{language}.pdf"


def unshown(line: dict[str, Any]) -> str:
    """Return the characters of a line that certificates write as numbers, each once, in order.

    >>> unshown({"team": "東京 U-Net", "method": "東 net", "affiliation": "IGN"})
    '東京'
    """
    return certificate_pdf.lacking(f"{line['team']} {_method(line)}")


def unshown_teams(result: FinalResult) -> list[tuple[str, str]]:
    """Return the ranked teams with characters that :func:`unshown` tells, and these (one query)."""
    lines = selector.ranked_lines(result).values()
    return [(line["team"], unshown(line)) for line in lines if unshown(line)]


def draw(result: FinalResult, line: dict[str, Any], *, language: str) -> bytes:
    """Return the certificate of one line of a signed result as a PDF in a language.

    Given ``result.phase`` with its challenge and task.
    """
    phase = result.phase
    challenge, task = phase.challenge, phase.task_spec
    ranked = [one for one in result.document["lines"] if one["rank"] is not None]
    with translation.override(language):
        challenge_name = _in(challenge.title, language)
        zone = ZoneInfo(challenge.time_zone)
        day = day_text(timezone.localtime(result.signed_at, zone).date())
        rank = gettext("Rank %(rank)s of %(count)s") % {"rank": line["rank"], "count": len(ranked)}
        if sum(one["rank"] == line["rank"] for one in ranked) > 1:
            rank = gettext("%(rank)s, shared") % {"rank": rank}
        texts = [
            Text(gettext("Certificate"), 14, is_grey=True, above_mm=0),
            Text(line["team"], 30, is_bold=True, above_mm=6),
            Text(rank, 20, is_bold=True, above_mm=6),
            Text(_values(line), 13, above_mm=4),
            Text(f"{challenge_name} · {_in(phase.name, language)}", 16, is_bold=True, above_mm=10),
            Text(_method(line), 11, is_grey=True, above_mm=4),
            Text(
                gettext("Final result, version %(version)s, signed on %(day)s.")
                % {"version": result.version, "day": day},
                11,
                is_grey=True,
            ),
        ]
        url = links.absolute(reverse("web:result", args=[challenge.slug, phase.slug]))
        digest = hashlib.sha256(signing.canonical(result.document)).hexdigest()
        foot = [
            gettext("Verify: %(url)s (signed document, signature and public key)")
            % {"url": f"{url}?version={result.version}"},
            gettext("SHA-256 of the signed document: %(digest)s") % {"digest": digest},
            gettext("Ed25519 signature: %(signature)s") % {"signature": result.signature},
        ]
        return certificate_pdf.draw(
            [text for text in texts if text.words],
            foot,
            colors=[one["color"] for one in task.data["classes"]] if task is not None else [],
            title=f"{gettext('Certificate')}: {line['team']}",
            language=language,
            note=gettext(
                "The font of this page lacks characters that are written as [U+…], their Unicode "
                "numbers; the signed document has the text as it is."
            ),
        )


def _values(line: dict[str, Any]) -> str:
    value = gettext("mIoU %(miou)s %%") % {"miou": percent_text(line["miou"])}
    if line["low"] is None:
        return value
    low, high = percent_text(line["low"]), percent_text(line["high"])
    interval = gettext("95 %% interval: %(low)s to %(high)s %%") % {"low": low, "high": high}
    return f"{value} ({interval})"


def _method(line: dict[str, Any]) -> str:
    return " · ".join(text for text in (line["method"], line["affiliation"]) if text)


def _in(texts: dict[str, str], language: str) -> str:
    return texts.get(language) or texts.get("en") or next(iter(texts.values()), "")
