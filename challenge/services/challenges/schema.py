"""What may stand in ``challenge.toml``: one pydantic model for each table.

Described for organisers in ``docs/challenge-file.md``; a test compares the two. ``[task]`` is
checked by the scoring engine, which also reads it without the site. Pure: no Django.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from challenge.rules import languages, settlement, zone_times
from challenge.rules.languages import LANGUAGES
from challenge.services.challenges.validation import show
from scoring.engine.pictures.layers import BANDS

SPLITS = ("train", "val", "test")
ARCHIVES_DAYS = 90
TEAM_ARCHIVES_BYTES = 100_000_000_000

_LARGEST = 2**31 - 1
_EVERY_LANGUAGE = "{ " + ", ".join(f'{code} = "…"' for code in LANGUAGES) + " }"
_A_DAY = 'a date such as 2023-05-21 or "2023-05"'


def required_languages(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the languages that a challenge file requires of its texts and pages; all by default.

    What is no list of known languages is a mistake that validation reports.
    """
    head = content.get("challenge")
    wanted = head.get("languages") if isinstance(head, Mapping) else None
    if not isinstance(wanted, list):
        return LANGUAGES
    return tuple(languages.ordered(code for code in wanted if isinstance(code, str))) or LANGUAGES


def _check_languages(texts: dict[str, str], info: ValidationInfo) -> dict[str, str]:
    """Raise unless there is a text in every required language and in no unknown one."""
    required = (info.context or {}).get("languages", LANGUAGES)
    for code in required:
        if not texts.get(code, "").strip():
            wanted = "{ " + ", ".join(f'{one} = "…"' for one in required) + " }"
            raise PydanticCustomError(
                "language_missing", f"has no text in {code!r}; {wanted} is needed"
            )
    for code in texts:
        if code not in LANGUAGES:
            raise PydanticCustomError(
                "language_unknown",
                f"has the language {code!r}; allowed are {', '.join(LANGUAGES)}",
            )
    return {code: texts[code] for code in LANGUAGES if texts.get(code, "").strip()}


def _check_required(codes: list[str]) -> list[str]:
    if not codes or len(set(codes)) != len(codes):
        raise PydanticCustomError(
            "languages", f"is {show(codes)}; give each of {', '.join(LANGUAGES)} once at most"
        )
    return languages.ordered(codes)


def _check_zone(name: str) -> str:
    if name not in zone_times.NAMES:
        raise PydanticCustomError(
            "zone", f"is {name!r}; a time zone such as Europe/Paris or UTC is needed"
        )
    return name


def _iso_day(value: Any) -> str:
    """Return a date, or a text such as ``2023-05`` where the day is not known, as ISO text."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and re.fullmatch(r"\d{4}(-(0[1-9]|1[0-2]))?", value, re.ASCII):
        return value
    raise PydanticCustomError("day", f"is {show(value)}; {_A_DAY} is needed")


def _number_or_text(value: Any) -> int | float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        raise PydanticCustomError("number_or_text", "a number or a text is needed")
    return value


Text = Annotated[str, StringConstraints(min_length=1)]
Texts = Annotated[dict[str, str], AfterValidator(_check_languages)]
Day = Annotated[str, BeforeValidator(_iso_day)]
SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*$"
KEY = r"^[a-z0-9]+(_[a-z0-9]+)*$"
COLOR = r"^#[0-9a-f]{6}$"
URL = r"^https?://[^\s<>\"]+$"
SIZE = r"^[0-9]+(\.[0-9]+)? [kMGT]?B$"


def _slug(example: str) -> Any:
    return Field(pattern=SLUG, max_length=50, examples=[example])


def _texts(*, required: bool = True) -> Any:
    if required:
        return Field(description=_EVERY_LANGUAGE)
    return Field(default_factory=dict, description=_EVERY_LANGUAGE)


def _url() -> Any:
    return Field(pattern=URL, examples=["https://example.org/page"])


def _color() -> Any:
    return Field(pattern=COLOR, examples=["#db0e9a"])


class Table(BaseModel):
    """A table of the file: values have exactly their type, unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Licence(Table):
    """``licence`` in ``[challenge]``."""

    name: Texts = _texts()
    url: str = _url()


class Challenge(Table):
    """``[challenge]``."""

    slug: str = _slug("flair-1")
    title: Texts = _texts()
    tagline: Texts = _texts(required=False)
    summary: Texts = _texts(required=False)
    order: int = Field(default=0, ge=0, le=_LARGEST)
    published: bool = False
    time_zone: Annotated[str, AfterValidator(_check_zone)] = "UTC"
    languages: Annotated[list[Literal["en", "fr"]], AfterValidator(_check_required)] = Field(
        default=["en", "fr"], description='a list such as ["en", "fr"]'
    )
    terms_version: str = Field(default="1", max_length=40)
    approval_required: bool = False
    team_size_limit: int | None = Field(default=None, ge=1, le=1000)
    team_merge_until: AwareDatetime | None = None
    team_archives_bytes: int = Field(default=TEAM_ARCHIVES_BYTES, ge=1, le=10**15)
    organiser: str = ""
    licence: Licence | None = None
    held_from: Day = Field(default="", description=_A_DAY)
    held_until: Day = Field(default="", description=_A_DAY)


