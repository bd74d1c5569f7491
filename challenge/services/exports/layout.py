"""What stands in the export of a whole challenge: its members and the form of their lines.

Described for people in ``docs/challenge-export.md`` (a test compares). One pydantic model for each
kind of line: what writes an export and what reads one use the same. Pure: no Django.

Numbers of people and teams are those of this export alone: a team's is its number where it was
exported, a person's says nothing. Longer than 400 lines: the models are the format, in one place.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field

from challenge.rules.languages import LANGUAGES
from challenge.services.challenges.schema import SLUG, Table

TYPE = "challenge export"
# Raised when a member or a key changes its meaning; an import reads exactly this one.
FORMAT = 1
MANIFEST = "manifest.json"
DESCRIPTION = "description/"


def _one_of(*words: str) -> Any:
    return Field(pattern=rf"^({'|'.join(words)})$")


_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Slug = Annotated[str, Field(pattern=SLUG, max_length=50)]
_Language = Annotated[str, _one_of(*LANGUAGES)]
_Texts = dict[_Language, str]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Address = Annotated[str, Field(pattern=r"^(https?://[^\s<>\"]*)?$", max_length=200)]
_Zones = Annotated[str, _one_of("all", "public", "private")]
_Person = Annotated[int, Field(ge=1)]
_Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Record(Table):
    """One line of a member. Strict: unknown keys and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Challenge(Record):
    """``texts.jsonl``, one line: the texts as they are, where the file needs every language."""

    title: _Texts
    tagline: _Texts
    summary: _Texts
    is_published: bool


class Task(Record):
    """A version of the task; ``data`` is a task specification."""

    version: _Count
    digest: _Sha256
    data: dict[str, Any]


class Labels(Record):
    """A version of a phase's labels: never a pixel.

    ``digest`` and ``commitment_key`` are null while the labels are hidden, ``public_zones`` and
    ``split_nonce`` empty until the reveal.
    """

    name: _Slug
    version: _Count
    patches: list[tuple[str, str, str]]
    labels_public: bool
    commitment: _Sha256
    digest: _Sha256 | None
    commitment_key: _Sha256 | None
    steps: dict[str, Any]
    full_precision_at: AwareDatetime | None
    split_commitment: str = Field(max_length=64)
    zone_count: _Count
    public_zone_count: _Count
    public_patch_count: _Count
    public_pixels: int = Field(ge=0)
    public_zones: list[str]
    split_nonce: str = Field(max_length=64)


class Phase(Record):
    """What the challenge file does not say of a phase.

    ``figures``: "full", or "rounded" while the disclosure policy rounds them for organisers.
    """

    slug: _Slug
    name: _Texts
    summary: _Texts
    archive_limit_bytes: int = Field(ge=1)
    grace_minutes: _Count
    task_version: _Count | None
    labels_name: _Slug | None
    labels_version: _Count | None
    figures: Annotated[str, _one_of("full", "rounded")]
    frozen_at: AwareDatetime | None
    freeze_hides_own: bool
    late_until: AwareDatetime | None
    settled_at: AwareDatetime | None
    revealed_at: AwareDatetime | None
    counted_zones: _Zones
    ranked_at: AwareDatetime | None
    ranks_version: _Count
    ranks_step: float | None
    result_version: _Count


class Acceptance(Record):
    """One version of the rules that a person accepted."""

    version: str = Field(max_length=40)
    accepted_at: AwareDatetime


class Registration(Record):
    """That a person takes part."""

    state: Annotated[str, _one_of("pending", "approved", "refused")]
    terms_version: str = Field(max_length=40)
    accepted_at: AwareDatetime
    note: str
    acceptances: list[Acceptance]


class Role(Record):
    """A role that a person has or had on the desk: such a person does not rank."""

    role: Annotated[str, _one_of("owner", "editor", "judge", "observer")]
    granted_at: AwareDatetime
    expires_at: AwareDatetime | None


class Person(Record):
    """A person by number; name, address and affiliation are null without personal data."""

    person: _Person
    username: Annotated[str, Field(max_length=150)] | None
    email: Annotated[str, Field(max_length=254)] | None
    affiliation: Annotated[str, Field(max_length=200)] | None
    language: str = Field(max_length=8)
    is_platform: bool
    registration: Registration | None
    role: Role | None


class Member(Record):
    """A person in a team."""

    person: _Person
    role: Annotated[str, _one_of("captain", "member")]
    joined_at: AwareDatetime


class Disqualification(Record):
    """A whole team off the leaderboards; reasons are empty without personal data."""

    reason: str
    disqualified_at: AwareDatetime
    disqualified_by: _Person | None
    lifted_at: AwareDatetime | None
    lifted_by: _Person | None
    lifted_reason: str


