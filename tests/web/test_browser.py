"""The pages in a real browser: a newcomer's whole way, the check before sending, accessibility.

One world is made for the whole file, in the test database that a real server process reads; it
is flushed at the end. That is why the file is long: a second one would make the world twice.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django import DjangoDbBlocker

from challenge.models import Evaluation, Phase, Submission, Team, User
from challenge.services.notifications import webhooks
from scoring.engine.archive.listing import open_upload
from scoring.engine.problems.problems import Problem, ProblemDocument, Refused
from scoring.engine.task import specification as specs
from tests.helpers import wait_until
from tests.live_site import LiveSite, collect_static_files
from tests.scoring.attacks import tiffs
from tests.web import archives, seed
from tests.web.browser import WAIT_MS, open_page, sign_in
from tests.web.looks import (
    FORCED_COLORS_LOOK,
    LOOKS,
    find_violations,
    find_violations_in_forced_colors,
)
from tests.web.slow_html import slow_html_proxy

# Marked so that the test database is made; each test's own transaction stays empty, because what
# the server is to see must be committed (see `committed`).
pytestmark = pytest.mark.django_db

TEAMS = 6


T = TypeVar("T")


@dataclass
class World:
    """The running site and what is in it."""

    url: str
    folder: Path
    practice_ids: list[str]
    test_ids: list[str]
    submission: str
    rejected: str
    waiting: str
    team: int
    webhook: int


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("live-pages")
    environment = collect_static_files(folder / "static")  # as in production
    site = LiveSite(folder, environment | {"EMAIL_URL": f"file://{folder / 'mail'}"})
    with django_db_blocker.unblock():
        try:
            found = fill(site.url, folder)
            site.start()
            yield found
        finally:
            site.stop()
            call_command("flush", interactive=False, verbosity=0)


def fill(url: str, folder: Path) -> World:
    """Make the world: a lively test phase, and Ada with one submission of each sort."""
    phase = seed.populate(teams=TEAMS)
    Phase.objects.filter(pk=phase.pk).update(labels_public=True)  # so that domains are shown
    practice = phase.challenge.phases.get(slug="practice")
    ada = User.objects.get(username="ada")
    scored = Submission.objects.filter(entry__phase=phase, submitted_by=ada).latest("created_at")
    team = scored.entry.team
    refused = seed.submit(team, practice, method="Off by one", at=scored.created_at)
    seed.reject(refused, [one_based_problem()], more=7)
    waiting = seed.submit(team, practice, method="Waiting", at=scored.created_at)
    hook = webhooks.create(user=ada, url="https://93.184.215.14/hook", events=["phase.closed"])
    webhooks.ping(webhook=hook)
    return World(
        url=url,
        folder=folder,
        practice_ids=[row[0] for row in practice.public_patches],
        test_ids=[row[0] for row in phase.public_patches],
        submission=str(scored.pk),
        rejected=str(refused.pk),
        waiting=str(waiting.pk),
        team=team.pk,
        webhook=hook.pk,
    )


def one_based_problem() -> ProblemDocument:
    return Problem.of(
        "values-one-based", file="PRED_061713.tif", pixels=312, value=13, highest=12
    ).to_json()


def committed(act: Callable[[], T]) -> T:
    """Do something in a thread with a connection of its own, so that the server sees it."""

    def whole() -> T:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(whole).result()


def mail_to(world: World, address: str) -> str:
    """The message that the site sent to an address."""
    mails = [one.read_text(encoding="utf-8") for one in (world.folder / "mail").iterdir()]
    return next(text for text in mails if f"To: {address}" in text)


def test_a_newcomer_gets_from_the_home_page_to_a_submission(world: World, browser: Browser) -> None:
    context, page, complaints = open_page(browser, world.url)
    page.goto("/")
    page.get_by_role("link", name="Take part", exact=True).click()
    page.fill("[name=email]", "new@example.org")
    page.fill("[name=username]", "newcomer")
    page.fill("[name=password1]", seed.PASSWORD)
    page.fill("[name=password2]", seed.PASSWORD)
    page.locator("main form button").click()
    expect(page.locator("h1")).to_have_text("Confirm your address")
    link = re.search(r"http://\S+/accounts/confirm-email/\S+", mail_to(world, "new@example.org"))
    assert link is not None
    page.goto(link[0])
    page.locator("main form button").click()

    page.goto("/challenges/flair-1/")
    page.get_by_role("link", name="Take part").click()
    page.get_by_label("I have read the rules and accept them.").check()
    page.get_by_role("button", name="Take part").click()
    expect(page.get_by_role("status").first).to_have_text("You take part. Good luck!")
    page.get_by_role("link", name="Submit", exact=True).click()
    page.get_by_role("link", name="Practice", exact=True).click()

    bad = archives.make_zip(
        world.folder / "bad.zip", world.practice_ids[:-2], shift=1, compression="tiff_adobe_deflate"
    )
    page.set_input_files("input[name=archive]", bad)
    report = page.locator("[data-report-body]")
    expect(report).to_contain_text("41 of 43 patches found")
    expect(report).to_contain_text("2 of 43 patches are missing")
    expect(report).to_contain_text("Predictions are 0-based: subtract 1.")
    expect(page.locator("[data-send]")).to_have_text("Submit anyway")

    good = archives.make_zip(world.folder / "good.zip", world.practice_ids)
    page.set_input_files("input[name=archive]", good)
    expect(report).to_contain_text("Nothing wrong found")
    expect(report.locator("canvas")).to_have_count(12)
    page.get_by_label("Method", exact=True).fill("Waves")
    page.locator("[data-send]").click()
    page.wait_for_url("**/submissions/**")
    expect(page.locator("h1")).to_contain_text("Waves")
    expect(page.locator("#where")).to_have_text("Waiting its turn")

    made = Submission.objects.get(method_name="Waves")
    card = seed.make_card(0.6, seed=1, phase=made.entry.phase, brief=True)
    committed(lambda: seed.score(made, card))
    expect(page.locator("#classes")).to_have_text("Class by class")
    expect(page.locator(".matrix")).to_be_visible()
    page.get_by_role("button", name="Draw twelve patches").click()
    expect(page.locator(".mosaic canvas")).to_have_count(12)
    assert complaints == []
    context.close()


def test_a_participant_reaches_a_comparison_in_french(world: World, browser: Browser) -> None:
    """A French browser and no cookie: every page, the mail and the messages stay French."""
    context = browser.new_context(locale="fr-FR", base_url=world.url)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/")
    page.get_by_role("link", name="Participer", exact=True).click()
    page.fill("[name=email]", "lea@example.org")
    page.fill("[name=username]", "lea")
    page.fill("[name=password1]", seed.PASSWORD)
    page.fill("[name=password2]", seed.PASSWORD)
    page.get_by_role("button", name="S’inscrire").click()
    expect(page.locator("h1")).to_have_text("Confirmez votre adresse")
    mail = mail_to(world, "lea@example.org")
    assert "Bonjour," in mail
    link = re.search(r"http://\S+/accounts/confirm-email/\S+", mail)
    assert link is not None
    page.goto(link[0])
    page.get_by_role("button", name="Confirmer").click()
    expect(page.locator("html")).to_have_attribute("lang", "fr")

    page.goto("/challenges/flair-1/")
    page.get_by_role("link", name="Participer").click()
    page.get_by_label("J’ai lu le règlement et je l’accepte.").check()
    page.get_by_role("button", name="Participer").click()
    page.goto("/challenges/flair-1/practice/submit/")
    short = archives.make_zip(world.folder / "court.zip", world.practice_ids[:-1])
    page.set_input_files("input[name=archive]", short)
    expect(page.locator("[data-report-body]")).to_contain_text(
        f"Il manque 1 patch sur 43\u00a0: {world.practice_ids[-1]}. Ajoutez son raster."
    )
    phase = Phase.objects.get(challenge__slug="flair-1", slug="practice")
    for number, skill, compression in ((1, 0.5, "tiff_lzw"), (2, 0.7, "tiff_adobe_deflate")):
        archive = archives.make_zip(
            world.folder / f"complet-{number}.zip", world.practice_ids, compression=compression
        )
        page.goto("/challenges/flair-1/practice/submit/")
        page.set_input_files("input[name=archive]", archive)
        expect(page.locator("[data-report-body]")).to_contain_text("Rien à redire")
        page.fill("[name=method_name]", f"Essai {number}")
        page.locator("[data-send]").click()
        page.wait_for_url("**/submissions/**")
        made = Submission.objects.get(method_name=f"Essai {number}")
        card = seed.make_card(skill, seed=number, phase=phase, brief=True)
        committed(lambda made=made, card=card: seed.score(made, card))  # type: ignore[misc]
        expect(page.locator("#classes")).to_have_text("Classe par classe")
    expect(page.get_by_label("Ce qui a changé par rapport à")).to_contain_text("#1 Essai 1")
    won = page.locator("svg.map .c3, svg.map .c4")
    assert won.count() > 0
    assert re.match(r".+: [+−±]\d+,\d\d$", won.first.locator("title").text_content() or "")
    assert complaints == []
    context.close()


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_browser_finds_what_the_server_finds(
    world: World, browser: Browser, language: str
) -> None:
    """Every archive here gets the same first words from the page and from the engine."""
    task = specs.load("flair-1")
    ids = world.practice_ids
    folder = world.folder
    foreign = [f"{int(one) + 20_000:06}" for one in ids]
    made = {
        "missing": archives.make_zip(folder / "missing.zip", ids[:40]),
        "one missing": archives.make_zip(folder / "one.zip", ids[:-1]),
        "foreign": archives.make_zip(folder / "foreign.zip", foreign[:3]),
        "twice": archives.make_zip(
            folder / "twice.zip", ids, more={f"b/PRED_IMG_{ids[0]}.TIF": b"x"}
        ),
        "stranger": archives.make_zip(folder / "stranger.zip", ids, more={"notes.txt": b"x"}),
        "nested": archives.make_zip(folder / "nested.zip", ids, more={"more.zip": b"x"}),
        "names": archives.make_zip(folder / "names.zip", ids[:2], name="mask-{id}.tif"),
        "empty": folder / "empty.zip",
        "7z": folder / "seven.zip",
        "cut": folder / "cut.zip",
        "tail": folder / "tail.zip",
        "head": folder / "head.zip",
        "backslash": archives.make_zip(folder / "backslash.zip", ids[:2], name="a\\PRED_{id}.tif"),
        "climbing": archives.make_zip(folder / "climbing.zip", ids, more={"../x.tif": b"x"}),
        "link": archives.make_zip(folder / "link.zip", ids[1:]),
        "bzip2": archives.make_zip(folder / "bzip2.zip", ids[1:]),
    }
    made["empty"].write_bytes(b"")
    made["7z"].write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(200))
    made["cut"].write_bytes(made["missing"].read_bytes()[:5000])
    made["tail"].write_bytes(made["missing"].read_bytes() + bytes(7))
    made["head"].write_bytes(archives.moved(made["missing"].read_bytes(), by=64))
    with zipfile.ZipFile(made["link"], "a") as linked:
        entry = zipfile.ZipInfo(f"PRED_{ids[0]}.tif")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        linked.writestr(entry, b"/etc/hostname")
    with zipfile.ZipFile(made["bzip2"], "a", zipfile.ZIP_BZIP2) as packed:
        packed.writestr(f"PRED_{ids[0]}.tif", b"x")
    context, page, complaints = open_page(browser, world.url, language=language)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto("/challenges/flair-1/practice/submit/")
    for name, path in made.items():
        page.set_input_files("input[name=archive]", path)
        listed = page.locator("[data-report-body] .note.bad li")
        expect(page.locator("[data-report-body] .check-head")).to_be_visible()
        expect(listed.first).to_be_visible()
        found = listed.all_text_contents()
        assert found == server_words(path, task, ids, language), name
        page.reload()
    assert complaints == []
    context.close()


def drop(page: Page, selector: str, *paths: Path) -> None:
    """Drop files and folders of this machine on an element, as a person does."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": box["x"] + 5, "y": box["y"] + box["height"] - 5, "data": data}
        session.send("Input.dispatchDragEvent", event)


