"""The picture of a challenge's first page: its own, or one in the colours of its classes."""

from __future__ import annotations

import re

from challenge.embedded.data_folder import ROOT
from challenge.models import Phase
from challenge.services.challenges import challenges
from tests.web.conftest import Visit


def _main(html: str) -> str:
    """The page without its head, which names a picture for who shares its address."""
    return html[html.index("<main") :]


def test_each_flair_challenge_has_a_patch_of_its_own_with_its_source(
    db: None, visit: Visit
) -> None:
    pictures = {}
    for slug in ("flair-1", "flair-2"):
        challenges.load(ROOT / "challenges" / slug)
        html = _main(visit().get(f"/challenges/{slug}/").content.decode())
        pictures[slug] = set(re.findall(r"img/((?:patch|labels)-[0-9]+)", html))
        assert len(pictures[slug]) == 2
        assert "Source: IGN, FLAIR, Etalab Open Licence 2.0." in html
    assert not pictures["flair-1"] & pictures["flair-2"]


def test_another_challenge_shows_its_classes_colours_and_no_source(
    phase: Phase, visit: Visit
) -> None:
    answer = visit(language="fr").get(f"/challenges/{phase.challenge.slug}/")
    html = _main(answer.content.decode())
    assert "Source" not in html
    assert "img/patch-" not in html
    assert phase.task_spec is not None
    colors = {one["color"] for one in phase.task_spec.data["classes"]}
    found = re.findall(r'<rect [^>]*fill="(#[0-9a-f]{6})"', html)
    assert set(found) == colors
    assert len(found) == 64
    assert "Des carrés aux couleurs des classes du challenge" in html


def test_before_there_is_a_task_there_is_no_picture(phase: Phase, visit: Visit) -> None:
    Phase.objects.update(task_spec=None)
    phase.challenge.task_specs.all().delete()
    html = visit().get(f"/challenges/{phase.challenge.slug}/").content.decode()
    assert 'class="reveal"' not in html