class Team(Record):
    """A team with its members."""

    team: int = Field(ge=1, le=2**62)
    name: str = Field(min_length=1, max_length=60)
    affiliation: str = Field(max_length=200)
    is_platform: bool
    merged_into: int | None
    created_at: AwareDatetime
    members: list[Member]
    disqualifications: list[Disqualification]


class Grant(Record):
    """What a team may do beyond the rules of a phase."""

    late: bool
    extra_places: _Count
    until: AwareDatetime
    reason: str
    granted_by: _Person | None
    granted_at: AwareDatetime
    withdrawn_by: _Person | None
    withdrawn_at: AwareDatetime | None


class Entry(Record):
    """A team in a phase, in the order in which they entered; equal ranks are shown in it."""

    phase: _Slug
    team: int
    created_at: AwareDatetime


class PhaseGrant(Grant):
    """A grant with its team and phase."""

    phase: _Slug
    team: int


class Event(Record):
    """One transition of an evaluation's state."""

    from_state: str = Field(max_length=16)
    to_state: str = Field(max_length=16)
    attempt: _Count
    at: AwareDatetime
    reason: str = Field(max_length=200)


class QuotaLine(Record):
    """One line of the quota ledger; ``day`` is a UTC day."""

    move: Annotated[str, _one_of("reserved", "consumed", "refunded")]
    day: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    at: AwareDatetime
    reason: str = Field(max_length=80)


class TrainingRun(Record):
    """The run that made a baseline: its seed tells the rows of one method apart.

    ``recipe_text`` (TOML) and its SHA-256 are there where the recipe was an organiser's own.
    """

    run: UUID
    recipe: str = Field(max_length=80)
    recipe_text: str = Field(default="", max_length=65_536)
    recipe_digest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    overrides: dict[str, Any] = Field(default_factory=dict)
    data_root: str = Field(default="", max_length=80)
    seed: _Count
    group: str = Field(max_length=80)
    queued_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None


class CardClass(Record):
    """One class of a card; values are null while figures are rounded."""

    id: int
    key: str
    name: str
    scored: bool
    predicted_pixels: int | None
    truth_pixels: int | None = None
    iou: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


class CardDomain(Record):
    """One domain of a card."""

    patches: int
    pixels: int
    miou: float | None
    ious: list[float | None]
    confusion: list[list[int]]


class CardIntervals(Record):
    """The intervals of a card."""

    miou: list[float] | None = None
    classes: list[list[float] | None] = []
    method: str | None = None


class Card(Record):
    """What organisers may see of a score card. Zones' matrices are in none."""

    spec: str
    spec_digest: str
    engine_version: str
    content_digest: str
    patches: int
    pixels: int
    seconds: int
    notes: list[dict[str, Any]]
    predicted_frequencies: list[float] | None
    classes: list[CardClass]
    miou: float | None = None
    overall_accuracy: float | None = None
    mean_f1: float | None = None
    confusion: list[list[int]] = []
    domains: dict[str, CardDomain] = {}
    intervals: CardIntervals = CardIntervals()


class RoundedClass(Record):
    """One class's rounded values."""

    id: int
    key: str
    iou: float | None
    recall: float | None
    f1: float | None


class Rounded(Record):
    """The values that leave while the labels are hidden."""

    miou: float | None
    miou_interval: list[float | None] | None
    overall_accuracy: float | None
    mean_f1: float | None
    classes: list[RoundedClass]
    class_ious: dict[str, float | None]


class Score(Record):
    """A score as organisers may see it: full values are null while figures are rounded."""

    counted_zones: _Zones
    created_at: AwareDatetime
    rounded: Rounded | None
    rounded_miou: _Fraction | None
    miou: _Fraction | None
    overall_accuracy: float | None
    mean_f1: float | None
    miou_low: float | None
    miou_high: float | None
    class_ious: dict[str, float | None]
    domain_mious: dict[str, float | None]
    card: Card


class Evaluation(Record):
    """An evaluation under the phase's present labels and task."""

    revision: int = Field(ge=1, le=32767)
    state: Annotated[str, _one_of("queued", "scoring", "scored", "rejected", "failed", "cancelled")]
    priority: int = Field(ge=0, le=1)
    attempt: int = Field(ge=0, le=32767)
    queued_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    error_code: str = Field(max_length=64)
    patches_done: _Count
    patches_total: _Count
    problems: list[dict[str, Any]]
    problems_more: _Count
    events: list[Event]
    score: Score | None