def test_a_folder_of_tiffs_is_zipped_in_the_browser(world: World, browser: Browser) -> None:
    """Chosen or dropped: the page says what it holds and what it left out, and sends the zip."""
    folder = world.folder / "run7"
    packed = archives.make_zip(world.folder / "packed.zip", world.practice_ids)
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder / "tiffs")
    (folder / "log.txt").write_text("epoch 1")
    (folder / ".DS_Store").write_bytes(b"x")
    missing = next((folder / "tiffs").rglob("*.tif"))
    kept = missing.rename(world.folder / missing.name)
    context, page, complaints = open_page(browser, world.url)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto("/challenges/flair-1/practice/submit/")
    report = page.locator("[data-report-body]")

    page.set_input_files("#folder", folder)
    expect(report).to_contain_text("42 of 43 patches found")
    expect(report).to_contain_text(missing.stem.removeprefix("PRED_"))
    expect(report).to_contain_text("Left out: 1 (run7/log.txt)")
    kept.rename(missing)
    drop(page, "[data-drop]", folder)
    expect(report).to_contain_text("43 of 43 patches found")
    expect(report).to_contain_text("Nothing wrong found")

    other = archives.make_zip(world.folder / "other.zip", world.practice_ids[:1])
    drop(page, "[data-drop]", packed, other)
    expect(report).to_contain_text(re.compile("Found several zips: .*other.zip.*. Choose one."))
    drop(page, "[data-drop]", packed, missing)
    expect(report).to_contain_text("Found TIFFs and a zip: packed.zip. Choose one or the other.")
    drop(page, "[data-drop]", folder / "log.txt", folder / ".DS_Store")
    expect(report).to_contain_text("Found neither a zip nor TIFFs, but log.txt.")
    drop(page, "h1", packed)  # beside the drop zone: nothing is taken, and the page stays
    expect(report).to_contain_text("Found neither a zip nor TIFFs, but log.txt.")
    expect(page).to_have_url(re.compile("/practice/submit/$"))

    drop(page, "[data-drop]", folder)
    expect(report).to_contain_text("Nothing wrong found")
    page.get_by_label("Method", exact=True).fill("From a folder")
    page.locator("[data-send]").click()
    page.wait_for_url("**/submissions/**")
    made = Submission.objects.get(method_name="From a folder")
    assert made.original_name == "run7.zip"
    stored = context.request.get(f"/submissions/{made.pk}/archive/").body()
    with zipfile.ZipFile(io.BytesIO(stored)) as sent:
        assert sent.testzip() is None
        assert len(sent.namelist()) == 43
    assert complaints == []
    context.close()
    committed(made.delete)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "Could not be checked here: 24 of 24 rasters looked into (zstd)."),
        ("fr", "Non vérifiables ici\u00a0: 24 des 24 rasters examinés (zstd)."),
    ],
)
def test_what_the_browser_cannot_read_is_no_success(
    world: World, browser: Browser, language: str, said: str
) -> None:
    """Every raster is one-based, which the page cannot see: nothing on it is green."""
    path = world.folder / "zstd.zip"
    raster = tiffs.by_gdal(archives.make_raster(seed=1, shift=1), compress="zstd")
    with zipfile.ZipFile(path, "w") as target:
        for patch_id in world.practice_ids:
            target.writestr(f"PRED_{patch_id}.tif", raster)
    context, page, complaints = open_page(browser, world.url, language=language)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto("/challenges/flair-1/practice/submit/")
    page.set_input_files("input[name=archive]", path)
    report = page.locator("[data-report-body]")
    expect(report.locator(".note.warn").first).to_contain_text(said)
    expect(report.locator(".tag.warn")).to_have_text("?")
    expect(report.locator(".good")).to_have_count(0)
    assert complaints == []
    context.close()


