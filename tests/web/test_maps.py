"""Domains on the map: shades of a score, and of what changed against another submission."""

from __future__ import annotations

import pytest

from challenge.web import geography


def shades(shapes: list[dict[str, object]]) -> dict[object, object]:
    return {shape["name"]: shape["shade"] for shape in shapes}


def test_the_best_domain_is_darkest_and_the_worst_lightest() -> None:
    found = shades(geography.shaded({"D012_2019": 0.4, "D075_2021": 0.7, "D085_2019": 0.55}))
    assert found == {"Aveyron": 0, "Ville de Paris": 4, "Vendée": 2}


@pytest.mark.parametrize(
    ("difference", "shade"), [(-0.08, 0), (-0.02, 1), (0.0004, 2), (0.03, 3), (0.05, 4)]
)
def test_a_change_is_shaded_by_its_share_of_the_largest(difference: float, shade: int) -> None:
    found = geography.changed({"D075_2021": -0.08, "D012_2019": difference})
    assert shades(found)["Aveyron"] == shade


def test_several_years_of_a_departement_count_as_their_mean() -> None:
    found = geography.changed({"D012_2019": 0.04, "D012_2021": -0.04, "D075_2021": 0.02})
    assert shades(found) == {"Aveyron": 2, "Ville de Paris": 4}


def test_without_an_interval_nothing_is_drawn() -> None:
    assert geography.changed({"D012_2019": None, "elsewhere": 0.1}) == []
    assert geography.shaded({"D012_2019": None}) == []
