"""Phases on the desk: their settings, changed once the consequences are confirmed; settlement."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from ninja import Router, Schema
from pydantic import ConfigDict, Field

from challenge.api.access import ORGANISE, SignedInRequest
from challenge.api.desk_access import CHALLENGE, Language, Moment, Reason, challenge_of, phase_of
from challenge.api.types import TEXT_PATTERN, Done, Flag, Given, Slug
from challenge.models import Phase
from challenge.rules import settlement as rule
from challenge.rules.disclosure import Precision, Visibility
from challenge.rules.phase_consequences import Code
from challenge.rules.roles import Act
from challenge.services.challenges import phases as service
from challenge.services.challenges import required_languages, settlement, time_zones

router = Router(tags=["organisers"])

PHASE = f"{CHALLENGE}/phases/{{phase}}"
LIMIT_MAX = 2**31 - 1
# Settings that are one of some words.
WORDS = frozenset({"visibility", "detail", "precision"})
# Never read: only what was sent is.
UNSET = datetime(1970, 1, 1, tzinfo=UTC)
Count = Annotated[int, Field(ge=1, le=LIMIT_MAX, strict=True)]
Chosen = Annotated[int, Field(ge=1, le=2**15 - 1, strict=True)]
Bytes = Annotated[int, Field(ge=1, le=10**15, strict=True)]
Digest = Annotated[str, Field(max_length=64, pattern=TEXT_PATTERN)]
Name = dict[Language, Annotated[str, Field(max_length=120, pattern=TEXT_PATTERN)]]
Summary = dict[Language, Annotated[str, Field(max_length=500, pattern=TEXT_PATTERN)]]
Grace = Annotated[
    int, Field(ge=rule.SHORTEST_GRACE_MINUTES, le=rule.LONGEST_GRACE_MINUTES, strict=True)
]


def _without_defaults(schema: dict[str, Any]) -> None:
    """Say no default of a setting that stays as it is where it is left out."""
    for field in schema["properties"].values():
        field.pop("default", None)


class PhaseFields(Given):
    """Settings of a phase; what is left out stays, null lifts a limit, an end or the freeze.

    ``finals_limit``: submissions a team may choose for the final ranking. ``frozen_at``: the
    leaderboard shows what was submitted until then. ``grace_minutes``: from the close and the last
    verdict to the settlement. ``visibility``, ``detail``, ``precision``: who sees the leaderboard,
    what of scores, when in full precision. The docs of challenge files describe every field.
    """

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    name: Name = {}
    summary: Summary = {}
    sort_order: Annotated[int, Field(ge=0, le=LIMIT_MAX, strict=True)] = 0
    opens_at: Moment = UNSET
    closes_at: Moment | None = None
    daily_limit: Count | None = None
    total_limit: Count | None = None
    invalid_daily_limit: Count | None = None
    finals_limit: Chosen | None = None
    archives_kept_days: Annotated[int, Field(ge=1, le=36_500, strict=True)] = 1
    archive_limit_bytes: Bytes = 1
    visibility: Visibility = Visibility.PUBLIC
    detail: Literal["miou", "classes", "domains", "full"] = "full"
    precision: Precision = Precision.LABELS_CLOSED
    grace_minutes: Grace = rule.SHORTEST_GRACE_MINUTES
    frozen_at: Moment | None = None
    freeze_hides_own: Flag = False
    inference_ratio_limit: Annotated[float, Field(ge=0.01, le=1e6, strict=True)] | None = None


class PhaseSettings(PhaseFields):
    """Settings of a phase; only owners change ``is_published``."""

    is_published: Flag = False


class PhasePreviewIn(Given):
    """Changes to look at before they are saved."""

    changes: PhaseSettings


class PhaseChangeIn(PhasePreviewIn):
    """``confirmed`` is the ``confirmation`` of the preview of the same changes.

    It is needed where the preview has consequences. With ``seen``, the one of the phase that the
    changes are based on, nothing is saved if somebody else changed the phase meanwhile.
    """

    confirmed: Digest = ""
    seen: Digest = ""


class NewPhase(PhaseFields):
    """A phase to add. ``slug`` is its address and does not change later."""

    slug: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=50)]
    name: Name
    opens_at: Moment


class SettleIn(Given):
    """Why it is settled by hand."""

    reason: Reason


class TimeZoneIn(Given):
    """The zone on whose clocks the desk takes and shows times, such as Europe/Paris."""

    time_zone: Annotated[str, Field(max_length=60, pattern=TEXT_PATTERN)]


class LanguagesIn(Given):
    """The languages in which every page and text of the challenge must be written."""

    languages: Annotated[list[Language], Field(min_length=1, max_length=2)]


class ConsequenceOut(Schema):
    """What a change means for those who take part: a code and its numbers."""

    code: Code
    params: dict[str, Any]


class PhasePreview(Schema):
    """What really changes, what it means, and the digest that confirms exactly this."""

    changes: dict[str, Any]
    consequences: list[ConsequenceOut]
    confirmation: str


class DeskPhase(Schema):
    """A phase as the desk has it; ``seen`` changes whenever somebody saves it."""

    slug: str
    settings: dict[str, Any]
    seen: str
    settled_at: datetime | None
    has_labels: bool


class Changed(Schema):
    """The names of the settings that really changed, and the phase's ``seen`` after it."""

    changed: list[str]
    seen: str


