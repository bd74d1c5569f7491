"""What the whole challenge needs: a site, workers, people with browsers, masks and predictions."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Permission
from django.utils.translation import gettext, override
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, Page

from challenge.models import Phase, User
from tests.factories import make_user
from tests.helpers import wait_until
from tests.live_site import LiveSite, collect_static_files
from tests.web.archives import make_tiff
from tests.web.browser import open_page
from tests.web.looks import sign_in_as
from tests.worker_process import WorkerProcess

SIDE_PX, CLASSES = 256, 6
# Two sites of two zones, three patches each.
PATCHES = {
    f"SITE-{site}_r{row:02}_c{column:02}": f"SITE-{site}/Z{row}"
    for site in "AB"
    for row in range(2)
    for column in range(3)
}
IDS = "domain,zone,patch\n" + "".join(
    f"{zone.replace('/', ',')},{patch}\n" for patch, zone in PATCHES.items()
)


def mask(patch: str, *, edition: int = 1) -> NDArray[np.uint8]:
    """uint8[256, 256] of the labels 1 to 6 in blocks, other ones in each patch and edition."""
    random = np.random.default_rng([edition, *patch.encode()])
    blocks = random.integers(1, CLASSES + 1, (8, 8), dtype=np.uint8)
    return blocks.repeat(SIDE_PX // 8, axis=0).repeat(SIDE_PX // 8, axis=1)


def masks_zip(path: Path, *, edition: int = 1) -> Path:
    """Write the zip of masks that an owner seals."""
    return _zip(path, {f"MSK_{one}.tif": mask(one, edition=edition) for one in PATCHES})


def predictions_zip(path: Path, *, wrong_rows: int) -> Path:
    """Write predictions that are the labels but for the first rows of each patch."""
    made = {}
    for patch in PATCHES:
        pixels = mask(patch) - 1
        pixels[:wrong_rows] = (pixels[:wrong_rows] + 1) % CLASSES
        made[f"{patch}.tif"] = pixels
    return _zip(path, made)


def _zip(path: Path, rasters: dict[str, NDArray[np.uint8]]) -> Path:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, pixels in rasters.items():
            archive.writestr(name, make_tiff(pixels))
    path.write_bytes(packed.getvalue())
    return path


class Worker(WorkerProcess):
    """A worker on the folders that a labels worker and a scoring worker of one host share."""

    def __init__(self, folder: Path, *, queues: str, site_url: str) -> None:
        super().__init__(folder / f"{queues.partition(',')[0]}-worker.log", queues=queues)
        self.folder, self.site_url = folder, site_url

    def environment(self) -> dict[str, str]:
        return {
            "STORAGE_URL": f"file://{self.folder / 'storage'}",
            "EMAIL_URL": f"file://{self.folder / 'mail'}",
            "SITE_URL": self.site_url,
            "SECOND_FACTOR_REQUIRED": "0",
            "LABELS_DIR": str(self.folder / "labels"),
            "LABELS_KEY_DIR": str(self.folder / "labels-key"),
            "SCORING_KEY_DIR": str(self.folder / "scoring-key"),
            "EVIDENCE_DIR": str(self.folder / "evidence"),
            "SCORER_WORKERS": "1",
        }


@dataclass
class Person:
    """Somebody with a browser of their own, in their language."""

    user: User
    page: Page
    context: BrowserContext
    language: str
    complaints: list[str]

    def words(self, text: str) -> str:
        """Return words of the site as this person reads them."""
        with override(self.language):
            return gettext(text)

    def press(self, text: str) -> None:
        """Press the button with these words, given in English."""
        self.page.get_by_role("button", name=self.words(text), exact=True).click()

    def follow(self, text: str) -> None:
        """Follow the page's link with these words, given in English."""
        link = self.page.locator("main").get_by_role("link", name=self.words(text), exact=True)
        link.first.click()

    def unfold(self, text: str) -> None:
        """Open what is folded under these words, given in English."""
        self.page.locator("main summary", has_text=self.words(text)).first.click()


@dataclass
class World:
    """The running site; ``people`` by user name."""

    folder: Path
    site: LiveSite
    labels: Worker
    scoring: Worker
    browser: Browser
    people: dict[str, Person] = field(default_factory=dict)

    def person(self, name: str, *, language: str, may_create: bool = False) -> Person:
        """Make a person with a confirmed address and open their browser, signed in."""
        user = make_user(name)
        EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
        if may_create:
            user.user_permissions.add(Permission.objects.get(codename="add_challenge"))
        context, page, complaints = open_page(self.browser, self.site.url, language=language)
        sign_in_as(user, context, site=self.site.url)
        self.people[name] = Person(user, page, context, language, complaints)
        return self.people[name]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait for what a worker does; fail with the end of both logs."""
        wait_until(
            condition,
            what,
            timeout_s=100.0,
            report=lambda: self.labels.log_tail() + self.scoring.log_tail(),
        )


def phase(slug: str = "test") -> Phase:
    """The phase as it is stored now."""
    return Phase.objects.select_related("challenge", "ground_truth", "task_spec").get(slug=slug)


@contextmanager
def running(folder: Path, browser: Browser) -> Iterator[World]:
    """Start the site and both workers; stop all after."""
    (folder / "labels").mkdir()
    environment = collect_static_files(folder / "static")  # as in production
    site = LiveSite(folder, environment | {"EMAIL_URL": f"file://{folder / 'mail'}"})
    labels = Worker(folder, queues="labels", site_url=site.url)
    scoring = Worker(folder, queues="scoring,default", site_url=site.url)
    world = World(folder, site, labels, scoring, browser)
    try:
        labels.start()
        scoring.start()
        site.start()
        yield world
    finally:
        for one in world.people.values():
            one.context.close()
        site.stop()
        labels.stop()
        scoring.stop()
