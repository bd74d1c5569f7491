"""Encoders of today in every decoder and in U-T&T: two steps and a prediction on the CPU."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from torch import Tensor  # noqa: E402

from baselines import networks  # noqa: E402
from baselines.networks import aerial, encoders  # noqa: E402
from baselines.train import building, losses  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402

# The smallest of each family; of ConvNeXtV2 and Swin smaller ones than timm lists.
FAMILIES: dict[str, dict[str, Any]] = {
    "tu-test_convnext": {},
    "tu-convnextv2_atto": {"dims": (8, 16, 32, 64), "depths": (1, 1, 1, 1)},
    "tu-swin_tiny_patch4_window7_224": {
        "embed_dim": 16, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2),
    },
    "tu-maxvit_rmlp_pico_rw_256": {},
    "mit_b0": {},
    "tu-test_efficientnet": {},
    "tu-test_vit": {},
}  # fmt: skip
DECODERS = tuple(aerial.ARCHITECTURES)


@pytest.fixture(autouse=True)
def _one_thread_one_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def inputs() -> dict[str, Tensor]:
    return {
        "aerial": torch.rand(2, 5, 64, 64), "sentinel": torch.rand(2, 2, 10, 40, 40),
        "days": torch.zeros(2, 2),
    }  # fmt: skip


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", FAMILIES)
def test_an_encoder_trains_and_predicts_with_a_decoder(encoder: str, decoder: str) -> None:
    """Inside U-T&T, whose fusion must leave out the levels without channels."""
    network = networks.build(
        "utt", aerial=decoder, encoder=encoder, encoder_options=FAMILIES[encoder], patch_px=64,
        widths=(8, 16), heads=4, collapsed=False,
    )  # fmt: skip
    given, target = inputs(), torch.randint(0, 12, (2, 64, 64))
    weights = torch.ones(13)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(2):
        optimiser.zero_grad()
        out = network(**given)
        loss = losses.total(out, target, weights=weights, sentinel_weights=weights)
        loss.backward()
        optimiser.step()
    assert torch.isfinite(loss)
    with torch.inference_mode():
        assert network.eval()(**given).logits.shape == (2, 13, 64, 64)


@pytest.mark.parametrize("encoder", ["tu-test_convnext", "mit_b0"])
def test_the_short_decoder_leaves_out_what_has_no_channel(encoder: str) -> None:
    from baselines.networks import doubling

    network: Any = networks.build("unet", encoder=encoder, patch_px=128).eval()
    with torch.no_grad():
        maps = network.encode(torch.rand(1, 5, 128, 128))
        assert maps[1].shape == (1, 0, 64, 64)
        short, long = doubling.decode(network.decoder, maps), network.decoder(maps)
    assert torch.allclose(short, long, atol=1e-4)


def test_tokens_of_fourteen_pixels_stand_for_sixteen() -> None:
    """DINOv2's: the image is resized, so that its maps fit the decoders' sizes."""
    encoder, _ = encoders.build(
        "tu-vit_small_patch14_dinov2", bands=5, patch_px=64,
        options={"embed_dim": 24, "depth": 4, "num_heads": 2},
    )  # fmt: skip
    maps = encoder(torch.rand(1, 5, 64, 64))
    assert [tuple(one.shape[1:]) for one in maps] == [
        (5, 64, 64), (0, 32, 32), (24, 16, 16), (24, 8, 8), (24, 4, 4), (24, 2, 2),
    ]  # fmt: skip


def test_a_recipe_names_encoder_and_decoder() -> None:
    recipe = recipes.changed(
        recipes.load("tiny-unet"),
        {"network.name": "upernet", "network.options": {
            "encoder": "tu-swin_tiny_patch4_window7_224",
            "encoder_options": {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
        }},
    )  # fmt: skip
    network = building.build_network(recipe, patch_px=64)
    with torch.inference_mode():
        assert network.eval()(aerial=torch.rand(1, 5, 64, 64)).logits.shape == (1, 13, 64, 64)