def test_four_gigabytes_are_read_in_seconds_and_not_loaded(world: World, browser: Browser) -> None:
    """Every one of 15,700 names is matched; a few rasters are fetched; the rest is left alone."""
    path = archives.make_huge_zip(world.folder / "huge.zip", world.test_ids)
    assert path.stat().st_size > 4 * 2**30
    with zipfile.ZipFile(path) as sound:  # another reader finds it sound
        assert len(sound.namelist()) == len(world.test_ids)
        sound.read(sound.namelist()[-1])
    context, page, complaints = open_page(browser, world.url)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto("/challenges/flair-1/test/submit/")
    page.set_input_files("input[name=archive]", path)
    report = page.locator("[data-report-body]")
    # All bytes of the file would take minutes to read.
    expect(report).to_contain_text("15,700 of 15,700 patches found")
    expect(report).to_contain_text("Nothing that would be rejected")
    loaded = page.evaluate("performance.memory.usedJSHeapSize")
    assert loaded < 300e6
    assert complaints == []
    context.close()
    path.unlink()


def server_words(path: Path, task: specs.TaskSpec, ids: list[str], language: str) -> list[str]:
    """What the engine says of an archive's list of contents."""
    try:
        listing = open_upload(path, spec=task, expected_ids=ids)
    except Refused as refused:
        return [refused.problem.text(language)]
    try:
        return [problem.text(language) for problem in listing.problems]
    finally:
        listing.close()


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate"])
def test_pictures_show_the_pixels_that_were_written(
    world: World, browser: Browser, compression: str
) -> None:
    context, page, complaints = open_page(browser, world.url)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto("/challenges/flair-1/practice/submit/")
    path = archives.make_zip(
        world.folder / f"{compression}.zip", world.practice_ids[:1], compression=compression
    )
    page.set_input_files("input[name=archive]", path)
    canvas = page.locator("[data-report-body] canvas")
    expect(canvas).to_have_count(1)
    drawn = canvas.evaluate(
        """async canvas => {
            const pixels = canvas.getContext("2d").getImageData(0, 0, 512, 512).data;
            const hash = await crypto.subtle.digest("SHA-256", pixels);
            return [...new Uint8Array(hash)];
        }"""
    )
    wanted = archives.make_raster(seed=0)
    colors = [one.color for one in specs.load("flair-1").classes]
    palette = [bytes.fromhex(color[1:] + "ff") for color in colors]
    pixels = b"".join(palette[value] for value in wanted.ravel())
    assert bytes(drawn) == hashlib.sha256(pixels).digest()
    assert complaints == []
    context.close()


