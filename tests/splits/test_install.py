"""Labels are installed with public and private zones: what is stored where, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError
from django.db import connection
from pytest_django import Settings

from challenge.models import AuditEvent, GroundTruth, Phase
from challenge.rules.rounding import Steps, steps_for
from challenge.services.challenges import challenges, phases, splits
from scoring.engine.truth.split import CountedZones
from tests.challenges.test_install import write_mask
from tests.splits.world import IDS, PATCHES, ZONES, SplitWorld, mask

pytestmark = pytest.mark.django_db


def dump() -> str:
    """Return every row of every table as text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        texts = []
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            texts += [row for (row,) in cursor.fetchall()]
    return "\n".join(texts)


def test_the_share_is_stored_and_the_list_is_not(world: SplitWorld) -> None:
    said = world.install("--public-share", "0.5", "--split-seed", "7")
    truth, split = world.truth, world.split
    assert truth.split_commitment == split.commitment
    assert (truth.zone_count, truth.public_zone_count) == (8, 4)
    assert (truth.patch_count, truth.public_patch_count) == (16, 8)
    assert truth.public_pixels == 8 * 64
    assert (truth.public_zones, truth.split_nonce) == ([], "")
    assert world.phase.counted_zones == CountedZones.PUBLIC
    assert "public: 4 of 8 zones, 8 of 16 patches (50.0% of the pixels)" in said
    assert "single zone, which are on one side as a whole: 2 (D006_2021, D008_2021)" in said
    assert split.commitment in said
    assert split.nonce not in said
    assert not [zone for zone in ZONES if zone in said]
    everything = dump()
    assert split.commitment in everything
    assert split.nonce not in everything
    event = AuditEvent.objects.get(action="ground_truth.install")
    assert event.data["split_commitment"] == split.commitment
    assert event.data["public_zones"] == 4


def test_a_file_of_public_zones_decides(world: SplitWorld, tmp_path: Path) -> None:
    public = ["D002_2021/Z3_UU", "D004_2021/Z2_UU"]
    (tmp_path / "zones").write_text("\n".join([*public, ""]))
    said = world.install("--public-zones", str(tmp_path / "zones"))
    assert list(world.split.public_zones) == public
    assert "Z3_UU" not in said
    assert world.ids(CountedZones.PUBLIC) == [p for p, zone in PATCHES.items() if zone in public]


def test_steps_are_those_of_the_public_zones(world: SplitWorld, tmp_path: Path) -> None:
    (tmp_path / "zones").write_text("D002_2021/Z3_UU\nD004_2021/Z2_UU\n")
    world.install("--public-zones", str(tmp_path / "zones"))
    pixels = np.zeros(3, dtype=np.int64)
    for patch in world.ids(CountedZones.PUBLIC):
        pixels[:2] += np.bincount(mask(patch).ravel(), minlength=3)[1:]
    wanted = steps_for(pixels.tolist(), scored=[0, 1], pixels_per_step=1)
    assert Steps.from_json(world.truth.steps) == wanted


