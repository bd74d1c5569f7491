"""The problems of an upload, rendered from one catalogue in English and French.

A :class:`Problem` is a code, a file and a few simple parameters; its text is rendered from the
catalogue in the reader's language. The page, the API, the browser's own check and the participant's
command all use this table (``export()``), so the same fault reads the same everywhere.
Nothing here depends on a label: only on the upload and on public ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from scoring.engine.problems.catalogue import CATALOGUE, PHRASES, SINGULAR

LISTED_PROBLEMS = 20
NAME_CHARACTERS = 120
LANGUAGES = ("en", "fr")
COLON = {"en": ":", "fr": "\u00a0:"}

_PHRASED = frozenset({"what", "kind"})
PARAM_CHARACTERS = 500


def safe_name(name: str, *, limit: int = NAME_CHARACTERS) -> str:
    """`name` with everything unprintable escaped and the middle cut out beyond `limit`.

    >>> safe_name("PRED_1\\u202eFIT.tif")
    'PRED_1\\\\u202eFIT.tif'
    """
    if len(name) <= limit and name.isascii() and name.isprintable():
        return name
    half = limit // 2 - 1
    if len(name) <= limit:
        escaped = _escaped(name)
        if len(escaped) <= limit:
            return escaped
    return f"{_escaped(name[:half])[:half]}…{_escaped(name[-half:])[-half:]}"


def render(
    code: str, lang: str = "en", *, file: str | None = None, **params: str | int | None
) -> str:
    """The catalogue's text for `code`, preceded by the file's name where there is one.

    Raises KeyError for a code or language that the catalogue does not have.
    """
    if lang == "fr":
        for key in _PHRASED & params.keys():
            params[key] = PHRASES.get(str(params[key]), params[key])
    is_single = 1 in (params.get("count"), params.get("pixels"))
    texts = SINGULAR.get(code, CATALOGUE[code]) if is_single else CATALOGUE[code]
    text = texts[lang].format_map(params)
    return f"{file}{COLON[lang]} {text}" if file else text


class ProblemDocument(TypedDict):
    """A problem or note in JSON: its text in English and what to render others from."""

    code: str
    message: str
    file: str | None
    params: dict[str, str | int]


@dataclass(frozen=True)
class Problem:
    """One fault of an upload, or a note about it. Names in it are already escaped."""

    code: str
    file: str | None = None
    params: Mapping[str, str | int] = field(default_factory=dict)

    @classmethod
    def of(cls, code: str, *, file: str | None = None, **params: str | int) -> Problem:
        """Build one, escaping every name; raises KeyError for what the catalogue does not have."""
        clean = {
            k: v if isinstance(v, int) else safe_name(v, limit=PARAM_CHARACTERS)
            for k, v in params.items()
        }
        for key in _PHRASED & clean.keys():
            PHRASES[str(clean[key])]
        CATALOGUE[code]["en"].format_map(clean)
        return cls(code, None if file is None else safe_name(file), clean)

    @property
    def message(self) -> str:
        """The English text."""
        return self.text("en")

    def text(self, lang: str) -> str:
        """The text in `lang` ("en" or "fr")."""
        return render(self.code, lang, file=self.file, **self.params)

    def to_json(self) -> ProblemDocument:
        """The problem as JSON, with its English text."""
        return {
            "code": self.code,
            "message": self.message,
            "file": self.file,
            "params": dict(self.params),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Problem:
        """Inverse of :meth:`to_json`; raises KeyError, TypeError or ValueError if it is not one."""
        if not isinstance(value, Mapping):
            raise TypeError("a problem is a table")
        file, params = value.get("file"), value.get("params") or {}
        if not isinstance(params, Mapping) or not (file is None or isinstance(file, str)):
            raise TypeError("a problem has a file name or none, and a table of parameters")
        if not all(isinstance(v, str | int) for v in params.values()):
            raise TypeError("a problem's parameters are texts and whole numbers")
        return cls.of(str(value["code"]), file=file, **params)


@dataclass
class ProblemList:
    """Problems of one upload: the first ``LISTED_PROBLEMS`` are kept, the rest counted."""

    listed: list[Problem] = field(default_factory=list)
    more: int = 0

    def add(self, problem: Problem) -> None:
        """Keep or count one."""
        if len(self.listed) < LISTED_PROBLEMS:
            self.listed.append(problem)
        else:
            self.more += 1

    def report(self, code: str, *, file: str | None = None, **params: str | int) -> None:
        """Build and keep one, or only count it: building tens of thousands takes seconds."""
        if len(self.listed) < LISTED_PROBLEMS:
            self.listed.append(Problem.of(code, file=file, **params))
        else:
            self.more += 1

    def extend(self, problems: Iterable[Problem]) -> None:
        """Keep or count several."""
        for problem in problems:
            self.add(problem)

    def insert_first(self, problem: Problem) -> None:
        """Keep one that explains the others, before them."""
        self.listed.insert(0, problem)
        if len(self.listed) > LISTED_PROBLEMS:
            self.listed.pop()
            self.more += 1

    def __bool__(self) -> bool:
        return bool(self.listed)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.listed)


class Refused(Exception):
    """The upload cannot be looked at further: carries the one problem that says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem

    @classmethod
    def of(cls, code: str, *, file: str | None = None, **params: str | int) -> Refused:
        """Shorthand for ``Refused(Problem.of(...))``."""
        return cls(Problem.of(code, file=file, **params))


def _escaped(text: str) -> str:
    """Control and bidi characters, odd spaces … as \\uXXXX: a terminal could act on them."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def export() -> dict[str, dict[str, str]]:
    """``{code: {"en": template, "fr": template}}``, the whole catalogue, for scripts and pages."""
    return {code: dict(texts) for code, texts in sorted(CATALOGUE.items())}


def singular(lang: str) -> dict[str, str]:
    """``{code: template}`` in `lang`: the texts used where `count` or `pixels` is 1."""
    return {code: texts[lang] for code, texts in sorted(SINGULAR.items())}


def phrases(lang: str) -> dict[str, str]:
    """Translations of parameters into `lang`: ``{English: translation}``, empty for English."""
    return dict(PHRASES) if lang == "fr" else {}
