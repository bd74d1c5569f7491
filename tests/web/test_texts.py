"""No text without its French, and none that no translator sees."""

from __future__ import annotations

import gettext
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.utils.translation import templatize

from challenge.embedded.data_folder import ROOT

SITE = ROOT / "challenge"
PO = SITE / "locale" / "fr" / "LC_MESSAGES" / "django.po"
TEMPLATES = sorted((SITE / "templates").rglob("*.html"))
# Written alike in both languages, or shown before a language is known.
ALIKE = {"FLAIR", "SHA-256", "CSV", "JSON", "mIoU", "captain"}
ALONE = {SITE / "templates" / "500.html", SITE / "templates" / "503.html"}


def test_every_text_is_translated(tmp_path: Path) -> None:
    """Extract anew: each text found must stand in the French file, translated and not fuzzy."""
    if shutil.which("xgettext") is None:
        pytest.fail("found no xgettext; install gettext (apt-get install gettext)")
    sources = [
        path
        for path in SITE.rglob("*.py")
        if "migrations" not in path.parts and "config" not in path.parts
    ]
    listed = tmp_path / "files"
    generated = []
    for template in TEMPLATES:
        copy = tmp_path / f"{template.relative_to(SITE).as_posix().replace('/', '_')}.py"
        copy.write_text(templatize(template.read_text(encoding="utf-8")), encoding="utf-8")
        generated.append(copy)
    listed.write_text("\n".join(map(str, [*sources, *generated])), encoding="utf-8")
    pot = tmp_path / "found.pot"
    subprocess.run(
        ["xgettext", "--language=Python", "--from-code=UTF-8", f"--files-from={listed}",
         "--keyword=gettext_noop", "--keyword=gettext_lazy", "--keyword=ngettext_lazy:1,2",
         "--keyword=pgettext:1c,2", "--keyword=npgettext:1c,2,3", "--no-wrap", "-o", str(pot)],
        check=True, capture_output=True,
    )  # fmt: skip
    merged = tmp_path / "merged.po"
    subprocess.run(
        [
            "msgmerge",
            "--no-fuzzy-matching",
            "--no-wrap",
            "-q",
            "-o",
            str(merged),
            str(PO),
            str(pot),
        ],
        check=True,
    )
    missing = subprocess.run(
        ["msgattrib", "--no-obsolete", "--untranslated", "--no-wrap", str(merged)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    untranslated = re.findall(r'^msgid "(.+)"$', missing, re.MULTILINE)
    assert not untranslated
    assert "#, fuzzy" not in PO.read_text(encoding="utf-8").split("\n\n", 1)[1]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_compiled_file_is_that_of_the_source(language: str, tmp_path: Path) -> None:
    source = SITE / "locale" / language / "LC_MESSAGES" / "django.po"
    fresh = tmp_path / "django.mo"
    subprocess.run(["msgfmt", "--check-format", "-o", str(fresh), str(source)], check=True)
    with fresh.open("rb") as wanted, source.with_suffix(".mo").open("rb") as found:
        assert (
            gettext.GNUTranslations(found)._catalog  # type: ignore[attr-defined]
            == gettext.GNUTranslations(wanted)._catalog  # type: ignore[attr-defined]
        )


def test_french_breaks_no_line_before_high_punctuation() -> None:
    """A space before ; : ! ? » or after « is one that does not break."""
    texts = re.findall(r'^msgstr(?:\[\d\])? "(.*)"$', PO.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(texts) > 500
    assert [text for text in texts if re.search(r" [;:!?»]|« ", text)] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_hold_no_text_outside_the_translations(template: Path) -> None:
    if template in ALONE:
        return
    source = template.read_text(encoding="utf-8")
    source = re.sub(r"{#.*?#}", "", source)
    source = re.sub(r"{% comment %}.*?{% endcomment %}", "", source, flags=re.DOTALL)
    source = re.sub(r"{% blocktranslate.*?{% endblocktranslate %}", "", source, flags=re.DOTALL)
    source = re.sub(
        r"{% block (?:hero_)?(?:width|class|main_class) %}.*?{% endblock %}", "", source
    )
    source = re.sub(r"<(script|svg)\b.*?</\1>", "", source, flags=re.DOTALL)
    source = re.sub(r"{%.*?%}|{{.*?}}", "\0", source, flags=re.DOTALL)
    shown = re.sub(r"<[^>]*>", "\n", source)
    spoken = re.findall(r'\b(?:aria-label|placeholder|alt|title)="([^"\0]*)"', source)
    texts = [text.strip(" ·") for text in [*re.split(r"[\n\0]", shown), *spoken]]
    loose = [text for text in texts if re.search(r"[A-Za-zÀ-ÿ]{2}", text) and text not in ALIKE]
    assert not loose
