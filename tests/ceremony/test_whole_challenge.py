"""A challenge from its first name to its next edition, in browsers, with real workers.

Everything that organisers and participants do here they do on the site's pages: the owner in
English, the judge in French. Two things alone are done from outside: a worker is stopped so that
the phase closes with a full queue, and started again.
"""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from challenge.models import (
    AuditEvent,
    Challenge,
    ChallengeRole,
    Evaluation,
    LabelJob,
    LabelKey,
    RankLine,
    Rescore,
    Submission,
    TaskSpec,
)
from challenge.rules.lifecycle import OPEN_STATES, LabelState, RescoreState, State
from tests.ceremony.world import IDS, Person, World, masks_zip, phase, predictions_zip
from tests.exports.elsewhere import import_elsewhere

SLUG = "burnt-2027"
CLASSES = (
    "name_en,name_fr,color\nforest,forêt,#194a26\ncrop,culture,#ffe119\nwater,eau,#1553ae\n"
    "town,ville,#db0e9a\nrock,roche,#938e7b\nburnt,brûlé,#f80c00"
)
# The same but for one class that no longer counts.
CLASSES_THEN = CLASSES.replace("color", "color,scored").replace("\n", ",yes\n") + ",no"
CLASSES_THEN = CLASSES_THEN.replace("color,scored,yes", "color,scored")
ID = "SITE-[AB]_r[0-9]{2}_c[0-9]{2}"
PARIS = ZoneInfo("Europe/Paris")
# What is the same, byte for byte, where the challenge is imported.
EXPORTED = [
    *(f"/challenges/{SLUG}/{one}/leaderboard.json" for one in ("test", "final")),
    *(f"/challenges/{SLUG}/{one}/leaderboard.csv" for one in ("test", "final")),
    *(f"/api/v1/challenges/{SLUG}/phases/{one}/leaderboard" for one in ("test", "final")),
    *(f"/challenges/{SLUG}/test/{one}" for one in ("result.json", "result.csv")),
]


def test_a_challenge_from_its_name_to_its_next_edition(world: World) -> None:
    course = Course(world)
    for step in STEPS:
        step(course)
    assert course.complaints() == []


