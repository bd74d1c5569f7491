"""A challenge's folder is read strictly: each mistake with its file, line and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from challenge.services.challenges import challenge_file
from challenge.services.challenges.toml_document import FileMistakes, Mistake
from tests.challenges import folders


def mistakes(folder: Path) -> list[Mistake]:
    with pytest.raises(FileMistakes) as caught:
        challenge_file.read(folder)
    return caught.value.mistakes


def test_it_works(tmp_path: Path) -> None:
    file = challenge_file.read(folders.write(tmp_path))

    assert file.slug == "tiny"
    assert file.head.title == {"en": "Tiny", "fr": "Minuscule"}
    assert [c.key for c in file.spec.classes] == ["land", "water", "other"]
    assert file.spec.expected == ()
    (phase,) = file.phases
    assert [(p.id, p.domain, p.zone) for p in phase.patches] == [
        ("000001", "D002_2021", "Z1_UU"),
        ("000002", "D002_2021", "Z1_UU"),
    ]
    assert (phase.table.daily_limit, phase.archive_bytes, phase.table.detail) == (
        5,
        1_000_000,
        "domains",
    )
    assert [(p.slug, p.language, p.title) for p in file.pages[:2]] == [
        ("overview", "en", "Overview"),
        ("overview", "fr", "Présentation"),
    ]
    assert file.results[0].ious == {"land": 0.6, "water": 0.4}
    assert file.facts["domains"]["test"][0]["patches"] == 2
    assert file.facts["nomenclature"][1]["class"] == "other"


def test_the_path_may_name_the_folder_or_the_file(tmp_path: Path) -> None:
    folders.write(tmp_path)
    assert challenge_file.read(tmp_path / "challenge.toml") == challenge_file.read(tmp_path)


def test_a_folder_without_the_file_is_reported(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path)
    assert "there is no challenge.toml here" in mistake.message


# (text that is replaced, by what, text at whose line the mistake is reported, part of the message)
SPOILT = [
    ('slug = "tiny"', 'slug = "Tiny One"', 'slug = "tiny"', "write it like flair-1"),
    ('slug = "tiny"\n', 'slug = "tiny"\ncolour = 1\n', "published = true", "not a known key"),
    ("published = true", 'published = "yes"', "published = true", "true or false is needed"),
    ("published =", "publishd =", "published = true", "did you mean published?"),
    ('fr = "Minuscule"', 'de = "Winzig"', "title = {", "no text in 'fr'"),
    ('id = "tiny"', 'id = "other-slug"', 'id = "tiny"', "make them equal"),
    ("patch_height_px = 8", "patch_height_px = 0", "patch_height_px", "allowed are 1 to"),
    ('"full-matrix"', '"half-matrix"', "unscored_policy", "delete-first"),
    ("labels = [2]", "labels = [1]", "labels = [2]", "already belongs to class 'land'"),
    ('color = "#1553ae"', 'color = "blue"', 'color = "#1553ae"', "#db0e9a"),
    ('ids_csv = "ids.csv"', 'ids_csv = "no.csv"', 'ids_csv = "ids.csv"', "no.csv"),
    ('ids_csv = "ids.csv"', 'ids_csv = "../ids.csv"', 'ids_csv = "ids.csv"', "outside"),
    ("opens_at = 2024-01-01T00:00:00Z", "opens_at = 2024-01-01T00:00:00", "opens_at", "with Z"),
    ("opens_at = 2024-01-01T00:00:00Z", "opens_at = 2024-01-01", "opens_at", "date-time"),
    ("2030-01-01T00:00:00Z", "2023-01-01T00:00:00Z", "closes_at", "closes after it opens"),
    ("daily_limit = 5", "daily_limit = 0", "daily_limit = 5", "is 0; allowed are 1 to"),
    ("daily_limit = 5", "daily_limit = true", "daily_limit = 5", "is true; a whole number"),
    ("1_000_000", "6_000_000_000", "archive_bytes", "allowed are 1 to 5000000000"),
    ('visibility = "public"', 'visibility = "all"', "visibility", "public, after-close, own-team"),
    ('detail = "domains"', 'detail = "some"', "detail", "full, domains, classes, miou"),
    ("miou = 0.5", "miou = 50", "miou = 0.5", "is 50; allowed are 0 to 1"),
    ("miou = 0.5\n", "", "[[results]]", "a number from 0 to 1 is needed"),
    ("water = 0.4", "watter = 0.4", "water = 0.4", "no scored class; allowed are land, water"),
    ('kind = "baseline"', 'kind = "sota"', "kind =", "podium, baseline"),
    ('"50.7 GB"', '"big"', "size =", "write it like 50.7 GB"),
    ('url = "https', 'url = "javascript', "url =", "https://example.org"),
    ('class = "other"', 'class = "water"', 'class = "other"', "reduces it to 'other'"),
    ("label = 4", "label = 1", "label = 4", "is given twice"),
    ("label = 4", "label = 9", 'class = "other"', "knows no such label"),
    ("2024-01-01T08:00:00Z", '"soon"', "published_at", "a date-time with its offset"),
    ('"D001_2020"', '"D002_2021"', "test = [", "is given twice"),
    ("[[downloads]]", "[downloads]", "[[downloads]]", "is a table; tables [[downloads]]"),
    ("[[pages]]", "[[pags]]", "[[pages]]", "did you mean pages?"),
]


@pytest.mark.parametrize(("old", "new", "at", "said"), SPOILT, ids=[f"{s[1]}" for s in SPOILT])
def test_a_mistake_is_reported_at_its_line(
    tmp_path: Path, old: str, new: str, at: str, said: str
) -> None:
    found = mistakes(folders.write(tmp_path, replacing=old, by=new))

    line = folders.line_of(at)
    assert any(m.line == line and said in m.message for m in found), (line, [str(m) for m in found])
    assert all(m.file == "challenge.toml" or m.line == 0 for m in found)


def test_a_syntax_error_has_its_line(tmp_path: Path) -> None:
    (mistake,) = mistakes(
        folders.write(tmp_path, replacing="patch_height_px = 8", by="patch_height_px = ")
    )
    assert (mistake.file, mistake.line) == ("challenge.toml", folders.line_of("patch_height_px"))
    assert mistake.message.startswith("not valid TOML: ")


def test_an_unclosed_text_at_the_end_has_a_line(tmp_path: Path) -> None:
    folders.write(tmp_path)
    path = tmp_path / "challenge.toml"
    path.write_text(folders.TOML + 'x = """never closed', encoding="utf-8")
    (mistake,) = mistakes(tmp_path)
    assert mistake.line == folders.TOML.count("\n") + 1


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    folders.write(tmp_path)
    path = tmp_path / "challenge.toml"
    text = folders.TOML.replace("daily_limit = 5", "daily_limit = -1", 1)
    text = text.replace('kind = "baseline"', 'kind = "x"').replace("published = true", "pub = 1", 1)
    path.write_text(text, encoding="utf-8")
    assert [m.line for m in mistakes(tmp_path)] == [
        folders.line_of("published = true"),
        folders.line_of("daily_limit = 5"),
        folders.line_of("kind ="),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("000002", "000001", 3, "listed twice; first in line 2"),
        ("Z1_UU,000002", ",000002", 3, "a domain or a zone alone"),
        ("domain,zone,patch", "domain,zone,id", 0, "no column 'patch'"),
        ("000002", "../etc", 0, "not a legal patch id"),
    ],
)
def test_a_mistake_in_the_id_list_is_reported(
    tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    found = mistakes(folders.write(tmp_path, replacing=old, by=new, name="ids.csv"))
    if line:
        assert any((m.file, m.line) == ("ids.csv", line) and said in m.message for m in found)
    else:
        at = folders.line_of("ids_csv")
        assert any((m.file, m.line) == ("challenge.toml", at) and said in m.message for m in found)


def test_a_phase_may_list_only_expected_patches(tmp_path: Path) -> None:
    folders.write(tmp_path)
    path = tmp_path / "challenge.toml"
    head, phases = folders.TOML.split("[[phases]]")
    path.write_text(
        head + "[[phases]]" + phases.replace('"ids.csv"', '"few.csv"'), encoding="utf-8"
    )
    (tmp_path / "few.csv").write_text("patch\n000001\n000007\n", encoding="utf-8")
    (mistake,) = mistakes(tmp_path)
    assert (mistake.file, mistake.line) == ("few.csv", 3)
    assert "000007 is not one of the task's expected patches" in mistake.message


def test_a_missing_page_is_reported(tmp_path: Path) -> None:
    folders.write(tmp_path)
    (tmp_path / "pages/overview.fr.md").unlink()
    (mistake,) = mistakes(tmp_path)
    assert mistake.line == folders.line_of('slug = "overview"')
    assert "pages/overview.fr.md is missing" in mistake.message


def test_a_page_of_nothing_is_reported(tmp_path: Path) -> None:
    folders.write(tmp_path)
    (tmp_path / "pages/stray.en.md").write_text("Hello", encoding="utf-8")
    (mistake,) = mistakes(tmp_path)
    assert mistake.file == "pages/stray.en.md"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "is empty"),
        ("One.\n\n[[clases]]\n", 3, "stands for nothing; allowed are [[figures]]"),
        (
            "One.\nSee [terms](terms).\n",
            2,
            "links to 'terms', no page; allowed are overview, data, rules",
        ),
    ],
)
def test_a_mistake_in_a_page_has_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    folders.write(tmp_path)
    (tmp_path / "pages/overview.en.md").write_text(text, encoding="utf-8")
    (mistake,) = mistakes(tmp_path)
    assert (mistake.file, mistake.line) == ("pages/overview.en.md", line)
    assert said in mistake.message