@pytest.mark.parametrize(
    "address",
    [
        "/challenges/flair-1/practice/submit/",
        "/challenges/flair-1/test/leaderboard/",
        "/submissions/{submission}/",
    ],
)
def test_every_script_of_a_page_is_loaded_under_a_hashed_name(
    world: World, browser: Browser, address: str
) -> None:
    context, page, complaints = open_page(browser, world.url)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    loaded: list[str] = []
    page.on("response", lambda answer: loaded.append(answer.url))
    page.goto(address.format(submission=world.submission))
    page.wait_for_load_state("networkidle")
    scripts = [url for url in loaded if url.endswith(".js")]
    assert len(scripts) > 4
    assert not [url for url in scripts if not re.search(r"\.[0-9a-f]{12}\.js$", url)]
    assert complaints == []
    context.close()


def test_the_board_sorts_searches_and_weighs_in_the_page(world: World, browser: Browser) -> None:
    context, page, complaints = open_page(browser, world.url, language="fr")
    page.goto("/challenges/flair-1/test/leaderboard/")
    rows = page.locator(".board tbody tr.team:visible .c-team a:not(.source)")
    by_rank = rows.all_inner_texts()
    assert len(by_rank) == TEAMS
    page.get_by_role("link", name="vigne").click()
    head = page.locator("th[data-key=vineyard]")
    expect(head).to_have_attribute("aria-sort", "descending")
    column = head.evaluate("th => th.cellIndex")
    cells = page.locator(f".board tbody tr.team td:nth-child({column + 1})").all_inner_texts()
    values = [float(text.replace(",", ".")) for text in cells]
    assert values == sorted(values, reverse=True)
    page.get_by_role("link", name="mIoU").click()
    page.locator("[data-board-weights]").select_option("worst")
    expect(page.locator(".board")).to_have_class(re.compile("weighted"))
    weights = page.locator("[data-board-weights]")
    weights.select_option("one-domain")
    domain = page.locator("[data-board-domain] select")
    expect(domain).to_be_visible()
    board = page.request.get("/challenges/flair-1/test/leaderboard.json").json()
    for at in (0, len(board["domains"]) - 1):
        domain.select_option(str(at))
        assert shown_mious(page) == by_value(board, lambda mious, at=at: mious[at])
    expect(domain).to_contain_text(board["domains"][0]["name"])
    weights.select_option("domains")
    expect(domain).to_be_hidden()
    assert shown_mious(page) == by_value(board, lambda mious: sum(mious) / len(mious))
    expect(page.locator("[data-board-note]")).to_be_visible()
    weights.select_option("equal")
    expect(page.locator("[data-board-note]")).to_be_hidden()
    assert rows.all_inner_texts() == by_rank
    page.get_by_role("searchbox").fill("bocage")
    expect(rows).to_have_count(1)
    page.get_by_role("searchbox").fill("nobody of that name")
    expect(page.locator("[data-board-none]")).to_be_visible()
    expect(page.locator(".board")).to_be_hidden()
    page.get_by_role("searchbox").fill("")
    expect(page.locator("[data-board-none]")).to_be_hidden()
    references = page.locator("tr.reference").first
    expect(references).to_be_visible()
    page.get_by_label("Masquer les références").check()
    expect(references).to_be_hidden()
    expect(page.locator(".progress-slot svg.chart")).to_be_visible()
    assert complaints == []
    context.close()


