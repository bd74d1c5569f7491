"""The pages that make a challenge in a browser: axe, width, console, on phone and desk."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from challenge.models import Challenge
from tests import factories
from tests.services.challenges.test_bundle_import import V2, pack
from tests.web.browser import open_page
from tests.web.looks import LOOKS, find_faults, sign_in_as
from tests.web.test_desk_create import sample_bytes

pytestmark = pytest.mark.django_db(transaction=True)
CLASSES = "name_en,name_fr,color\nunburnt,intact,#194a26\nburnt,brûlé,#f80c00"


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_a_challenge_is_made_and_no_page_has_violations_overflows_or_console_errors(
    live_server: LiveServer,
    browser: Browser,
    tmp_path: Path,
    width_px: int,
    language: str,
    theme: str,
) -> None:
    olive = factories.make_user("olive", is_superuser=True)
    context, page, complaints = open_page(
        browser, live_server.url, width_px=width_px, language=language, theme=theme
    )
    sign_in_as(olive, context, site=live_server.url)
    faults: list[str] = []

    def check(name: str) -> None:
        assert page.locator("html").get_attribute("lang") == language
        faults.extend(find_faults(page, name, width_px=width_px))

    page.goto(reverse("web:challenge-new"))
    check("new")
    page.locator("input[name=title_en]").fill("Burnt areas")
    page.locator("input[name=title_fr]").fill("Surfaces brûlées")
    page.locator("input[name=slug]").fill("burnt-2027")
    page.locator("form.card button[type=submit]").click()
    check("task")
    page.locator("textarea[name=classes]").fill(CLASSES)
    page.locator("form.form > div > button[type=submit]").click()
    check("task refused")
    # Read by the page's script; what it tells is filled in, and the file is not sent.
    page.locator("input[type=file]").set_input_files(
        {
            "name": "sample.zip",
            "mimeType": "application/zip",
            "buffer": sample_bytes(["PRED_001.tif", "PRED_002.tif"], side_px=128),
        }
    )
    told = page.locator("[data-told]")
    told.wait_for()
    assert "2 patch" in told.inner_text()
    assert page.locator("input[name=sample]").count() == 0
    assert page.locator("input[name=patch_width_px]").input_value() == "128"
    pattern = page.locator("input[name=prediction_pattern]").input_value()
    assert pattern == "PRED_(?P<id>[0-9]{3})"
    check("task read")
    page.locator("form.form > div > button[type=submit]").click()
    assert page.url.endswith(reverse("web:desk-launch", args=["burnt-2027"]))
    check("launch")
    page.goto(reverse("web:desk-clone", args=["burnt-2027"]))
    check("clone")
    page.goto(reverse("web:challenge-import"))
    check("import")
    page.locator("input[name=bundle]").set_input_files(pack(tmp_path / "b.zip", V2))
    page.locator("input[name=slug]").fill("imported")
    page.locator("form.card button[type=submit]").click()
    assert page.locator("h2.title-3").count() == 3
    check("report")
    page.goto(reverse("web:organise"))
    check("organise")
    assert set(Challenge.objects.values_list("slug", flat=True)) == {"burnt-2027", "imported"}
    assert faults == []
    assert [line for line in complaints if "422" not in line] == []
    context.close()