def test_bytes_that_are_not_utf_8_are_reported(tmp_path: Path) -> None:
    folders.write(tmp_path)
    (tmp_path / "pages/overview.en.md").write_bytes(b"caf\xe9\n")
    (mistake,) = mistakes(tmp_path)
    assert (mistake.file, mistake.line) == ("pages/overview.en.md", 1)
    assert "UTF-8" in mistake.message


@pytest.mark.parametrize("slug", ["overview", "rules"])
def test_a_published_challenge_has_the_pages_that_joining_needs(tmp_path: Path, slug: str) -> None:
    """Without them it loaded, and its first page or joining it was a 404."""
    folder = folders.write(tmp_path, replacing=f'slug = "{slug}"\ntitle', by='slug = "more"\ntitle')
    for language in ("en", "fr"):
        page = folder / f"pages/{slug}.{language}.md"
        page.rename(folder / f"pages/more.{language}.md").write_text("# More\n", encoding="utf-8")
    line = folders.line_of("published = true")
    assert any(m.line == line and slug in m.message for m in mistakes(folder))
    text = (folder / "challenge.toml").read_text(encoding="utf-8")
    hidden = text.replace("published = true", "published = false", 1)
    (folder / "challenge.toml").write_text(hidden, encoding="utf-8")
    assert challenge_file.read(folder).pages


