"""The gallery of a challenge's patches: pictures by class, domain and season, in layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from challenge.formats import day_text
from challenge.models import Challenge, Phase
from challenge.selectors import galleries, pages
from challenge.selectors.galleries import LABELS, ShownGallery
from challenge.services.storage import archives
from challenge.templatetags.flair import percent, text
from challenge.web.requests import page_view
from scoring.engine.pictures.layers import HEIGHT, NEAR_INFRARED, TRUE_COLOR

A_PAGE = 24
MIN_SHARE = 0.05  # of a patch that a class has, to be found by it
SERIES = "year"
# The words of the address, and the months of each.
SEASONS = {
    "winter": (12, 1, 2), "spring": (3, 4, 5), "summer": (6, 7, 8), "autumn": (9, 10, 11),
}  # fmt: skip
LAYER_TITLES = {
    TRUE_COLOR: gettext_lazy("True colour"),
    NEAR_INFRARED: gettext_lazy("Near infrared"),
    HEIGHT: gettext_lazy("Height"),
    LABELS: gettext_lazy("Labels"),
}
SEASON_TITLES = {
    "winter": gettext_lazy("Winter"), "spring": gettext_lazy("Spring"),
    "summer": gettext_lazy("Summer"), "autumn": gettext_lazy("Autumn"),
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One patch in the gallery; ``strip`` is the address of its year from space, or empty."""

    patch: str
    url: str
    alt: str
    facts: str
    strip: str
    strip_alt: str


@dataclass(frozen=True)
class GalleryPage:
    """What the page shows of a gallery: the choices of its filters, and a page of patches."""

    phase: Phase
    phases: list[tuple[str, Any]]
    layers: list[tuple[str, str, str, bool]]
    layer: str
    domains: list[tuple[str, str]]
    classes: list[tuple[str, str]]
    seasons: list[tuple[str, str]]
    chosen: dict[str, str]
    found: int
    page_rows: Any
    pictures: list[Picture]
    legend: list[tuple[str, Any]]

    @property
    def strips(self) -> bool:
        """Whether some patch of the page has a year from space."""
        return any(one.strip for one in self.pictures)


def build(
    shown: list[ShownGallery], *, challenge: Challenge, query: Mapping[str, str],
    names: Mapping[str, str],
) -> GalleryPage | None:  # fmt: skip
    """Return the gallery that an address asks for, None where there is none."""
    if not shown:
        return None
    wanted = next((one for one in shown if one.phase.slug == query.get("phase")), shown[0])
    document = wanted.phase.task_spec.data if wanted.phase.task_spec else {"classes": []}
    classes = {one["key"]: one for one in document["classes"]}
    layers = [layer for layer in LAYER_TITLES if layer in wanted.layers]
    layer = query.get("layer", "")
    layer = layer if layer in layers else layers[0]
    chosen = {key: query.get(key, "")[:64] for key in ("domain", "class", "season")}
    rows = _filtered(wanted, chosen, classes)
    page_rows = Paginator(rows, A_PAGE).get_page(query.get("page"))
    kept = {"phase": wanted.phase.slug} if len(shown) > 1 else {}
    kept |= {key: value for key, value in chosen.items() if value}
    return GalleryPage(
        phase=wanted.phase,
        phases=[(one.phase.slug, one.phase.name) for one in shown] if len(shown) > 1 else [],
        layers=[
            (one, str(LAYER_TITLES[one]), urlencode({**kept, "layer": one}), one == layer)
            for one in layers
        ],
        layer=layer,
        domains=[(one, names.get(one, one)) for one in _values(wanted, "domain")],
        classes=_classes(wanted, classes),
        seasons=_seasons(wanted),
        chosen=chosen,
        found=len(rows),
        page_rows=page_rows,
        pictures=[
            _picture(row, wanted, layer, challenge=challenge, classes=classes, chosen=chosen,
                     names=names)
            for row in page_rows
        ],
        legend=[(one["color"], one["name"]) for one in document["classes"]]
        if layer == LABELS
        else [],
    )  # fmt: skip


