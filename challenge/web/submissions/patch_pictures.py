"""Pictures of patches on a submission's page: image, labels, prediction and errors side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from challenge.models import Phase, Submission
from challenge.selectors import pictures as selector
from challenge.selectors.pictures import ShownPictures
from challenge.services.storage import archives
from challenge.templatetags.flair import percent, text
from challenge.web.requests import SignedInRequest, page_view
from scoring.engine.pictures.choosing import Reason
from scoring.engine.pictures.drawing import ERROR_COLORS

KINDS = {
    "image": "image/webp", "labels": "image/png", "prediction": "image/png", "errors": "image/png",
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One picture of a row: ``kind`` is a key of ``KINDS``."""

    kind: str
    url: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Row:
    """The pictures of one patch: ``title`` says why it is shown, ``facts`` what it scored."""

    key: str
    title: str
    facts: str
    color: str
    pictures: list[Picture]


@dataclass(frozen=True)
class PicturesPage:
    """``rows`` are the worst, median and best patch, or samples; ``classes`` one a class."""

    rows: list[Row]
    classes: list[Row]
    with_labels: bool
    legend: list[tuple[str, Any]]
    error_colors: tuple[str, ...]


def build(shown: ShownPictures, *, submission: Submission, phase: Phase) -> PicturesPage:
    """Return what the page prints of a submission's pictures."""
    document = phase.task_spec.data if phase.task_spec else {"classes": []}
    classes = {one["id"]: one for one in document["classes"]}
    rows = [
        _row(one, position, shown=shown, submission=submission, classes=classes)
        for position, one in enumerate(shown.rows)
    ]
    by_class = {n for n, one in enumerate(shown.rows) if one["reason"] == Reason.CLASS}
    return PicturesPage(
        rows=[row for n, row in enumerate(rows) if n not in by_class],
        classes=[row for n, row in enumerate(rows) if n in by_class],
        with_labels=shown.with_labels,
        legend=[(one["color"], one["name"]) for one in document["classes"]],
        error_colors=ERROR_COLORS,
    )


@page_view("GET", "HEAD", sign_in=True)
def picture(request: SignedInRequest, pk: UUID, number: int, kind: str) -> HttpResponse:
    """Answer one picture, to those who may see the submission and what the picture shows."""
    row, first, end = selector.file_of(pk, name=f"{number}-{kind}", user=request.user)
    content = b"".join(archives.read_stored(row.stored_name, first=first, end=end))
    response = HttpResponse(content, content_type=KINDS[kind])
    response["Cache-Control"] = "private, max-age=3600"
    return response


def _row(
    one: dict[str, Any],
    position: int,
    *,
    shown: ShownPictures,
    submission: Submission,
    classes: dict[int, dict[str, Any]],
) -> Row:
    patch, reason = one["patch"], Reason(one["reason"])
    facts = _facts(one, reason)
    class_spec = classes.get(one["class_id"]) if one["class_id"] is not None else None
    pictures = []
    for kind in KINDS:
        name = f"{one['number']}-{kind}"
        if name not in shown.pictures.files:
            continue
        url = reverse("web:submission-picture", args=[submission.pk, one["number"], kind])
        pictures.append(
            Picture(
                kind=kind,
                url=f"{url}?v={shown.pictures.pk}",
                caption=_caption(kind),
                alt=_alt(kind, patch=patch, facts=facts, wrong=one["wrong"]),
            )
        )
    return Row(
        key=f"patch-{position}",
        title=_title(reason, patch=patch, name=text(class_spec["name"]) if class_spec else ""),
        facts=facts,
        color=class_spec["color"] if class_spec else "",
        pictures=pictures,
    )


def _title(reason: Reason, *, patch: str, name: str) -> str:
    if reason is Reason.CLASS:
        return _("%(name)s: patch %(patch)s") % {"name": name, "patch": patch}
    titles = {
        Reason.WORST: _("Worst patch: %(patch)s"),
        Reason.MEDIAN: _("Median patch: %(patch)s"),
        Reason.BEST: _("Best patch: %(patch)s"),
        Reason.SAMPLE: _("Patch %(patch)s"),
    }
    return titles[reason] % {"patch": patch}


def _facts(one: dict[str, Any], reason: Reason) -> str:
    """Return what a patch scored, in words; "" where nothing may be told."""
    value, of = one["value"], one["of"]
    if value is None or of is None:
        return ""
    values = {"value": percent(value), "of": of, "rank": one["rank"]}
    if reason is Reason.CLASS:
        return (
            ngettext(
                "IoU %(value)s %%, in the one patch that has the class",
                "IoU %(value)s %%, lowest of %(of)s patches that have the class",
                of,
            )
            % values
        )
    words = {
        Reason.WORST: _("mIoU %(value)s %%, worst of %(of)s"),
        Reason.MEDIAN: _("mIoU %(value)s %%, place %(rank)s of %(of)s"),
        Reason.BEST: _("mIoU %(value)s %%, best of %(of)s"),
    }
    return words[reason] % values


def _caption(kind: str) -> str:
    return {
        "image": _("Image"),
        "labels": _("Labels"),
        "prediction": _("Prediction"),
        "errors": _("Errors"),
    }[kind]


def _alt(kind: str, *, patch: str, facts: str, wrong: float | None) -> str:
    values = {"patch": patch, "facts": facts, "share": percent(wrong)}
    if kind == "prediction" and facts:
        return _("Patch %(patch)s, prediction: %(facts)s") % values
    return {
        "image": _("Patch %(patch)s, image"),
        "labels": _("Patch %(patch)s, labels"),
        "prediction": _("Patch %(patch)s, prediction"),
        "errors": _("Patch %(patch)s, errors: %(share)s %% of the pixels are wrong"),
    }[kind] % values
