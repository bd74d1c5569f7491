"""IGN's comparison of 2022: U-Net and DeepLabV3+ on three sets of bands, fifteen classes, folds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from baselines import folds, predict, train  # noqa: E402
from baselines.train import building  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402
from baselines.train.recipe import Recipe  # noqa: E402

TASK = Path(__file__).resolve().parents[2] / "docs" / "tasks" / "flair-15.toml"
SMALL: dict[str, Any] = {
    "network.options": {"encoder": "resnet18"}, "training.epochs": 1, "training.batch_size": 2,
    "training.global_batch_size": 2, "training.precision": "fp32",
}  # fmt: skip


def compared(bands: str, network: str, **changes: Any) -> Recipe:
    return recipes.changed(
        recipes.load(bands),
        {"network.name": network, "task": str(TASK), "data.split": "fold", **SMALL, **changes},
    )


@pytest.mark.parametrize("network", ["unet", "deeplabv3plus"])
@pytest.mark.parametrize(
    ("bands", "count"), [("bands-rgb", 3), ("bands-rgbi", 4), ("bands-rgbie", 5)]
)
def test_each_network_takes_each_set_of_bands(bands: str, count: int, network: str) -> None:
    recipe = compared(bands, network)
    assert (recipe.data.folds, recipe.spec.n_classes) == (5, 16)
    built = building.build_network(recipe, patch_px=64).eval()
    with torch.inference_mode():
        assert built(aerial=torch.rand(1, count, 64, 64)).logits.shape == (1, 16, 64, 64)


def test_folds_give_accuracy_precision_and_recall_and_an_ensemble(
    tree: Path, tmp_path: Path
) -> None:
    """Two folds: the tree has two domains."""
    torch.set_num_threads(1)
    runs = []
    for held_out in (0, 1):
        recipe = compared(
            "bands-rgb", "deeplabv3plus", **{"data.folds": 2, "data.held_out": held_out}
        )
        runs.append(tmp_path / str(held_out))
        train.run(
            recipe, data_root=tree, out_dir=runs[-1], cache_dir=tmp_path / "cache",
            accelerator="cpu",
        )  # fmt: skip
    folds.run(runs, data_root=tree, out_dir=tmp_path / "report", device="cpu")
    report = json.loads((tmp_path / "report" / "folds.json").read_text())
    assert report["complete"]
    assert [fold["held_out"] for fold in report["folds"]] == [0, 1]
    assert set(report["mean"]) >= {"overall_accuracy", "miou"}
    assert set(report["std"]) == set(report["mean"])
    classes = report["together"]["classes"]
    assert len(classes) == 16
    assert all({"iou", "precision", "recall", "f1"} <= set(one) for one in classes.values())
    ensemble = predict.run(runs, data_root=tree, out_dir=tmp_path / "preds", device="cpu")
    assert (ensemble["state"], ensemble["patches"]) == ("finished", 4)