class Phase(Table):
    """One ``[[phases]]`` table. A limit of None is no limit."""

    slug: str = _slug("test")
    name: Texts = _texts()
    summary: Texts = _texts(required=False)
    published: bool = False
    opens_at: AwareDatetime
    closes_at: AwareDatetime | None = None
    daily_limit: int | None = Field(default=None, ge=1, le=_LARGEST)
    total_limit: int | None = Field(default=None, ge=1, le=_LARGEST)
    invalid_daily_limit: int | None = Field(default=None, ge=1, le=_LARGEST)
    finals_limit: int | None = Field(default=None, ge=1, le=100)
    archive_bytes: int | None = Field(default=None, ge=1, le=2**50)
    grace_minutes: int = Field(
        default=60, ge=settlement.SHORTEST_GRACE_MINUTES, le=settlement.LONGEST_GRACE_MINUTES
    )
    visibility: Literal["public", "after-close", "own-team", "organisers"] = "public"
    detail: Literal["full", "domains", "classes", "miou"] = "full"
    precision: Literal["labels-closed", "phase-closed"] = "labels-closed"
    labels_public: bool = False
    archives_kept_days: int = Field(default=ARCHIVES_DAYS, ge=1, le=36_500)
    inference_ratio_limit: float | None = Field(default=None, ge=0.01, le=1_000_000)
    ids_csv: str = ""
    kit: str = Field(default="", max_length=200)


class Result(Table):
    """One ``[[results]]`` table; mIoU, deviation and IoUs are fractions."""

    phase: str = "test"
    name: Annotated[Text, StringConstraints(max_length=120)]
    kind: Literal["podium", "baseline"]
    miou: float = Field(ge=0, le=1)
    std: float | None = Field(default=None, ge=0, le=1)
    ious: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="a table of fractions by class key"
    )
    source: str = Field(default="", max_length=200)


class Link(Table):
    """One ``[[links]]`` table."""

    name: Texts = _texts()
    url: str = _url()


class Figure(Table):
    """One ``[[figures]]`` table: a key figure of the data."""

    key: str = Field(pattern=KEY, examples=["train_patches"])
    value: Annotated[Any, AfterValidator(_number_or_text)] = Field(description="a number or a text")
    name: Texts = _texts()
    unit: Text | None = None


class Label(Table):
    """One ``[[nomenclature]]`` table: a label of the masks."""

    label: int = Field(ge=0, le=254)
    key: str = Field(pattern=KEY, examples=["bare_soil"])
    class_key: Text = Field(alias="class")
    name: Texts = _texts()
    color: str = _color()
    train_percent: float | None = Field(default=None, ge=0, le=100)
    test_percent: float | None = Field(default=None, ge=0, le=100)


class Download(Table):
    """One ``[[downloads]]`` table: a file of the data set."""

    file: Text
    size: str = Field(pattern=SIZE, examples=["50.7 GB"])
    content: Texts = _texts()
    url: str = _url()


class Domain(Table):
    """One domain of a split."""

    id: Text
    name: Text
    department: Text | None = None
    year: int | None = Field(default=None, ge=1, le=9999)
    patches: int | None = Field(default=None, ge=1, le=_LARGEST)


class Domains(Table):
    """``[domains]``: the official splits."""

    train: list[Domain] = []
    val: list[Domain] = []
    test: list[Domain] = []


class Images(Table):
    """``[images]``: which band of the phases' images is what."""

    bands: list[Literal["red", "green", "blue", "near_infrared", "height", ""]] = Field(
        default=[], max_length=5, description=f"a list of {', '.join(BANDS)}, or empty texts"
    )


class Page(Table):
    """One ``[[pages]]`` table; its texts are files beside the toml."""

    slug: str = _slug("overview")
    title: Texts = _texts()


class Announcement(Table):
    """One ``[[announcements]]`` table."""

    key: str = _slug("open-again")
    title: Texts = _texts()
    body: Texts = _texts()
    published_at: AwareDatetime
    mail_to: Literal["nobody", "subscribers", "participants"] = "nobody"


class Document(Table):
    """The whole file."""

    challenge: Challenge
    task: Any = Field(default=None, description="a table [task]")
    phases: list[Phase] = []
    results: list[Result] = []
    links: list[Link] = []
    figures: list[Figure] = []
    nomenclature: list[Label] = []
    downloads: list[Download] = []
    domains: Domains = Domains()
    images: Images = Images()
    pages: list[Page] = []
    announcements: list[Announcement] = []
