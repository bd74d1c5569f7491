"""The recipes are what docs/baselines-published.md says the papers and their code do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from torch import nn  # noqa: E402

from baselines.data import batches, sentinel  # noqa: E402
from baselines.networks.metadata import MetadataEncoder  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402
from baselines.train import state  # noqa: E402

TABLES = (Path(__file__).parents[2] / "docs" / "baselines-published.md").read_text()


def rows(head: str) -> list[dict[str, str]]:
    """Read the table whose first column is called so."""
    lines = TABLES[TABLES.index(f"| {head} |") :].partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], line, strict=True)) for line in cells[2:]]


def values(recipe: recipes.Recipe) -> dict[str, Any]:
    return {
        f"{table}.{key}": value
        for table, part in recipe.to_json().items()
        if isinstance(part, dict)
        for key, value in part.items()
    }


PUBLISHED = [name for name in recipes.names() if recipes.load(name).published.challenge]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_equals_the_table_of_its_challenge(name: str) -> None:
    recipe = recipes.load(name)
    column = {"flair-1": "FLAIR #1", "flair-2": "FLAIR #2"}[recipe.task]
    own, compared = values(recipe), 0
    for row in rows("setting"):
        given = row[column].strip("`")
        if given:
            key = row["key of the recipe"].strip("`")
            assert own[key] == json.loads(given), key
            compared += 1
    assert compared > 15


def test_every_published_recipe_has_its_row() -> None:
    assert sorted(row["recipe"].strip("`") for row in rows("recipe")) == sorted(PUBLISHED)


@pytest.mark.parametrize("row", rows("recipe"), ids=lambda row: row["recipe"].strip("`"))
def test_a_published_recipe_equals_its_row(row: dict[str, str]) -> None:
    recipe = recipes.load(row["recipe"].strip("`"))
    options = recipe.network.options
    encoder = [options.get("encoder"), options.get("encoder_weights")]
    head = options.get("metadata_head", "flair-2") if recipe.data.metadata else ""
    assert row == row | {
        "network": recipe.network.name,
        "decoder": options.get("aerial", ""),
        "encoder": ", ".join(part for part in encoder if part),
        "FILT": "yes" if recipe.data.filter else "",
        "AVG M": "yes" if recipe.data.monthly else "",
        "MTD": head,
        "AUG": recipe.data.symmetries if recipe.data.augmentation != "none" else "",
        "mIoU": str(recipe.published.miou),
    }


def test_each_value_has_a_source() -> None:
    lines = TABLES[TABLES.index("| setting |") :].partition("\n\n")[0].splitlines()[2:]
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for value, source in (cells[2:4], cells[4:6]):
            assert bool(value) == bool(source), line
            assert not source or re.match(r"(paper|code) [12]", source), line


def test_three_coins_transpose_a_quarter_of_the_patches() -> None:
    class Many:
        def __len__(self) -> int:
            return 80_000

        def gather(self, index: Any) -> Any:
            raise NotImplementedError

    counts = np.bincount(batches.Epoch(Many(), 8, seed=1, symmetries="coins").turns(), minlength=8)
    shares = counts / counts.sum()
    assert shares[:4] == pytest.approx([3 / 16] * 4, abs=0.01)
    assert shares[4:] == pytest.approx([1 / 16] * 4, abs=0.01)
    even = np.bincount(batches.Epoch(Many(), 8, seed=1).turns(), minlength=8) / 80_000
    assert even == pytest.approx([1 / 8] * 8, abs=0.01)


def test_the_reference_coins_give_these_shares() -> None:
    """Thrown one by one: a mirror, a mirror, and with a half a rotation by 0 to 3 quarters."""
    rng = np.random.default_rng(0)
    square = np.arange(9).reshape(3, 3)
    forms = [batches._moved_on_cpu(torch.tensor(square)[None], torch.tensor([code]), bits=(0, 1, 2))
             for code in range(8)]  # fmt: skip
    codes = {tuple(form.flatten().tolist()): code for code, form in enumerate(forms)}
    counts = np.zeros(8)
    for _ in range(8_000):
        moved = square
        if rng.random() < 0.5:
            moved = moved[::-1]
        if rng.random() < 0.5:
            moved = moved[:, ::-1]
        if rng.random() < 0.5:
            moved = np.rot90(moved, rng.integers(0, 4))
        counts[codes[tuple(moved.flatten().tolist())]] += 1
    assert counts[:4] / 8_000 == pytest.approx([3 / 16] * 4, abs=0.02)
    assert counts[4:] / 8_000 == pytest.approx([1 / 16] * 4, abs=0.02)


def test_the_shares_of_snow_and_cloud_are_added() -> None:
    """Three tenths of snow and as much of cloud, on the same pixels: together above a half."""
    masks = np.zeros((2, 2, 10, 10), dtype=np.uint8)
    masks[0, :, :3] = 60
    masks[1, 0, :3] = 60
    assert sentinel.clear_dates(masks).tolist() == [1]


def test_the_metadata_heads_are_those_of_both_codes() -> None:
    one, two = MetadataEncoder(head="flair-1"), MetadataEncoder()
    kinds = [type(layer) for layer in one.layers]
    assert kinds == [nn.Linear, nn.Dropout, nn.ReLU] * 3
    assert [type(layer) for layer in two.layers] == kinds[:-2]
    assert {layer.p for layer in one.layers if isinstance(layer, nn.Dropout)} == {0.4}
    assert {layer.p for layer in two.layers if isinstance(layer, nn.Dropout)} == {0.5}
    for encoder in (one, two):
        assert sum(parameter.numel() for parameter in encoder.parameters()) == 5_552
    assert (one.eval()(torch.rand(4, 45), channels=16, rows=1) >= 0).all()


def test_a_run_from_before_a_key_existed_goes_on(tmp_path: Path) -> None:
    recipe = recipes.load("tiny-unet")
    state.open_folder(tmp_path, recipe=recipe, seed=1, resume=True)
    about = json.loads((tmp_path / state.RUN).read_text())
    del about["recipe"]["data"]["symmetries"]
    (tmp_path / state.RUN).write_text(json.dumps(about))
    assert state.look_into(tmp_path, recipe=recipe, seed=1) is None