SHIFT_AT_MOST = 0.02
ARRIVING_SLOWLY = [
    "/",
    "/challenges/flair-1/",
    "/challenges/flair-1/test/leaderboard/",
    "/challenges/flair-1/test/submit/",
    "/challenges/flair-1/submissions/",
    "/challenges/flair-1/team/",
    "/submissions/{submission}/",
    "/submissions/{rejected}/",
    "/account/",
]
WATCH_SHIFTS = """() => {
    window.shifted = 0;
    new PerformanceObserver((list) => {
        for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifted += one.value;
    }).observe({ type: "layout-shift" });
}"""


@pytest.mark.parametrize("width_px", [390, 1440])
def test_nothing_jumps_when_news_arrive(world: World, browser: Browser, width_px: int) -> None:
    """From the queue to the last patch the page's parts stay where they are."""
    practice = Phase.objects.get(challenge__slug="flair-1", slug="practice")
    team = Team.objects.get(pk=world.team)
    now = timezone.now()
    made = committed(lambda: seed.submit(team, practice, method=f"Steady {width_px}", at=now))
    evaluation = Evaluation.objects.filter(submission=made)
    context, page, complaints = open_page(browser, world.url, width_px=width_px)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto(f"/submissions/{made.pk}/")
    expect(page.locator("#where")).to_have_text("Waiting its turn")
    page.wait_for_load_state("networkidle")
    page.evaluate(WATCH_SHIFTS)
    begun = {"state": "scoring", "attempt": 1, "started_at": now, "lease_until": now}
    for changes, text in (
        (begun | {"stage": "checking"}, "Checking the archive"),
        ({"stage": "scoring", "patches_done": 9, "patches_total": 43}, "9 of 43 patches"),
        ({"patches_done": 43}, "43 of 43 patches"),
    ):
        committed(lambda changes=changes: evaluation.update(**changes))  # type: ignore[misc]
        expect(page.locator(".live")).to_contain_text(text)
    assert page.evaluate("window.shifted") < 0.01
    assert complaints == []
    context.close()
    committed(evaluation.delete)


@pytest.mark.parametrize("width_px", [390, 1440])
def test_no_page_shifts_while_its_html_arrives(
    world: World, browser: Browser, width_px: int
) -> None:
    """What is shown first is sent first: a part that arrives later pushes nothing away."""
    context, page, _complaints = open_page(browser, world.url, width_px=width_px)
    context.add_init_script(f"({WATCH_SHIFTS})()")
    sign_in(page, "ada@example.org", seed.PASSWORD)
    shifts: dict[str, float] = {}
    with slow_html_proxy(world.url) as slow_url:
        for address in ARRIVING_SLOWLY:
            path = address.format(**vars(world))
            page.goto(slow_url + path)
            page.wait_for_load_state("load")
            shifts[path] = page.evaluate("window.shifted")
    context.close()
    assert {path: shift for path, shift in shifts.items() if shift > SHIFT_AT_MOST} == {}