def _french(text: str) -> str:
    return re.sub(r'en = "[^"]*", (fr = )', r"\1", text)


def test_a_challenge_in_one_language_needs_its_texts_and_pages_in_no_other(tmp_path: Path) -> None:
    folders.write(tmp_path)
    toml = tmp_path / "challenge.toml"
    text = toml.read_text(encoding="utf-8")
    head, task, rest = text.partition("[task]")
    task, phases, rest = (task + rest).partition("[[phases]]")  # classes keep an English name
    text = _french(head) + task + _french(phases + rest)
    toml.write_text(text.replace('slug = "tiny"', 'slug = "tiny"\nlanguages = ["fr"]', 1))
    (tmp_path / "pages/overview.en.md").unlink()
    text = toml.read_text(encoding="utf-8")
    for number, spoilt in enumerate((text, text.replace('["fr"]', '["fr", "fr"]'))):
        toml.write_text(spoilt, encoding="utf-8")
        if number:
            with pytest.raises(FileMistakes, match="once at most"):
                challenge_file.read(tmp_path)
            continue
        file = challenge_file.read(tmp_path)
        assert (file.head.languages, file.head.title) == (["fr"], {"fr": "Minuscule"})
        written = [(page.slug, page.language) for page in file.pages]
        assert ("overview", "fr") in written
        assert ("overview", "en") not in written