@router.get(PHASE, response=DeskPhase, auth=ORGANISE)
def get_phase_settings(request: SignedInRequest, slug: Slug, phase: Slug) -> dict[str, Any]:
    """All settings of a phase, published or not."""
    return _phase_out(phase_of(request, slug, phase, Act.READ))


@router.post(f"{CHALLENGE}/phases", response=DeskPhase, auth=ORGANISE)
def create_phase(request: SignedInRequest, slug: Slug, given: NewPhase) -> dict[str, Any]:
    """Add a phase: not published, without labels yet."""
    made = service.create(
        challenge=challenge_of(request, slug, Act.PHASES),
        actor=request.user,
        slug=given.slug,
        values=_sent(given, but="slug"),
    )
    return _phase_out(made)


@router.post(f"{PHASE}/preview", response=PhasePreview, auth=ORGANISE)
def preview_phase(
    request: SignedInRequest, slug: Slug, phase: Slug, given: PhasePreviewIn
) -> dict[str, Any]:
    """What changes would mean now; nothing is saved."""
    changes = _sent(given.changes)
    asked = service.preview(
        phase=phase_of(request, slug, phase, Act.READ), actor=request.user, changes=changes
    )
    return {
        "changes": asked.changes,
        "consequences": [
            {"code": one.code, "params": dict(one.params)} for one in asked.consequences
        ],
        "confirmation": asked.confirmation,
    }


@router.patch(PHASE, response=Changed, auth=ORGANISE)
def change_phase(
    request: SignedInRequest, slug: Slug, phase: Slug, given: PhaseChangeIn
) -> dict[str, Any]:
    """Change settings; what has consequences wants their confirmation (409 without it).

    Only owners change ``is_published``.
    """
    changed_phase = phase_of(request, slug, phase, Act.READ)
    changed = service.change(
        phase=changed_phase,
        actor=request.user,
        changes=_sent(given.changes),
        seen=given.seen,
        confirmed=given.confirmed,
    )
    return {"changed": changed, "seen": service.fingerprint(changed_phase)}


@router.post(f"{PHASE}/settle", response=Done, auth=ORGANISE)
def settle_phase(request: SignedInRequest, slug: Slug, phase: Slug, given: SettleIn) -> Done:
    """Settle a closed phase by hand, whatever still waits."""
    settled = phase_of(request, slug, phase, Act.PUBLISH)
    settlement.settle(phase=settled, actor=request.user, reason=given.reason)
    return Done()


@router.patch(f"{CHALLENGE}/time-zone", response=Done, auth=ORGANISE)
def set_time_zone(request: SignedInRequest, slug: Slug, given: TimeZoneIn) -> Done:
    """Set the zone in which the desk takes and shows times; no moment is moved."""
    challenge = challenge_of(request, slug, Act.PHASES)
    time_zones.set_time_zone(challenge=challenge, actor=request.user, time_zone=given.time_zone)
    return Done()


@router.patch(f"{CHALLENGE}/languages", response=Done, auth=ORGANISE)
def set_required_languages(request: SignedInRequest, slug: Slug, given: LanguagesIn) -> Done:
    """Say in which languages everything must be written; no text is removed."""
    challenge = challenge_of(request, slug, Act.PAGES)
    codes = [str(code) for code in given.languages]
    required_languages.require(challenge=challenge, actor=request.user, codes=codes)
    return Done()


def _sent(fields: PhaseFields, *, but: str = "") -> dict[str, Any]:
    """Return the settings that were sent, as the service takes them."""
    sent = fields.dict(exclude_unset=True, exclude={but})
    return {name: str(sent[name]) if name in WORDS else sent[name] for name in sent}


def _phase_out(phase: Phase) -> dict[str, Any]:
    return {
        "slug": phase.slug,
        "settings": {name: getattr(phase, name) for name in service.FIELDS},
        "seen": service.fingerprint(phase),
        "settled_at": phase.settled_at if phase.settlement_recorded else None,
        "has_labels": phase.ground_truth_id is not None,
    }