@pytest.mark.parametrize(("width_px", "language"), [(390, "fr"), (390, "en"), (1440, "fr")])
def test_fonts_that_come_late_move_nothing(
    world: World, browser: Browser, width_px: int, language: str
) -> None:
    """A first visit over a slow line keeps the font that it was shown in first."""
    context, page, _complaints = open_page(browser, world.url, width_px=width_px, language=language)
    context.add_init_script(f"({WATCH_SHIFTS})()")
    late: list[Route] = []

    def hold(route: Route) -> None:
        late.append(route)

    context.route("**/*.woff2", hold)
    page.goto("/", wait_until="domcontentloaded")
    painted = "performance.getEntriesByName('first-contentful-paint').length > 0"
    wait_until(lambda: page.evaluate(painted), "the first paint")
    assert len(late) == 2
    for route in late:
        route.continue_()
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready")
    assert page.evaluate("window.shifted") <= SHIFT_AT_MOST
    context.close()


@pytest.mark.parametrize("width_px", [390, 1440])
def test_the_boards_chart_moves_nothing(world: World, browser: Browser, width_px: int) -> None:
    context, page, _complaints = open_page(browser, world.url, width_px=width_px)
    page.goto("/challenges/flair-1/test/leaderboard/")
    page.wait_for_load_state("networkidle")
    page.evaluate(WATCH_SHIFTS)
    page.locator(".progress-slot").scroll_into_view_if_needed()
    expect(page.locator(".progress-slot svg.chart")).to_be_visible()
    page.wait_for_timeout(300)
    assert page.evaluate("window.shifted") < 0.01
    context.close()


def shown_mious(page: Page) -> list[tuple[str, str]]:
    """The teams on the board in its order, each with the mIoU beside it."""
    rows = page.locator(".board tbody tr.team")
    return list(
        zip(
            rows.locator(".c-team a:not(.source)").all_inner_texts(),
            rows.locator(".c-miou").all_inner_texts(),
            strict=True,
        )
    )


def by_value(board: dict[str, Any], value: Callable[[list[float]], float]) -> list[tuple[str, str]]:
    """The same from the published values, best first, as a French reader has them."""
    teams = [line for line in board["lines"] if line["kind"] == "team"]
    teams.sort(key=lambda line: -value(line["domain_mious"]))
    return [
        (line["team"], f"{100 * value(line['domain_mious']):.2f}".replace(".", ","))
        for line in teams
    ]


def test_a_team_mate_is_invited_and_a_token_made(world: World, browser: Browser) -> None:
    context, page, complaints = open_page(browser, world.url)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto("/challenges/flair-1/team/")
    page.get_by_role("button", name="Invite").click()
    expect(page.locator("#invitation-link")).to_contain_text("/invitations/")
    page.goto("/account/tokens/")
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Make the token").click()
    page.get_by_label("Password").fill(seed.PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    token = page.locator("#token").inner_text()
    answer = page.request.get(
        "/api/v1/submissions", headers={"Authorization": f"Bearer {token}", "Cookie": ""}
    )
    assert answer.status == 200
    assert complaints == []
    context.close()


FOCUSED = """() => {
    const at = document.activeElement;
    const seen = getComputedStyle(at).outlineStyle !== "none";
    const name = at.id || at.getAttribute("aria-label") || at.textContent.trim().slice(0, 60);
    return [`${at.tagName.toLowerCase()} ${name}`, seen];
}"""


def walk_by_keyboard(page: Page, *, until: str, at_most: int = 80) -> list[str]:
    """Press Tab until the wanted thing has the focus; each stop on the way must be visible."""
    stops = []
    for _ in range(at_most):
        page.keyboard.press("Tab")
        name, seen = page.evaluate(FOCUSED)
        assert seen, f"{name} has the focus and does not show it"
        stops.append(name)
        if re.search(until, name):
            return stops
    raise AssertionError(f"{until} is not reached by keyboard; found {stops}")


def test_everything_needed_works_by_keyboard(world: World, browser: Browser) -> None:
    context, page, complaints = open_page(browser, world.url)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto("/challenges/flair-1/test/leaderboard/")
    assert "Skip" in walk_by_keyboard(page, until="Skip", at_most=1)[0]
    page.keyboard.press("Enter")
    walk_by_keyboard(page, until="a vineyard", at_most=40)
    page.keyboard.press("Enter")
    expect(page.locator("th[data-key=vineyard]")).to_have_attribute("aria-sort", "descending")

    page.goto("/challenges/flair-1/practice/submit/")
    walk_by_keyboard(page, until="Language and theme")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Français")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Français")).to_be_hidden()
    order = walk_by_keyboard(page, until="button Submit$")
    wanted = ["id_archive", "id_method_name", "id_mail_on_result", "More about the method"]
    places = [next(at for at, stop in enumerate(order) if one in stop) for one in wanted]
    assert places == sorted(places)
    assert complaints == []
    context.close()


