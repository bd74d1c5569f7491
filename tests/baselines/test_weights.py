"""Pre-trained weights: found where they are said to be, or refused; never random by silence."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from baselines import cli, dependencies, networks, predict, train  # noqa: E402
from baselines.networks import encoders, weights  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402

TIMM_ENCODER = "tu-test_convnext"


@pytest.fixture(autouse=True)
def _one_thread_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine without a way out and with an empty cache."""
    from huggingface_hub import constants

    torch.set_num_threads(1)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.delenv(weights.FOLDER_VARIABLE, raising=False)


def weights_file(path: Path) -> dict[str, Any]:
    """Write ResNet18's weights for three bands, as the hub's file is made; give them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(5)
    smp = dependencies.segmentation_models()
    tensors = smp.encoders.get_encoder("resnet18", in_channels=3, weights=None).state_dict()
    save_file(tensors, path)
    return dict(tensors)


def timm_file(path: Path) -> dict[str, Any]:
    torch.manual_seed(6)
    tensors = dependencies.timm().create_model("test_convnext").state_dict()
    save_file(tensors, path)
    return dict(tensors)


@pytest.mark.parametrize(
    "place",
    [
        "resnet18.imagenet.safetensors",
        "smp-hub/resnet18.imagenet/model.safetensors",
    ],
)
def test_weights_are_found_in_a_folder_of_copies(tmp_path: Path, place: str) -> None:
    tensors = weights_file(tmp_path / place)
    network = networks.build(
        "unet", encoder="resnet18", encoder_weights="imagenet", weights_folder=tmp_path
    )
    own = network.encoder.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(own[name], value) for name, value in tensors.items() if name != FIRST)
    # Bands 4 and 5 begin as red and green; the sum over the bands stays.
    three = tensors[FIRST] * 3 / 5
    assert torch.allclose(own[FIRST], three[:, [0, 1, 2, 0, 1]])
    loaded: Any = network.weights
    digest = hashlib.sha256((tmp_path / place).read_bytes()).hexdigest()
    assert loaded.to_json() == {
        "encoder": "resnet18", "name": "imagenet", "file": str(tmp_path / place), "sha256": digest,
    }  # fmt: skip


FIRST = "conv1.weight"


def test_a_file_of_weights_can_be_named_itself(tmp_path: Path) -> None:
    tensors = weights_file(tmp_path / "mine.safetensors")
    pickled = tmp_path / "mine.pth"
    torch.save({"state_dict": tensors}, pickled)
    for path in (tmp_path / "mine.safetensors", pickled):
        made, loaded = encoders.build("resnet18", bands=3, weights=str(path))
        assert torch.equal(made.state_dict()[FIRST], tensors[FIRST])
        assert loaded is not None
        assert loaded.file == str(path)


def test_weights_of_timm_come_from_a_file_too(tmp_path: Path) -> None:
    timm_file(tmp_path / "test_convnext.r160_in1k.safetensors")
    torch.manual_seed(1)
    one, loaded = encoders.build(TIMM_ENCODER, bands=5, weights="imagenet", folder=tmp_path)
    torch.manual_seed(2)
    two, _ = encoders.build(TIMM_ENCODER, bands=5, weights="imagenet", folder=tmp_path)
    assert loaded is not None
    first, second = one.state_dict(), two.state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("encoder", ["resnet34", TIMM_ENCODER])
def test_weights_of_another_encoder_are_refused(tmp_path: Path, encoder: str) -> None:
    path = tmp_path / "x.safetensors"
    weights_file(path)
    with pytest.raises(ValueError, match=rf"holds the weights of another encoder than {encoder}"):
        encoders.build(encoder, bands=5, weights=str(path))


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    for name in ("x.safetensors", "x.pth"):
        (tmp_path / name).write_bytes(b"no weights at all")
        with pytest.raises(ValueError, match=rf"{name} holds no weights"):
            encoders.build("resnet18", bands=5, weights=str(tmp_path / name))


def test_weights_that_cannot_be_had_are_refused_and_leave_no_run(
    tree: Path, tmp_path: Path
) -> None:
    recipe = recipes.load("flair-2-unet")
    with pytest.raises(weights.WeightsMissing) as refused:
        train.run(recipe, data_root=tree, out_dir=tmp_path / "run", weights_folder=tmp_path)
    said = str(refused.value)
    for part in ("'imagenet' of encoder resnet34", "resnet34.imagenet.safetensors",
                 "smp-hub/resnet34.imagenet could not be fetched", "--random-weights"):  # fmt: skip
        assert part in said
    assert not (tmp_path / "run" / "run.json").exists()
    with pytest.raises(weights.WeightsMissing, match=r"there is no file /nowhere/w.pth"):
        encoders.build("resnet18", bands=5, weights="/nowhere/w.pth")
    with pytest.raises(weights.WeightsMissing, match=r"there is no folder .*nothing"):
        encoders.build("resnet18", bands=5, weights="imagenet", folder=tmp_path / "nothing")


def test_a_run_writes_down_its_weights_and_needs_them_no_more(tree: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    weights_file(copies / "resnet18.imagenet.safetensors")
    recipe = recipes.changed(recipes.load("tiny-unet"), SETTINGS)
    shared: dict[str, Any] = {"data_root": tree, "out_dir": tmp_path / "run",
                              "cache_dir": tree.parent / "cache"}  # fmt: skip
    stopped = train.run(recipe, should_stop=lambda: True, weights_folder=copies, **shared)
    assert stopped["state"] == "stopped"
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    digest = hashlib.sha256((copies / "resnet18.imagenet.safetensors").read_bytes()).hexdigest()
    assert about["encoder_weights"]["sha256"] == digest
    (copies / "resnet18.imagenet.safetensors").unlink()
    assert train.run(recipe, **shared)["state"] == "finished"
    assert (
        json.loads((tmp_path / "run" / "run.json").read_text())["encoder_weights"]
        == (about["encoder_weights"])
    )
    assert predict.run(tmp_path / "run", data_root=tree, out_dir=tmp_path / "p")["patches"] == 4


SETTINGS: dict[str, Any] = {
    "training.epochs": 1, "training.precision": "fp32",
    "network.options": {"encoder": "resnet18", "encoder_weights": "imagenet",
                        "decoder_channels": [32, 24, 16, 12, 8]},
}  # fmt: skip


def test_a_start_at_random_is_asked_for_by_name(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "train", "flair-2-unet", "--data", str(tree), "--out", str(tmp_path / "run"),
        "--cache", str(tree.parent / "cache"), "--accelerator", "cpu",
        "--set", "training.epochs=1", "--set", "training.batch_size=4",
        "--set", "network.options.encoder=resnet18",
    ]  # fmt: skip
    assert cli.main(command) == 1
    assert "--random-weights" in capsys.readouterr().err
    assert cli.main([*command, "--random-weights"]) == 0
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["encoder_weights"] is None
    assert about["recipe"]["network"]["options"]["encoder_weights"] == "random"


def test_the_environment_names_a_folder_of_copies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert weights.folder_from_environment() is None
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    assert weights.folder_from_environment() == tmp_path


@pytest.mark.parametrize(
    ("encoder", "near"),
    [
        ("resnet43", "resnet34"),
        ("tu-convnext_atoo", "tu-convnext_atto"),
        ("swin_tiny_patch4_window7_224", "tu-swin_tiny_patch4_window7_224"),
    ],
)
def test_an_unknown_encoder_is_told_its_neighbours(encoder: str, near: str) -> None:
    with pytest.raises(ValueError, match=rf"encoder '{encoder}' is not known; .*{near}"):
        networks.build("unet", encoder=encoder)


def test_unknown_names_of_weights_are_told_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="allowed are imagenet, ssl, swsl, random"):
        networks.build("unet", encoder="resnet18", encoder_weights="imagnet")
    with pytest.raises(ValueError, match="takes no encoder_options"):
        networks.build("unet", encoder="resnet18", encoder_options={"drop_path_rate": 0.1})


def test_without_weights_the_encoder_has_those_of_the_library() -> None:
    """Builds around a given encoder draw the numbers that the library's own way draws."""
    torch.manual_seed(3)
    ours: Any = networks.build("unet", encoder="resnet18")
    torch.manual_seed(3)
    theirs = dependencies.segmentation_models().Unet(
        "resnet18", encoder_weights=None, in_channels=5, classes=13
    )
    parts: list[tuple[nn.Module, nn.Module]] = [
        (ours.encoder, theirs.encoder), (ours.decoder, theirs.decoder),
        (ours.head, theirs.segmentation_head),
    ]  # fmt: skip
    for own, other in parts:
        states = own.state_dict(), other.state_dict()
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