class Submission(Record):
    """A submission. ``archive`` is the member with its archive, null where it is not there."""

    id: UUID
    team: int
    number: int = Field(ge=1, le=2**31 - 1)
    submitted_by: _Person | None
    created_at: AwareDatetime
    archive: _Name | None
    archive_sha256: _Sha256
    archive_bytes: int = Field(ge=0)
    original_name: str = Field(max_length=255)
    method_name: str = Field(max_length=120)
    method_description: str
    external_data: str
    code_url: _Address
    paper_url: _Address
    baseline_seconds: float | None
    method_seconds: float | None
    hardware: str = Field(max_length=120)
    is_baseline: bool
    is_final: bool
    disqualified_at: AwareDatetime | None
    disqualified_reason: str
    disqualified_by: _Person | None
    training_runs: list[TrainingRun]
    quota: list[QuotaLine]
    evaluations: list[Evaluation]


class Rank(Record):
    """A line of a leaderboard as it was made; ``lead_probability`` keeps comparisons."""

    phase: _Slug
    team: int
    submission: UUID
    revision: int
    rank: int | None
    group: _Count
    lead_probability: float | None
    submission_count: _Count
    miou: _Fraction
    public_rank: int | None
    public_miou: float | None


class FinalResult(Record):
    """A signed version of a phase's final result, as it was signed."""

    phase: _Slug
    version: int = Field(ge=1, le=32767)
    document: dict[str, Any]
    signature: str = Field(max_length=88)
    key: str = Field(max_length=44)
    reason: str
    signed_at: AwareDatetime
    signed_by: _Person | None


class Page(Record):
    """A page in one language as it is now."""

    slug: _Slug
    language: _Language
    title: str = Field(max_length=200)
    sort_order: int
    markdown: str


class PageVersion(Record):
    """What a page said once."""

    slug: _Slug
    language: _Language
    number: int = Field(ge=1)
    title: str = Field(max_length=200)
    markdown: str
    author: _Person | None
    created_at: AwareDatetime


class Announcement(Record):
    """An announcement; an import never mails it."""

    key: str = Field(pattern=r"^[-a-zA-Z0-9_]*$", max_length=50)
    title: _Texts
    body: _Texts
    published_at: AwareDatetime | None
    created_by: _Person | None


class Message(Record):
    """A mail of organisers to participants; who got it stays behind."""

    subject: dict[str, str]
    body: dict[str, str]
    audience: dict[str, Any]
    about_rules: bool
    sent_by: _Person | None
    created_at: AwareDatetime


class TrailEvent(Record):
    """One event of the trail."""

    at: AwareDatetime
    actor: _Person | None
    action: str = Field(max_length=64)
    target: str = Field(max_length=200)
    data: dict[str, Any]


class ManifestMember(Record):
    """One member: its size and digest."""

    name: _Name
    bytes: int = Field(ge=0)
    sha256: _Sha256


class Manifest(Record):
    """What the export is and has. ``left_out``: coded facts, each with ``code``."""

    type: str
    format: int
    challenge: _Slug
    exported_at: AwareDatetime
    personal_data: bool
    archives: bool
    left_out: list[dict[str, Any]]
    members: list[ManifestMember]


class SignedManifest(Record):
    """``manifest.json``: the manifest, signed as receipts are by where it was exported."""

    manifest: dict[str, Any]
    signature: str
    key: str


# The members of lines, in the order in which they are written and read.
LINES: dict[str, type[Record]] = {
    "texts.jsonl": Challenge,
    "tasks.jsonl": Task,
    "labels.jsonl": Labels,
    "phases.jsonl": Phase,
    "pages.jsonl": Page,
    "page-versions.jsonl": PageVersion,
    "people.jsonl": Person,
    "teams.jsonl": Team,
    "entries.jsonl": Entry,
    "grants.jsonl": PhaseGrant,
    "ranks.jsonl": Rank,
    "results.jsonl": FinalResult,
    "announcements.jsonl": Announcement,
    "messages.jsonl": Message,
    "trail.jsonl": TrailEvent,
}
_MEMBER = re.compile(
    r"description/challenge\.toml|description/(pages|ids)/[a-z0-9.-]+\.(md|csv)"
    r"|submissions/[a-z0-9-]+\.jsonl|archives/[a-z0-9-]+/[0-9a-f-]{36}\.zip",
    re.ASCII,
)


def submissions_member(phase: str) -> str:
    """Return the member with the submissions of a phase."""
    return f"submissions/{phase}.jsonl"


def is_member(name: str) -> bool:
    """Say whether an export may have a member of this name, the manifest aside.

    >>> is_member("submissions/test.jsonl"), is_member("description/../x.md")
    (True, False)
    """
    return name in LINES or _MEMBER.fullmatch(name) is not None