class Course:
    """The steps, each on the pages of one person; what they share is in the database."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.owner = world.person("olive", language="en", may_create=True)
        self.editor = world.person("edda", language="fr")
        self.judge = world.person("judith", language="fr")
        self.ada = world.person("ada", language="en")
        self.ben = world.person("ben", language="fr")
        self.cleo = world.person("cleo", language="en")

    def complaints(self) -> list[str]:
        """Return what consoles complained of; 409 and 422 are answers that ask for something."""
        found = [line for one in self.world.people.values() for line in one.complaints]
        return [line for line in found if "409" not in line and "422" not in line]

    # --- Before it opens ------------------------------------------------------------------------

    def create(self) -> None:
        page = self.owner.page
        page.goto(reverse("web:organise"))
        self.owner.follow("Create a challenge")
        page.fill("[name=title_en]", "Burnt areas")
        page.fill("[name=title_fr]", "Surfaces brûlées")
        page.fill("[name=slug]", SLUG)
        self.owner.press("Create the draft")
        page.fill("[name=classes]", CLASSES)
        page.fill("[name=label_offset]", "1")
        page.fill("[name=patch_height_px]", "256")
        page.fill("[name=patch_width_px]", "256")
        page.fill("[name=prediction_name]", "{id}.tif")
        page.fill("[name=prediction_pattern]", f"(?P<id>{ID})")
        page.fill("[name=truth_pattern]", f"MSK_(?P<id>{ID})")
        page.fill("[name=ids]", IDS)
        self.owner.press("Save")
        expect(page.locator("h1")).to_have_text("Launch check")
        expect(page.locator("main")).to_contain_text("No labels are installed")

    def set_the_phase(self) -> None:
        page = self.desk(self.owner, "Phases")
        self.owner.follow("Test")
        now = timezone.now()
        page.fill("[name=opens_at]", _clock(now - timedelta(hours=1)))
        page.fill("[name=closes_at]", _clock(now + timedelta(days=1)))
        page.fill("[name=finals_limit]", "1")
        page.locator("[name=is_published]").check()
        self.save_phase()

    def seal_labels(self) -> None:
        self.world.wait(LabelKey.objects.exists, "the labels worker's key")
        self.seal("test", masks_zip(self.world.folder / "masks.zip"), public_share="50")
        truth = phase().ground_truth
        assert truth is not None
        assert (truth.patch_count, truth.zone_count, truth.public_zone_count) == (12, 4, 2)

    def invite(self) -> None:
        page = self.desk(self.owner, "People and roles")
        for person, role in ((self.editor, "editor"), (self.judge, "judge")):
            page.fill("[name=email]", person.user.email)
            page.locator("form[action$='/invite/'] [name=role]").select_option(role)
            self.owner.press("Invite")
            person.page.goto(self.mailed_link(person, "/invitations/"))
            person.press("Take the role")
        held = ChallengeRole.objects.filter(challenge__slug=SLUG).order_by("role")
        assert [one.role for one in held] == ["editor", "judge", "owner"]

    def write_a_page(self) -> None:
        page = self.desk(self.editor, "Pages")
        page.locator("main a[href$='/pages/overview/en/']").first.click()
        page.fill("[name=markdown]", "Where did it burn?\n\n[[phases]]")
        self.editor.press("Save")
        page.goto(reverse("web:desk-preview", args=[SLUG, "overview"]))
        expect(page.locator("main")).to_contain_text("Test")

    def admit(self) -> None:
        page = self.desk(self.owner, "Registrations")
        self.owner.follow("Approval and admission list")
        page.select_option("[name=mode]", "approval")
        page.locator("form[action$='/mode/'] button").click()
        listed = self.world.folder / "people.csv"
        listed.write_text(f"name,email\nAda,{self.ada.user.email}\n")
        page.set_input_files("[name=file]", listed)
        self.owner.press("Check")
        self.owner.press("Save 1 entry")
        expect(page.locator("main")).to_contain_text(self.ada.user.email)

    def publish(self) -> None:
        page = self.desk(self.owner, "Launch check")
        main = page.locator("main")
        expect(main).to_contain_text("Labels of 12 patches are installed.")
        expect(main).to_contain_text("handed in as predictions, score 1.")
        expect(main).to_contain_text("Mail leaves this site.")
        expect(page.locator("main .tag.bad")).to_have_count(0)
        self.owner.press("Publish the challenge")
        expect(main).to_contain_text("The challenge is published.")

    # --- While it is open -----------------------------------------------------------------------

    def join(self) -> None:
        for person in (self.ada, self.ben, self.cleo):
            person.page.goto(reverse("web:join", args=[SLUG]))
            person.page.locator("main form [type=checkbox]").first.check()
            person.page.locator("main form button[type=submit]").first.click()
        page = self.desk(self.judge, "Registrations")
        expect(page.locator("main .tag.warn")).to_have_count(2)
        for person in (self.ben, self.cleo):
            name = person.user.username
            page.locator("main summary", has_text=name).click()
            form = page.locator("main li", has_text=name).locator("form")
            form.locator("button[value=approve]").click()
            expect(page.locator(".messages")).to_contain_text(name)
        expect(page.locator("main .tag.warn")).to_have_count(0)

    def submit(self) -> None:
        for person, rows in ((self.ada, 40), (self.ben, 8)):
            self.hand_in(person, f"First of {person.user.username}", wrong_rows=rows)
        self.wait_until_scored()
        ranked = RankLine.objects.values_list("entry__team__name", "rank")
        self.world.wait(lambda: set(ranked.all()) == {("ada", 2), ("ben", 1)}, "the ranks")

    def rescore(self) -> None:
        page = self.desk(self.owner, "Task")
        page.fill("[name=classes]", CLASSES_THEN)
        self.owner.press("Save")
        expect(page.locator("h1")).to_have_text("Scores")
        assert TaskSpec.objects.filter(challenge__slug=SLUG).count() == 2
        self.owner.follow("Score again")
        self.owner.press("Ask for a preview")
        self.wait_for_rescore(RescoreState.PREVIEWED)
        page.reload()
        expect(page.locator("main table tbody tr")).to_have_count(2)
        self.owner.press("Publish exactly this")
        self.wait_for_rescore(RescoreState.PUBLISHED)
        counting = phase().task_spec
        assert counting is not None
        assert counting.version == 2

    def disqualify(self) -> None:
        page = self.desk(self.judge, "Teams")
        page.get_by_role("link", name="ben", exact=True).click()
        section = page.locator("section[aria-labelledby=verdict]")
        section.locator("[name=reason]").fill("Two accounts.")
        section.locator("button").click()
        expect(page.locator("h1")).to_contain_text(self.judge.words("disqualified"))
        board = self.read_board()
        assert "ada" in board
        assert "ben" not in board

    def freeze(self) -> None:
        page = self.open_phase()
        page.fill("[name=frozen_at]", _clock(timezone.now()))
        self.save_phase()
        self.hand_in(self.ada, "After the freeze", wrong_rows=4)
        self.wait_until_scored()
        assert "First of ada" in self.read_board()
        assert "After the freeze" not in self.read_board()

    # --- The close ------------------------------------------------------------------------------

    def grant(self) -> None:
        page = self.desk(self.owner, "Teams")
        page.get_by_role("link", name="cleo", exact=True).click()
        self.owner.unfold("Grant something to this team")
        section = page.locator("section[aria-labelledby=grants]")
        section.locator("[name=late]").check()
        until = timezone.now() + timedelta(days=1, hours=2)
        section.locator("[name=until]").fill(f"{until:%Y-%m-%dT%H:%M}")
        section.locator("[name=reason]").fill("Their network was down.")
        self.owner.press("Grant")
        expect(page.locator("main")).to_contain_text("Their network was down.")

    def close(self) -> None:
        """Close the phase while what was submitted last waits."""
        self.world.scoring.stop()
        self.hand_in(self.ada, "Before the close", wrong_rows=2)
        page = self.open_phase()
        time.sleep(1)  # the form's times are whole seconds
        page.fill("[name=closes_at]", _clock(timezone.now()))
        self.save_phase(asks="1 submission waits for its score")
        self.ada.page.goto(reverse("web:submit", args=[SLUG, "test"]))
        expect(self.ada.page.locator("[data-send]")).to_be_disabled()
        self.hand_in(self.cleo, "Late", wrong_rows=20)
        self.open_phase()
        expect(page.locator("main")).to_contain_text("Not settled yet")
        self.world.scoring.start()
        self.wait_until_scored()

    def choose(self) -> None:
        """What waited at the close is chosen after it."""
        page = self.ada.page
        page.goto(reverse("web:submissions", args=[SLUG]))
        self.ada.follow("Before the close")
        self.ada.press("Choose for the final ranking")
        assert Submission.objects.get(method_name="Before the close").is_final

    def settle(self) -> None:
        page = self.desk(self.owner, "Teams")
        page.get_by_role("link", name="cleo", exact=True).click()
        page.locator(
            "section[aria-labelledby=grants] form[action$='/withdraw-grant/'] button"
        ).click()
        page = self.open_phase()
        self.owner.unfold("Settle it now")
        page.locator("form[action$='/settle/'] [name=reason]").fill("Everybody has chosen.")
        self.owner.press("Settle")
        expect(page.locator("main")).to_contain_text("Settled on")
        page.fill("[name=frozen_at]", "")
        self.save_phase()

    # --- The result -----------------------------------------------------------------------------

    def reveal(self) -> None:
        page = self.open_result(self.judge)
        waits = "The private zones are not revealed yet: the final result counts them."
        expect(page.locator("main")).to_contain_text(self.judge.words(waits))
        self.judge.press("Reveal the private zones")
        self.world.wait(lambda: phase().revealed_at is not None, "the reveal")
        assert AuditEvent.objects.filter(action="phase.reveal", actor=self.judge.user).exists()

    def sign(self) -> None:
        page = self.open_result(self.judge)
        self.judge.press("Sign these lines")
        expect(page.locator("main")).to_contain_text("ada")
        context = self.world.browser.new_context(base_url=self.world.site.url, locale="en-GB")
        reader = context.new_page()
        reader.goto(reverse("web:result", args=[SLUG, "test"]))
        rows = reader.locator("main table").first.locator("tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.nth(0)).to_contain_text("Before the close")
        expect(rows.nth(1)).to_contain_text("cleo")
        context.close()

    def copy_best(self) -> None:
        page = self.desk(self.owner, "Phases")
        self.owner.follow("Add a phase")
        now = timezone.now()
        page.fill("[name=slug]", "final")
        page.fill("[name=name_en]", "Final")
        page.fill("[name=name_fr]", "Finale")
        page.fill("[name=opens_at]", _clock(now - timedelta(minutes=1)))
        page.fill("[name=closes_at]", _clock(now + timedelta(days=1)))
        self.owner.press("Save")
        self.seal("final", masks_zip(self.world.folder / "masks-2.zip", edition=2))
        self.open_phase("Final")
        page.locator("[name=is_published]").check()
        self.save_phase()
        self.open_result(self.owner)
        self.owner.follow("Copy the best submissions into another phase")
        self.owner.follow("Final")
        self.owner.press("Copy into “Final”")
        self.wait_until_scored()
        copied = Submission.objects.filter(entry__phase__slug="final").order_by("method_name")
        assert [one.method_name for one in copied] == ["Before the close", "Late"]
        states = Evaluation.objects.filter(submission__in=copied).values_list("state", flat=True)
        assert set(states) == {State.SCORED}

    def export(self) -> None:
        """The export of the desk has the same leaderboards, to the byte, on an empty site."""
        page = self.desk(self.owner, "Scores")
        self.owner.follow("Export the whole challenge")
        with page.expect_download() as started:
            self.owner.press("Export")
        file = self.world.folder / started.value.suggested_filename
        started.value.save_as(file)
        assert file.name == f"{SLUG}-export.zip"
        here = {address: self.read(address) for address in EXPORTED}
        assert '"Before the close"' in here[EXPORTED[0]]
        assert here[EXPORTED[0]] != here[EXPORTED[1]]
        folder = self.world.folder / "elsewhere"
        there = import_elsewhere(file, EXPORTED, now=timezone.now(), folder=folder)
        assert there["imported"] == here

    def clone(self) -> None:
        page = self.desk(self.owner, "Launch check")
        self.owner.follow("Make the next edition")
        page.fill("[name=slug]", "burnt-2028")
        self.owner.press("Create the draft")
        expect(page.locator("main")).to_contain_text("The next edition is a draft.")
        made = Challenge.objects.get(slug="burnt-2028")
        assert not made.is_published
        # Values of the first phase's labels left in full precision: next year needs others.
        expect(page.locator(".messages")).to_contain_text("Without labels: test")
        labelled = {one.slug: one.ground_truth_id is not None for one in made.phases.all()}
        assert labelled == {"test": False, "final": True}
        assert not Submission.objects.filter(entry__phase__challenge=made).exists()

    # --- What several steps do ------------------------------------------------------------------

    def desk(self, person: Person, link: str) -> Page:
        """Open one of the links of the desk's first page."""
        person.page.goto(reverse("web:desk", args=[SLUG]))
        person.follow(link)
        return person.page

    def open_phase(self, name: str = "Test") -> Page:
        page = self.desk(self.owner, "Phases")
        self.owner.follow(name)
        return page

    def open_result(self, person: Person) -> Page:
        page = self.desk(person, "Phases")
        person.follow("Final result")
        return page

    def save_phase(self, *, asks: str = "") -> None:
        """Save a phase's form; confirm what it means where it asks."""
        page = self.owner.page
        form = page.locator("main form", has=page.locator("[name=opens_at]"))
        form.locator("button[type=submit]").last.click()
        saved, confirm = page.get_by_text("Saved."), page.locator("[name=confirmed]")
        expect(saved.or_(confirm).first).to_be_visible()
        if asks:
            expect(page.locator("main")).to_contain_text(asks)
        if confirm.count():
            confirm.click()
            expect(saved.first).to_be_visible()

    def seal(self, slug: str, masks: Path, *, public_share: str = "") -> None:
        """Seal and send masks on the page of labels, and wait until they are installed."""
        page = self.desk(self.owner, "Labels")
        page.select_option("form[data-seal] [name=phase]", slug)
        page.set_input_files("[name=masks]", masks)
        if public_share:
            self.owner.unfold("Public and private part (optional)")
            page.fill("[name=public_share]", public_share)
        page.locator("[data-send]").click()
        page.locator("main li", has_text=masks.name).first.wait_for()
        job = LabelJob.objects.get(phase__slug=slug)
        ended = {LabelState.INSTALLED, LabelState.REFUSED, LabelState.FAILED}

        def state() -> str:
            job.refresh_from_db()
            return job.state

        self.world.wait(lambda: state() in ended, "the labels")
        assert (job.state, job.error_code, job.error_message) == (LabelState.INSTALLED, "", "")
        truth = job.ground_truth_id
        oracle = AuditEvent.objects.filter(action="phase.oracle", data__ground_truth=truth)
        self.world.wait(oracle.exists, "the labels as predictions")

    def mailed_link(self, person: Person, path: str) -> str:
        """Return the path of the link that was mailed to a person."""
        found: list[str] = []

        def look() -> bool:
            mails = [one.read_text("utf-8") for one in (self.world.folder / "mail").glob("*.log")]
            texts = [text for text in mails if f"To: {person.user.email}" in text]
            found.extend(link for text in texts for link in re.findall(rf"{path}\S+", text))
            return bool(found)

        self.world.wait(look, f"a mail to {person.user.email}")
        return found[-1]

    def hand_in(self, person: Person, method: str, *, wrong_rows: int) -> None:
        """Submit predictions by the page; the browser checks them first."""
        page = person.page
        archive = predictions_zip(self.world.folder / f"{method}.zip", wrong_rows=wrong_rows)
        page.goto(reverse("web:submit", args=[SLUG, "test"]))
        page.set_input_files("input[name=archive]", archive)
        expect(page.locator("[data-report-body] .check-head")).to_be_visible()
        page.fill("[name=method_name]", method)
        page.locator("[data-send]").click()
        page.wait_for_url("**/submissions/**")
        expect(page.locator("h1")).to_contain_text(method)

    def wait_until_scored(self) -> None:
        waiting = Evaluation.objects.filter(state__in=OPEN_STATES)
        self.world.wait(lambda: not waiting.exists(), "scores")
        assert not Evaluation.objects.exclude(state=State.SCORED).exists()

    def wait_for_rescore(self, wanted: RescoreState) -> None:
        rows = Rescore.objects.filter(phase__slug="test")
        self.world.wait(lambda: rows.get().state in {wanted, RescoreState.FAILED}, "the re-score")
        assert rows.get().state == wanted

    def read(self, address: str) -> str:
        """Return what somebody gets who is not signed in."""
        answer = httpx.get(self.world.site.url + address, timeout=60)
        assert answer.status_code == 200, address
        return answer.content.decode()

    def read_board(self) -> str:
        """Return the leaderboard as somebody sees it who is not signed in."""
        context = self.world.browser.new_context(base_url=self.world.site.url, locale="en-GB")
        reader = context.new_page()
        reader.goto(reverse("web:leaderboard", args=[SLUG, "test"]))
        text = reader.locator("main table").first.inner_text()
        context.close()
        return re.sub(r"\s+", " ", text)


def _clock(at: datetime) -> str:
    """Return a moment as the challenge's clocks show it, to the second."""
    return f"{at.astimezone(PARIS):%Y-%m-%dT%H:%M:%S}"


STEPS = (
    Course.create,
    Course.set_the_phase,
    Course.seal_labels,
    Course.invite,
    Course.write_a_page,
    Course.admit,
    Course.publish,
    Course.join,
    Course.submit,
    Course.rescore,
    Course.disqualify,
    Course.freeze,
    Course.grant,
    Course.close,
    Course.choose,
    Course.settle,
    Course.reveal,
    Course.sign,
    Course.copy_best,
    Course.export,
    Course.clone,
)