def test_everything_needed_works_without_scripts(world: World, browser: Browser) -> None:
    context, page, _ = open_page(browser, world.url, scripts=False)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto("/challenges/flair-1/test/leaderboard/?sort=team")
    first = page.locator(".board tbody tr.team .c-team a").first
    expect(first).to_have_text("bocage")
    page.locator("summary", has_text="Language and theme").click()
    page.get_by_role("button", name="Français").click()
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    page.goto("/challenges/flair-1/practice/submit/")
    path = archives.make_zip(world.folder / "plain.zip", world.practice_ids[:1])
    page.set_input_files("input[name=archive]", path)
    page.locator("[name=method_name]").fill("Sans script")
    page.locator("[data-send]").click()
    expect(page.locator("h1")).to_contain_text("Sans script")
    context.close()


PUBLIC = [
    "/",
    "/help/",
    "/about/privacy/",
    "/credits/",
    "/challenges/flair-1/",
    "/challenges/flair-1/data",
    "/challenges/flair-1/evaluation",
    "/challenges/flair-1/baselines",
    "/challenges/flair-1/citation",
    "/challenges/flair-1/news/",
    "/challenges/flair-1/test/leaderboard/",
    "/challenges/flair-1/test/progress/",
    "/challenges/flair-1/teams/{team}/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/nowhere/",
]
PRIVATE = [
    "/challenges/flair-2/join/",
    "/challenges/flair-1/submissions/",
    "/challenges/flair-1/test/submit/",
    "/challenges/flair-1/team/",
    "/submissions/{submission}/",
    "/submissions/{rejected}/",
    "/submissions/{waiting}/",
    "/account/",
    "/account/tokens/",
    "/account/webhooks/",
    "/account/webhooks/{webhook}/",
    "/account/data/",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/2fa/",
    "/accounts/sessions/",
]


@pytest.mark.parametrize(("width_px", "language", "theme"), LOOKS)
def test_no_page_has_violations_overflows_or_console_errors(
    world: World, browser: Browser, width_px: int, language: str, theme: str
) -> None:
    """axe-core finds nothing, nothing overflows or moves, the console is silent."""
    context, page, complaints = open_page(
        browser, world.url, width_px=width_px, language=language, theme=theme
    )
    context.add_init_script(f"({WATCH_SHIFTS})()")
    faults: list[str] = []
    for address in [*PUBLIC, None, *PRIVATE]:
        if address is None:
            sign_in(page, "ada@example.org", seed.PASSWORD)
            continue
        page.goto(address.format(**vars(world)))
        # what was chosen in the account must not outweigh the look under test
        assert page.locator("html").get_attribute("data-theme") == theme
        assert page.locator("html").get_attribute("lang") == language
        if page.evaluate("document.documentElement.scrollWidth") > width_px:
            faults.append(f"{address}: wider than {width_px} px")
        if page.evaluate("window.shifted") > SHIFT_AT_MOST:
            faults.append(f"{address}: shifts by {page.evaluate('window.shifted')} as it loads")
        faults += find_violations(page, address)
        if (width_px, language) == FORCED_COLORS_LOOK:
            faults += find_violations_in_forced_colors(page, address)
    assert faults == []
    assert [text for text in complaints if "404" not in text] == []
    context.close()


def test_colours_of_the_system_tell_the_current_tab_and_phase(
    world: World, browser: Browser
) -> None:
    """Forced colours paint every border alike and drop backgrounds."""
    context, page, _ = open_page(browser, world.url)
    page.emulate_media(forced_colors="active")
    page.goto("/challenges/flair-1/test/leaderboard/")
    look = """(selector) => {
        const one = getComputedStyle(document.querySelector(selector));
        return [one.borderBottomColor, one.backgroundColor].join();
    }"""
    tab = page.evaluate(look, ".tabs [aria-current]")
    assert tab != page.evaluate(look, ".tabs a:not([aria-current])")
    phase = page.evaluate(look, ".pages [aria-current]")
    assert phase != page.evaluate(look, ".pages a:not([aria-current])")
    context.close()


@pytest.mark.parametrize("width_px", [390, 1440])
def test_the_index_of_a_result_stays_in_sight_and_marks_the_section(
    world: World, browser: Browser, width_px: int
) -> None:
    context, page, complaints = open_page(browser, world.url, width_px=width_px)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto(f"/submissions/{world.submission}/")
    index = page.locator(".page-index")
    links = index.locator("a:visible")
    assert links.count() >= 6
    expect(index.locator("[aria-current]")).to_have_text("Result")
    for number in range(links.count()):
        link = links.nth(number)
        link.focus()
        page.keyboard.press("Enter")
        expect(link).to_have_attribute("aria-current", "true")
        assert index.locator("[aria-current]").count() == 1
        heading = page.locator(link.get_attribute("href") or "")
        bar, title, seen = index.bounding_box(), heading.bounding_box(), link.bounding_box()
        assert bar is not None
        assert title is not None
        assert seen is not None
        assert -1 <= bar["y"] <= 1 or number == 0
        assert title["y"] >= bar["y"] + bar["height"] - 1  # not under the index
        assert seen["x"] >= 0
        assert seen["x"] + seen["width"] <= width_px
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    assert complaints == []
    context.close()


