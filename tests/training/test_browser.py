"""The organisers' pages in a real browser: readable by all, a run's moving by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from playwright.sync_api import expect
from pytest_django import DjangoDbBlocker

from challenge.models import TrainingRun
from challenge.rules.roles import Role
from challenge.services.challenges import roles
from challenge.services.training import training_runs, workers
from tests.factories import (
    make_challenge,
    make_organiser,
    make_phase,
    make_user,
)
from tests.live_site import LiveSite
from tests.web.browser import chromium, open_page, sign_in

pytestmark = pytest.mark.django_db

EPOCHS = 8
OWN_RECIPE = """\
title = "A recipe of our own, whose lines may be long"

[training]
epochs = 3  # and a comment that is longer than the page of a telephone is wide, by some words
"""


OPEN_DETAILS = "document.querySelectorAll('main details').forEach(one => one.open = true)"


@dataclass
class World:
    """A running site with a run that trains and one that waits."""

    url: str
    running: TrainingRun
    waiting: TrainingRun

    @property
    def pages(self) -> list[str]:
        start = "/challenges/abc/training/"
        both = f"run={self.running.pk}&run={self.waiting.pk}"
        desk = "/challenges/abc/desk/people/"
        runs = [f"{start}{run.pk}/" for run in (self.running, self.waiting)]
        return [start, *runs, f"{start}compare/?{both}", desk]


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    running_servers: None,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[World]:
    site = LiveSite(tmp_path_factory.mktemp("training-pages"))
    with django_db_blocker.unblock():
        try:
            running, waiting = fill()
            site.start()
            yield World(site.url, running, waiting)
        finally:
            site.stop()
            call_command("flush", interactive=False, verbosity=0)


def fill() -> list[TrainingRun]:
    """Make the challenge, its organiser, a worker's word and two runs, one of them half done."""
    from allauth.account.models import EmailAddress

    now = timezone.now()
    challenge = make_challenge()
    organiser = make_user("olive")
    EmailAddress.objects.create(user=organiser, email=organiser.email, verified=True, primary=True)
    # The server knows the hashers of production alone.
    organiser.password = Argon2PasswordHasher().encode("secret", "saltsaltsalt")
    organiser.save()
    make_organiser(challenge, organiser)
    make_organiser(challenge, make_user("judith"), Role.JUDGE, expires_at=now + timedelta(days=9))
    roles.invite(challenge=challenge, actor=organiser, email="egon@example.org", role=Role.EDITOR)
    phase = make_phase(
        challenge, opens_at=now - timedelta(days=1), closes_at=now + timedelta(days=1)
    )
    runs = [
        training_runs.create(
            recipe=name, data_root="toy", actor=organiser, phase=phase, seed=seed, group="U",
            recipe_text=text,
        )
        for seed, name, text in ((1, "tiny-unet", ""), (2, "mine", OWN_RECIPE))
    ]  # fmt: skip
    claim = training_runs.claim(worker="gpu@machine")
    assert claim is not None
    for epoch in range(EPOCHS):
        add_epoch(runs[0], epoch)
    training_runs.heartbeat(
        runs[0].pk,
        attempt=1,
        stage="training",
        progress={"epoch": EPOCHS, "epochs": 20, "step": 3, "steps": 10, "eta_s": 400.0,
                  "samples_per_s": 61.5, "gpu_memory_bytes": 9 * 10**9},
        device={"name": "A GPU", "memory_bytes": 80 * 10**9, "kind": "cuda"},
        log_tail="\n".join(f"epoch {n}: as it should be" for n in range(60)),
    )  # fmt: skip
    return runs


def add_epoch(run: TrainingRun, epoch: int) -> None:
    loss = 2.5 * math.exp(-epoch / 5)
    metrics = {"train_loss": loss, "val_loss": loss + 0.1, "val_miou": 0.6 - loss / 5}
    training_runs.record_epoch(run.pk, attempt=1, epoch=epoch, metrics=metrics)


def committed(act: Callable[[], object]) -> None:
    """Do something in a thread with a connection of its own, so that the server sees it."""

    def whole() -> None:
        try:
            act()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(whole).result()


def announce() -> None:
    workers.announce(
        "gpu@machine",
        device={"kind": "cuda", "name": "A GPU", "memory_bytes": 80 * 10**9, "count": 1},
        recipes=[{"name": "tiny-unet", "title": "Tiny U-Net", "published_miou": None}],
        data_roots=["toy"],
    )


@pytest.mark.parametrize(
    ("width_px", "language", "theme"), [(1440, "en", "dark"), (390, "fr", "light")]
)
def test_the_pages_have_no_accessibility_violations(
    world: World, tmp_path: Path, width_px: int, language: str, theme: str
) -> None:
    announce()
    faults = []
    with chromium() as browser:
        _context, page, complaints = open_page(
            browser, world.url, width_px=width_px, language=language, theme=theme
        )
        sign_in(page, "olive@example.org", "secret")
        for number, address in enumerate(world.pages):
            page.goto(address)
            page.evaluate(OPEN_DETAILS)
            page.screenshot(path=tmp_path / f"page-{number}.png", full_page=True)
            if page.evaluate("document.documentElement.scrollWidth") > width_px:
                faults.append(f"{address}: wider than {width_px} px")
            for violation in Axe().run(page).response["violations"]:
                nodes = "; ".join(node["html"][:160] for node in violation["nodes"][:3])
                faults.append(f"{address}: {violation['id']}: {nodes}")
    assert not faults, "\n".join(faults)
    assert not complaints


def test_an_own_recipe_is_checked_in_the_browser_and_queued(world: World, tmp_path: Path) -> None:
    announce()
    with chromium() as browser:
        _context, page, complaints = open_page(browser, world.url, width_px=1440, language="en")
        sign_in(page, "olive@example.org", "secret")
        page.goto("/challenges/abc/training/")
        page.get_by_label("Recipe", exact=True).select_option(label="Your own recipe, below")
        page.get_by_label("Name of your own recipe").fill("ours")
        page.get_by_label("… or pasted").fill(OWN_RECIPE.replace("epochs", "epoch"))
        page.get_by_role("button", name="Start").click()
        fault = "The recipe's line 4: training.epoch: unknown; allowed are epochs"
        expect(page.get_by_text(fault)).to_be_visible()
        page.screenshot(path=tmp_path / "own-recipe.png", full_page=True)
        page.get_by_label("… or pasted").fill(OWN_RECIPE)
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("ours, seed 2022")
        page.get_by_text("The organiser's own recipe").click()
        expect(page.locator("pre", has_text="epochs = 3")).to_be_visible()
    assert all("422" in complaint for complaint in complaints), complaints


def test_a_runs_page_moves_by_itself_and_cancels(world: World) -> None:
    announce()
    with chromium() as browser:
        _context, page, complaints = open_page(browser, world.url)
        sign_in(page, "olive@example.org", "secret")
        page.goto(world.pages[1])
        expect(page.locator("progress")).to_be_visible()
        before = page.locator("path.curve").first.get_attribute("d")
        committed(lambda: add_epoch(world.running, EPOCHS))
        expect(page.locator("path.curve").first).not_to_have_attribute("d", before or "")
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("stopping")).to_be_visible()
        committed(lambda: training_runs.mark_cancelled(world.running.pk, attempt=1))
        # The page asks for itself anew once the run has ended.
        expect(page.locator("progress")).to_have_count(0)
        expect(page.locator("h2 .tag")).to_have_text("cancelled")
    assert not complaints