@page_view("GET", "HEAD")
def picture(request: HttpRequest, slug: str, phase_slug: str, n: int, kind: str) -> HttpResponse:
    """Answer one picture, to whoever may see the phase and what the picture shows."""
    phase = pages.phase_by_slug(slug, phase_slug, user=request.user)
    row, first, end = galleries.file_of(phase, name=f"{n}-{kind}", user=request.user)
    content = b"".join(archives.read_stored(row.stored_name, first=first, end=end))
    content_type = "image/png" if kind == LABELS else "image/webp"
    response = HttpResponse(content, content_type=content_type)
    response["Cache-Control"] = "private, max-age=3600"
    return response


def _filtered(
    shown: ShownGallery, chosen: Mapping[str, str], classes: Mapping[str, Any]
) -> list[dict[str, Any]]:
    rows = shown.rows
    if chosen["domain"]:
        rows = [row for row in rows if row["domain"] == chosen["domain"]]
    if chosen["season"]:
        months = SEASONS.get(chosen["season"], ())
        rows = [row for row in rows if _month(row) in months]
    if chosen["class"]:
        key = str(classes.get(chosen["class"], {}).get("id"))
        rows = [row for row in rows if row["classes"].get(key, 0) >= MIN_SHARE]
    return rows


def _month(row: Mapping[str, Any]) -> int:
    found = parse_date(row.get("date") or "")
    return found.month if found else 0


def _values(shown: ShownGallery, key: str) -> list[str]:
    return sorted({row[key] for row in shown.rows if row[key]})


def _classes(shown: ShownGallery, classes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the classes that some patch has enough of, none while labels are hidden."""
    there = {
        class_id
        for row in shown.rows
        for class_id, share in row["classes"].items()
        if share >= MIN_SHARE
    }
    return [(key, text(one["name"])) for key, one in classes.items() if str(one["id"]) in there]


def _seasons(shown: ShownGallery) -> list[tuple[str, str]]:
    months = {_month(row) for row in shown.rows}
    return [
        (key, str(SEASON_TITLES[key])) for key, of in SEASONS.items() if not months.isdisjoint(of)
    ]


def _picture(
    row: Mapping[str, Any], shown: ShownGallery, layer: str, *, challenge: Challenge,
    classes: Mapping[str, Any], chosen: Mapping[str, str], names: Mapping[str, str],
) -> Picture:  # fmt: skip
    where = names.get(row["domain"], row["domain"])
    found = parse_date(row.get("date") or "")
    facts = [one for one in (where, row["zone"], day_text(found) if found else "") if one]
    one_class = classes.get(chosen["class"])
    if one_class:
        share = row["classes"].get(str(one_class["id"]), 0)
        facts.append(
            _("%(name)s: %(share)s %%") % {"name": text(one_class["name"]), "share": percent(share)}
        )
    values = {"patch": row["patch"], "layer": str(LAYER_TITLES[layer]), "where": where}
    alt = _("Patch %(patch)s, %(where)s: %(layer)s") if where else _("Patch %(patch)s: %(layer)s")
    strip = SERIES in row["layers"]
    return Picture(
        patch=row["patch"],
        url=_url(shown, row, layer, challenge),
        alt=alt % values,
        facts=" · ".join(facts),
        strip=_url(shown, row, SERIES, challenge) if strip else "",
        strip_alt=_("Patch %(patch)s: twelve Sentinel-2 images, January to December") % values
        if strip
        else "",
    )


def _url(shown: ShownGallery, row: Mapping[str, Any], layer: str, challenge: Challenge) -> str:
    arguments = [challenge.slug, shown.phase.slug, row["number"], layer]
    return f"{reverse('web:gallery-picture', args=arguments)}?v={shown.gallery.pk}"