def test_the_head_of_the_site_is_in_the_same_place_on_every_page(
    world: World, browser: Browser
) -> None:
    """Short pages have no scroll bar, where it takes room; the head must not move for it."""
    context, page, _ = open_page(browser, world.url, width_px=1440)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    found = {}
    for address in [*PUBLIC, *PRIVATE]:
        page.goto(address.format(**vars(world)))
        found[address] = page.evaluate(
            """[...document.querySelectorAll(".site-head .brand, .site-head nav > *")]
               .map((one) => Object.values(one.getBoundingClientRect().toJSON()).join())"""
        )
    assert len({str(places) for places in found.values()}) == 1, found
    context.close()


def test_search_and_weights_are_in_the_address(world: World, browser: Browser) -> None:
    """What one reader found, another opens from the address alone."""
    context, page, complaints = open_page(browser, world.url)
    page.goto("/challenges/flair-1/test/leaderboard/")
    page.locator("[data-board-weights]").select_option("one-domain")
    expect(page).to_have_url(re.compile(r"weights=one-domain&domain=D\w+"))
    page.locator("[data-board-weights]").select_option("worst")
    expect(page).to_have_url(re.compile(r"\?weights=worst$"))
    row = page.locator(".board tbody tr", has_text="Les Cartographes")
    weighted = row.locator(".c-miou").inner_text()
    rank = row.locator("[data-rank]").inner_text()
    page.locator("[data-board-search]").fill("carto")
    expect(page).to_have_url(re.compile(r"weights=worst&q=carto$"))
    page.goto(page.url)
    expect(page.locator("[data-board-weights]")).to_have_value("worst")
    expect(page.locator(".board tbody tr")).to_have_count(1)
    expect(row.locator(".c-miou")).to_have_text(weighted)
    expect(row.locator("[data-rank]")).to_have_text(rank)
    assert complaints == []
    context.close()


def test_nothing_moves_beside_a_final_refusal(world: World, browser: Browser) -> None:
    """The bar and “Uploading” stayed beside what was refused for good, in the API's words."""
    context, page, _ = open_page(browser, world.url)
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.goto("/challenges/flair-1/practice/submit/")
    path = archives.make_zip(world.folder / "late.zip", world.practice_ids)
    page.set_input_files("input[name=archive]", path)
    page.get_by_label("Method", exact=True).fill("Late")
    page.route(
        "**/api/v1/uploads",
        lambda route: route.fulfill(
            status=411,
            content_type="application/problem+json",
            body='{"code": "upload-length-required", "detail": "Send it", "page": "Reload"}',
        ),
    )
    page.locator("[data-send]").click()
    expect(page.locator("[data-progress-text]")).to_have_text("Reload")
    expect(page.locator("[data-progress] h2")).to_have_text("Not submitted")
    expect(page.locator("[data-progress-bar]")).to_be_hidden()
    expect(page.locator("button[data-pause]")).to_be_hidden()
    expect(page.locator("[data-send]")).to_be_enabled()
    context.close()


# CSS pixels that A4 has between the margins of the style sheet's @page.
PAPER_PX = {"portrait": 718, "landscape": 1047}


@pytest.mark.parametrize("paper", PAPER_PX)
@pytest.mark.parametrize("language", ["en", "fr"])
def test_paper_gets_every_column_as_dark_text_on_white(
    world: World, browser: Browser, paper: str, language: str
) -> None:
    context, page, _ = open_page(
        browser, world.url, width_px=PAPER_PX[paper], theme="dark", language=language
    )
    sign_in(page, "ada@example.org", seed.PASSWORD)
    page.emulate_media(media="print")
    for address in ("/challenges/flair-1/test/leaderboard/", f"/submissions/{world.submission}/"):
        page.goto(address)
        style = "getComputedStyle(document.body)"
        assert page.evaluate(f"{style}.color") == "rgb(23, 33, 29)"
        assert page.evaluate(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
        cut = page.evaluate(
            """() => [...document.querySelectorAll("main table")].filter((table) =>
                table.getBoundingClientRect().right > document.documentElement.clientWidth
                || getComputedStyle(table.parentElement).overflowX !== "visible")
                .map((table) => [table.className, table.getBoundingClientRect().right])"""
        )
        assert cut == [], address
    context.close()


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_classes_of_the_data_page_fit_a_phone(
    world: World, browser: Browser, language: str
) -> None:
    context, page, _ = open_page(browser, world.url, width_px=390, language=language)
    page.goto("/challenges/flair-1/data")
    box = page.locator(".scroll:has(> .shares)")
    assert box.evaluate("(box) => box.scrollWidth - box.clientWidth") <= 0
    context.close()