def test_without_a_split_nothing_is_different(world: SplitWorld) -> None:
    said = world.install()
    assert world.phase.counted_zones == CountedZones.ALL
    assert world.truth.split_commitment == ""
    assert "public" not in said
    assert [path.suffix for path in world.labels_dir.iterdir()] == [".truth"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--public-share", "1.5"), "found a public share of 1.5"),
        (("--public-share", "0.5", "--no-split"), "found more than one of"),
        (("--split-seed", "x"), "found --split-seed without --public-share"),
        (("--public-zones", "nowhere"), "--public-zones nowhere cannot be read"),
        (("--public-share", "0.5", "--public-labels"), "found a split of public labels"),
    ],
)
def test_a_split_that_is_none_is_refused(
    world: SplitWorld, words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(CommandError, match=said) as caught:
        world.install(*words)
    assert "Nothing was registered" in str(caught.value)
    assert not GroundTruth.objects.exists()


def correct_a_label(world: SplitWorld) -> None:
    wrong = mask("000001")
    wrong[0, 0] = 3 - wrong[0, 0]
    write_mask(world.masks / PATCHES["000001"] / "msk" / "MSK_000001.tif", wrong)


def test_corrected_labels_keep_the_split(world: SplitWorld) -> None:
    world.install("--public-share", "0.5")
    before = world.truth.split_commitment
    correct_a_label(world)
    world.install()
    assert GroundTruth.objects.count() == 2
    assert (world.truth.version, world.truth.split_commitment) == (2, before)


def test_a_split_is_not_carried_over_to_other_zones(world: SplitWorld, tmp_path: Path) -> None:
    world.install("--public-share", "0.5")
    (tmp_path / "ids.csv").write_text("".join(IDS.splitlines(keepends=True)[:-2]))
    with pytest.raises(CommandError, match="cannot be carried over: these labels have other zones"):
        world.install("--ids", str(tmp_path / "ids.csv"), "--subset")


def test_a_split_is_drawn_anew_only_until_something_was_scored(world: SplitWorld) -> None:
    world.install("--public-share", "0.5", "--split-seed", "1")
    first = world.truth.split_commitment
    world.install("--public-share", "0.5", "--split-seed", "2")
    second = world.truth.split_commitment
    assert second != first
    world.install("--public-share", "0.5", "--split-seed", "2")
    assert world.truth.split_commitment == second, "the same list keeps its nonce"
    world.submit()
    for words in (("--public-share", "0.5", "--split-seed", "1"), ("--no-split",)):
        with pytest.raises(CommandError, match="Leave the split as it is") as caught:
            world.install(*words)
        assert not [zone for zone in ZONES if zone in str(caught.value)]
    assert world.truth.split_commitment == second


def test_labels_that_were_scored_as_a_whole_are_not_split(world: SplitWorld) -> None:
    world.install()
    world.submit()
    with pytest.raises(CommandError, match="private values by subtraction"):
        world.install("--public-share", "0.5")
    assert world.phase.counted_zones == CountedZones.ALL


def add_phase(world: SplitWorld) -> None:
    toml = world.folder / "tiny" / "challenge.toml"
    second = toml.read_text().split("[[phases]]")[1].split("[[results]]")[0]
    second = second.replace('slug = "test"', 'slug = "second"')
    toml.write_text(toml.read_text().replace("[[results]]", f"[[phases]]{second}[[results]]", 1))
    challenges.load(world.folder / "tiny")


def test_with_nothing_asked_another_phase_takes_the_sides_of_the_first(world: SplitWorld) -> None:
    world.install("--public-share", "0.5")
    add_phase(world)
    world.install("--phase", "second")
    first, second = GroundTruth.objects.order_by("name", "pk")[:2]
    assert first.split_commitment != second.split_commitment
    sides = [splits.load(one, folder=world.labels_dir).public_zones for one in (first, second)]
    assert sides[0] == sides[1]


def test_another_phase_on_shared_patches_takes_the_same_sides(
    world: SplitWorld, tmp_path: Path
) -> None:
    add_phase(world)
    world.install("--public-share", "0.5", "--split-seed", "1")
    for words in (("--no-split",), ("--public-share", "0.5", "--split-seed", "2")):
        with pytest.raises(CommandError, match="would be private here and public in"):
            world.install("--phase", "second", *words)
    (tmp_path / "zones").write_text("\n".join(world.split.public_zones))
    world.install("--phase", "second", "--public-zones", str(tmp_path / "zones"))
    assert Phase.objects.get(slug="second").counted_zones == CountedZones.PUBLIC


def test_a_phase_on_public_patches_alone_needs_no_split(world: SplitWorld, tmp_path: Path) -> None:
    add_phase(world)
    world.install("--public-share", "0.5")
    public = world.ids(CountedZones.PUBLIC)
    rows = [f"{PATCHES[patch].replace('/', ',')},{patch}" for patch in public]
    (tmp_path / "ids.csv").write_text("\n".join(["domain,zone,patch", *rows]))
    world.install("--phase", "second", "--ids", str(tmp_path / "ids.csv"), "--subset")
    assert Phase.objects.get(slug="second").counted_zones == CountedZones.ALL


def test_a_machine_without_the_list_says_what_to_copy(
    world: SplitWorld, settings: Settings, tmp_path: Path
) -> None:
    world.install("--public-share", "0.5")
    settings.LABELS_DIR = tmp_path / "elsewhere"
    correct_a_label(world)
    name = f"{world.truth.split_commitment[:32]}.split"
    with pytest.raises(CommandError, match=f"copy {name} there"):
        world.install()


def test_labels_without_the_split_cannot_be_published(world: SplitWorld) -> None:
    world.install()
    plain = world.truth
    correct_a_label(world)
    world.install("--public-share", "0.5")
    with pytest.raises(Exception, match="install labels with the same split"):
        phases.publish_truth(phase=world.phase, actor=None, ground_truth=plain)
