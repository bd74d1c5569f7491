"""The gallery of a kit: drawn by a worker of what is published, filtered, withdrawn with it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from PIL import Image

from challenge.models import Challenge, Gallery, GroundTruth, Phase
from challenge.services import maintenance
from challenge.services.challenges import kits
from challenge.workers import gallery
from scoring.engine.pictures import layers
from tests import factories
from tests.challenges.test_kits import tiff
from tests.helpers import refused
from tests.permissions.world import Visitor
from tests.splits.world import PATCHES, SIDE_PX, SplitWorld, make_split_world, mask

pytestmark = pytest.mark.django_db(transaction=True)
IDS = list(PATCHES)
FLAIR_BANDS = ["red", "green", "blue", "near_infrared", "height"]
VALUES = (30, 60, 90, 200, 40)
Publish = Callable[..., None]


@pytest.fixture
def world(tmp_path: Path, settings: Any) -> SplitWorld:
    made = make_split_world(tmp_path)
    settings.LABELS_DIR, settings.EVIDENCE_DIR = made.labels_dir, made.evidence_dir
    made.labels_dir.mkdir(exist_ok=True)
    made.install()
    Challenge.objects.update(facts={"images": {"bands": FLAIR_BANDS}})
    made.phase.refresh_from_db()
    return made


@pytest.fixture
def publish(world: SplitWorld, tmp_path: Path) -> Publish:
    """Publish a kit of images with these values by band, and what else is given by name."""

    def kit(values: tuple[int, ...] = VALUES, **others: bytes) -> None:
        folder = tmp_path / "kit"
        for patch in IDS:
            path = folder / "images" / f"IMG_{patch}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            flat = np.array(values, np.uint8)[:, None, None]
            path.write_bytes(tiff(np.broadcast_to(flat, (len(values), SIDE_PX, SIDE_PX))))
        for name, content in others.items():
            (folder / name).write_bytes(content)
        kits.publish(phase=world.phase, source=folder, actor=None)

    return kit


def make_public(world: SplitWorld) -> None:
    GroundTruth.objects.update(labels_public=True)
    Phase.objects.filter(pk=world.phase.pk).update(labels_public=True)


def metadata() -> dict[str, bytes]:
    """Dates of half of the patches: April for the first, July for the next ones."""
    told = {f"IMG_{patch}": {"date": "2021-07-14", "time": "08h06"} for patch in IDS[:8]}
    told[f"IMG_{IDS[0]}"]["date"] = "2021-04-02"
    return {"flair_aerial_metadata.json": json.dumps(told).encode()}


def series(zone_name: str, *, months: tuple[int, ...] = (1, 4, 4, 9)) -> dict[str, bytes]:
    """The series of one zone: its red is 100 × month, a second April is under a cloud."""
    domain, zone = zone_name.split("/")
    array = np.zeros((len(months), 10, 60, 70), np.uint16)
    for number, month in enumerate(months):
        array[number, 2] = 100 * month
    array[2, :] = 9000
    file = io.BytesIO()
    np.save(file, array)
    lines = "\n".join(f"S2A_MSIL2A_2021{month:02}15T105021_N0300" for month in months)
    centers = {f"IMG_{patch}.tif": [2, 68] for patch in IDS}
    stem = f"SEN2_sp_{domain}-{zone}"
    return {
        f"{stem}_data.npy": file.getvalue(),
        f"{stem}_products.txt": lines.encode(),
        "flair-2_centroids_sp_to_patch.json": json.dumps(centers).encode(),
    }


def address(world: SplitWorld, query: str = "") -> str:
    return f"/challenges/{world.phase.challenge.slug}/patches/{query}"


def picture_address(world: SplitWorld, name: str) -> str:
    number, _dash, layer = name.partition("-")
    phase = world.phase
    return f"/challenges/{phase.challenge.slug}/{phase.slug}/gallery/{number}/{layer}/"


def pixels(world: SplitWorld, name: str) -> np.ndarray:
    answer = Visitor(None).ask("GET", picture_address(world, name))
    assert answer.status_code == 200, name
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)


def shown(world: SplitWorld, query: str = "") -> str:
    return str(Visitor(None).ask("GET", address(world, query)).content.decode())


def test_each_layer_shows_its_bands_and_the_labels_where_they_are_public(
    world: SplitWorld, publish: Publish
) -> None:
    make_public(world)
    publish(**metadata(), **series(PATCHES[IDS[0]]))
    assert gallery.draw_galleries() == 1
    row = Gallery.objects.get()
    assert (row.state, row.error_code) == ("succeeded", "")
    assert [one["patch"] for one in row.rows] == IDS
    assert row.rows[0]["layers"] == ["true-color", "near-infrared", "height", "labels", "year"]
    water = float(np.mean(mask(IDS[0]) == 2))
    assert row.rows[0]["classes"]["1"] == round(water, 4)
    assert abs(pixels(world, "0-true-color") - [30, 60, 90]).max() < 12
    assert abs(pixels(world, "0-near-infrared") - [200, 30, 60]).max() < 12
    assert len(np.unique(pixels(world, "0-labels").reshape(-1, 3), axis=0)) == 2
    strip = pixels(world, "0-year")
    assert strip.shape == (40, 12 * 40, 3)
    reds = [int(strip[20, 40 * month + 20, 0]) for month in range(12)]
    assert abs(reds[3] - 400 / 3000 * 255) < 12, "the April without a cloud"
    assert abs(reds[8] - 900 / 3000 * 255) < 12
    assert abs(reds[5] - 128) < 12, "no image in June"
    assert "year" not in row.rows[-1]["layers"], "no series of its zone"
    assert default_storage.exists(row.stored_name)


def test_filters_are_parts_of_the_address(world: SplitWorld, publish: Publish) -> None:
    make_public(world)
    publish(**metadata())
    gallery.draw_galleries()
    for query, count in (
        ("?season=spring", 1),
        ("?season=summer", 7),
        (f"?domain={PATCHES[IDS[0]].split('/')[0]}&season=spring", 1),
        ("?domain=D999_2020", 0),
        ("?season=winter&page=9", 0),
        ("?class=nothing", 0),
        ("?layer=nothing&phase=nothing", len(IDS)),
    ):
        html = shown(world, query)
        assert html.count('class="patch-frame"') == count, query
        assert f"{count} patch" in html
    document = world.phase.task_spec
    assert document is not None
    key = document.data["classes"][1]["key"]
    html = shown(world, f"?class={key}&layer=labels")
    enough = [patch for patch in IDS if np.mean(mask(patch) == 2) >= 0.05]
    assert html.count('class="patch-frame"') == len(enough)
    assert 'aria-current="true">Labels' in html
    assert f'<option value="{key}" selected>' in html


def test_of_hidden_labels_nothing_is_drawn_or_told(world: SplitWorld, publish: Publish) -> None:
    publish(**metadata())
    gallery.draw_galleries()
    row = Gallery.objects.get()
    assert row.ground_truth is None
    assert all(one["classes"] == {} and "labels" not in one["layers"] for one in row.rows)
    html = shown(world, "?class=water&layer=labels")
    assert 'name="class"' not in html
    assert ">Labels<" not in html
    assert Visitor(None).ask("GET", picture_address(world, "0-labels")).status_code == 404


def test_labels_that_become_hidden_are_withheld_at_once_and_removed_by_the_sweep(
    world: SplitWorld, publish: Publish
) -> None:
    make_public(world)
    publish()
    gallery.draw_galleries()
    assert 'name="class"' in shown(world)
    Phase.objects.update(labels_public=False)
    assert 'name="class"' not in shown(world)
    assert Visitor(None).ask("GET", picture_address(world, "0-labels")).status_code == 404
    assert Visitor(None).ask("GET", picture_address(world, "0-height")).status_code == 200
    name = Gallery.objects.get().stored_name
    maintenance.sweep()
    assert not default_storage.exists(name)
    assert gallery.draw_galleries() == 1
    assert all(one["classes"] == {} for one in Gallery.objects.get().rows)


def test_it_goes_with_its_kit_and_another_kit_means_another(
    world: SplitWorld, publish: Publish
) -> None:
    publish()
    gallery.draw_galleries()
    first = Gallery.objects.get().stored_name
    publish(values=(1, 2, 3))
    assert not default_storage.exists(first), "it is withdrawn together with its kit"
    assert 'class="gallery"' not in shown(world)
    assert gallery.draw_galleries() == 1
    second = Gallery.objects.get()
    assert second.rows[0]["layers"] == ["true-color"]
    owner = factories.make_organiser(world.phase.challenge)
    kits.remove(phase=world.phase, actor=owner)
    assert not default_storage.exists(second.stored_name)
    assert not Gallery.objects.exists()
    maintenance.sweep()
    assert not Gallery.objects.exists()


def test_a_kit_of_before_gets_its_gallery_by_the_sweep_and_other_bands_another(
    world: SplitWorld, publish: Publish
) -> None:
    publish()
    Gallery.objects.all().delete()
    maintenance.sweep()
    gallery.draw_galleries()
    first = Gallery.objects.get()
    maintenance.sweep()
    assert Gallery.objects.get() == first
    Challenge.objects.update(facts={"images": {"bands": ["", "", "", "height"]}})
    maintenance.sweep()
    gallery.draw_galleries()
    assert Gallery.objects.get().rows[0]["layers"] == ["height"]


def test_pictures_of_a_hidden_phase_are_for_organisers_alone(
    world: SplitWorld, publish: Publish
) -> None:
    publish()
    gallery.draw_galleries()
    Phase.objects.update(is_published=False)
    assert 'class="gallery"' not in shown(world)
    where = picture_address(world, "0-true-color")
    assert Visitor(None).ask("GET", where).status_code == 404
    owner = factories.make_organiser(world.phase.challenge)
    assert Visitor(owner).ask("GET", where).status_code == 200


def test_an_unreadable_image_is_left_out(world: SplitWorld, publish: Publish) -> None:
    publish()
    broken = Gallery.objects.get()
    with default_storage.open(world.phase.kit.stored_name) as file:
        content = file.read()
    assert content.count(b"II*\0") >= len(IDS)
    at = content.index(b"II*\0") + 8
    world_file = Path(default_storage.path(world.phase.kit.stored_name))
    world_file.write_bytes(content[:at] + b"\xff" * 16 + content[at + 16 :])
    gallery.draw_galleries()
    broken.refresh_from_db()
    assert broken.state in {"succeeded", "failed"}
    assert broken.state == "failed" or len(broken.rows) == len(IDS) - 1


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("flair_metadata.json", b"[1]", "list"),
        ("flair_metadata.json", b"{", "Expecting"),
        ("dates.csv", b"patch,date\n000001,14/07/2021\n", "14/07/2021"),
    ],
)
def test_dates_that_cannot_be_read_are_refused_by_name(
    world: SplitWorld, publish: Publish, name: str, content: bytes, found: str
) -> None:
    with refused("kit-extra-unusable") as refusal:
        publish(**{name: content})
    assert name in str(refusal.value)
    assert found in str(refusal.value)


def test_a_series_that_does_not_fit_its_products_is_refused(
    world: SplitWorld, publish: Publish
) -> None:
    given = series(PATCHES[IDS[0]])
    products = next(name for name in given if name.endswith(".txt"))
    for content in (b"S2A_MSIL2A_20210115T105021", None):
        broken = {name: data for name, data in given.items() if name != products}
        if content is not None:
            broken[products] = content
        with refused("kit-extra-unusable"):
            publish(**broken)


def test_the_darkest_date_of_a_month_is_shown_and_months_without_one_stay_grey() -> None:
    months = (2, 2, 12)
    array = np.zeros((3, 4, 2, 2), np.int16)
    array[0], array[1], array[2] = 3000, 1500, 300
    strip, found = layers.strip_of_year(array, [date(2021, month, 3) for month in months])
    assert found == [2, 12]
    assert strip[0, 0, ::2].tolist() == [128, 127, *[128] * 9, 25]
