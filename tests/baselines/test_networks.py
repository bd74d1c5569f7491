"""The networks: counts, shapes, and what must not change a result."""

from __future__ import annotations

from typing import Any, cast

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from baselines import dependencies, networks  # noqa: E402
from baselines.bench import reference  # noqa: E402
from baselines.networks import aerial, attention, doubling, utae, utt  # noqa: E402
from baselines.networks.metadata import MetadataEncoder  # noqa: E402
from baselines.networks.output import enlarge, upsample  # noqa: E402

SMALL: dict[str, dict[str, Any]] = {
    **{name: {"encoder": "resnet18"} for name in aerial.ARCHITECTURES},
    "utae": {"widths": (16, 16, 32, 32), "heads": 8, "patch_px": 64},
    "utt": {"encoder": "resnet18", "widths": (16, 16, 32, 32), "heads": 8},
}


@pytest.fixture(autouse=True)
def _one_thread_one_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _inputs(batch: int = 2, dates: int = 4, *, px: int = 64, seed: int = 0) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    padding = torch.zeros(batch, dates, dtype=torch.bool)
    padding[0, dates - 1] = True
    sentinel = torch.rand(batch, dates, 10, 40, 40, generator=source)
    sentinel[padding] = 0
    days = torch.randint(-230, 134, (batch, dates), generator=source).float()
    days[padding] = 0
    return {
        "aerial": torch.rand(batch, 5, px, px, generator=source),
        "sentinel": sentinel,
        "days": days,
        "padding": padding,
        "metadata": torch.rand(batch, 45, generator=source),
    }


def _given(name: str, inputs: dict[str, Tensor], *, metadata: bool = False) -> dict[str, Tensor]:
    return {key: inputs[key] for key in networks.inputs_of(name, metadata=metadata)}


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("unet", {}, 24_444_381),
        ("unet", {"metadata": True}, 24_444_381 + 5_552),
        ("fpn", {}, 23_163_213),
        ("deeplabv3", {}, 26_016_461),
        ("utae", {}, 2_284_199),
        ("utt", {}, 27_254_744 - 26_892),
        ("utt", {"metadata": True}, 27_260_296 - 26_892),
    ],
)
def test_parameters_are_the_published_ones(name: str, options: dict[str, Any], count: int) -> None:
    assert networks.count_parameters(networks.build(name, **options)) == count


def test_parts_of_the_published_model_and_what_is_dead_in_it() -> None:
    ours, theirs = networks.build("utt"), reference.ReferenceUtt()
    count = networks.count_parameters
    dead = networks.DEAD_PARAMETERS
    assert count(theirs) == 27_254_744
    assert count(theirs.utae) == 2_284_199
    assert count(theirs.cropped) == 66_885
    assert count(theirs.collapsed) == 458_434
    assert isinstance(ours, utt.Utt)
    assert count(ours.series) == 2_284_199 - dead["utae_output"]
    assert ours.cropped is not None
    assert ours.collapsed is not None
    assert count(ours.cropped) == 66_885 - dead["cropped_input_level"]
    assert count(ours.collapsed) == 458_434 - dead["collapsed_input_level"]
    assert count(ours.sentinel_head) == 845
    assert sum(dead.values()) == 26_892


def test_dead_parts_of_the_published_model_get_no_gradient() -> None:
    theirs = reference.ReferenceUtt()
    given = _inputs()
    aux, logits = theirs(given["aerial"], given["sentinel"], given["days"])
    (aux.sum() + logits.sum()).backward()
    idle = sum(p.numel() for p in theirs.parameters() if p.grad is None)
    assert idle == 26_892


def test_utt_agrees_with_the_published_model() -> None:
    """Weights copied, switches set: within 1e-3 of the outputs' standard deviation."""
    torch.manual_seed(1)
    theirs = reference.ReferenceUtt().eval()
    ours = networks.build("utt", published=True).eval()
    assert isinstance(ours, utt.Utt)
    for module in theirs.modules():  # untrained statistics would hide a swapped layer
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.normal_(cast(Tensor, module.running_mean), std=0.2)
            nn.init.uniform_(cast(Tensor, module.running_var), 0.5, 1.5)
    reference.copy_weights(theirs, ours)
    given = _inputs(batch=2, dates=5)
    with torch.no_grad():
        aux, logits = theirs(given["aerial"], given["sentinel"], given["days"])
        out = ours(**_given("utt", given))
    assert (out.logits - logits).abs().max() < 1e-3 * logits.std()
    assert (out.sentinel_logits - aux).abs().max() < 1e-3 * aux.std()


def test_published_metadata_lies_on_rows() -> None:
    encoder = MetadataEncoder(spread="rows").eval()
    code = encoder(torch.rand(2, 45), channels=512, rows=16)
    assert code.shape == (2, 1, 16, 1)
    with pytest.raises(ValueError, match="needs a map of 16 rows, found 2"):
        encoder(torch.rand(2, 45), channels=512, rows=2)
    ours = MetadataEncoder().eval()(torch.rand(2, 45), channels=512, rows=2)
    assert ours.shape == (2, 512, 1, 1)
    assert len(ours[0].unique()) == 16


@pytest.mark.parametrize("name", networks.NAMES)
@pytest.mark.parametrize("metadata", [False, True])
def test_shapes_and_gradients(name: str, metadata: bool) -> None:
    """Every parameter gets a gradient, so nothing dead is carried along."""
    network = networks.build(name, metadata=metadata, **SMALL[name]).train()
    out = network(**_given(name, _inputs(batch=3), metadata=metadata))
    assert out.logits.shape == (3, 13, 64, 64)
    loss = out.logits.square().mean()
    if out.sentinel_logits is not None:
        assert out.sentinel_logits.shape == (3, 13, 64, 64)
        loss = loss + out.sentinel_logits.square().mean()
    loss.backward()
    idle = [key for key, value in network.named_parameters() if value.grad is None]
    assert idle == []


@pytest.mark.parametrize("name", ["utae", "utt"])
@pytest.mark.parametrize("padded", [1, 3, 30])
def test_padded_dates_change_nothing(name: str, padded: int) -> None:
    network = networks.build(name, **SMALL[name]).eval()
    given = _given(name, _inputs())
    batch = len(given["days"])
    longer = {
        **given,
        # Whatever stands in a padded frame, zeros or not.
        "sentinel": torch.cat([given["sentinel"], torch.rand(batch, padded, 10, 40, 40)], 1),
        "days": torch.cat([given["days"], torch.full((batch, padded), 77.0)], 1),
        "padding": torch.cat([given["padding"], torch.ones(batch, padded, dtype=torch.bool)], 1),
    }
    with torch.no_grad():
        one, other = network(**given).logits, network(**longer).logits
    assert torch.allclose(one, other, atol=1e-5)


def test_published_statistics_do_let_padding_in() -> None:
    """The defect behind the switch is really there, so the test above can fail."""
    options = SMALL["utae"] | {"padded_statistics": True}
    network = networks.build("utae", **options).eval()
    given = _given("utae", _inputs())
    longer = {
        "sentinel": torch.cat([given["sentinel"], torch.zeros(2, 12, 10, 40, 40)], 1),
        "days": torch.cat([given["days"], torch.zeros(2, 12)], 1),
        "padding": torch.cat([given["padding"], torch.ones(2, 12, dtype=torch.bool)], 1),
    }
    with torch.no_grad():
        gap = (network(**given).logits - network(**longer).logits).abs().max()
    assert gap > 1e-3


@pytest.mark.parametrize("name", networks.NAMES)
def test_samples_of_a_batch_do_not_mix(name: str) -> None:
    """A sample alone, in a batch of four, in another order: the same logits."""
    network = networks.build(name, metadata=True, **SMALL[name]).eval()
    given = _given(name, _inputs(batch=4), metadata=True)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        whole = network(**given).logits
        moved = network(**{key: value[order] for key, value in given.items()}).logits
        alone = network(**{key: value[2:3] for key, value in given.items()}).logits
    assert torch.allclose(moved, whole[order], atol=1e-4)
    assert torch.allclose(alone, whole[2:3], atol=1e-4)


def test_the_published_mean_of_the_first_sample_does_mix() -> None:
    network = networks.build("utt", first_sample_mean=True, **SMALL["utt"]).eval()
    given = _given("utt", _inputs(batch=2))
    given["sentinel"][1] *= 8
    with torch.no_grad():
        gap = network(**given).logits[1] - network(**{k: v[1:] for k, v in given.items()}).logits[0]
    assert gap.abs().max() > 1e-3


def test_autocast_takes_padded_batches() -> None:
    network = networks.build("utt", metadata=True, **SMALL["utt"]).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(**_given("utt", _inputs(), metadata=True))
    out.logits.float().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_a_series_without_any_date_stays_finite() -> None:
    network = networks.build("utt", **SMALL["utt"]).eval()
    given = _given("utt", _inputs())
    given["padding"][0] = True
    with torch.no_grad():
        assert torch.isfinite(network(**given).logits).all()


def test_attention_looks_at_real_dates_only() -> None:
    module = attention.TemporalAttention().eval()
    padding = torch.tensor([[False, False, True], [False, True, True]])
    days = torch.tensor([[10.0, -40.0, 0.0], [3.0, 0.0, 0.0]])
    with torch.no_grad():
        merged, weights = module(torch.rand(2, 3, 128, 5, 5), days=days, padding=padding)
    assert merged.shape == (2, 128, 5, 5)
    sums = weights.sum(dim=1)
    assert torch.allclose(sums, torch.ones_like(sums))
    assert weights[0, 2].abs().max() == 0
    assert weights[1, 1:].abs().max() == 0


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_band_subsets(bands: int) -> None:
    network = networks.build("unet", encoder="resnet18", bands=bands).eval()
    with torch.no_grad():
        assert network(aerial=torch.rand(1, bands, 64, 64)).logits.shape == (1, 13, 64, 64)


def test_utt_takes_other_aerial_networks() -> None:
    """With the published dead parts these are the papers' 26.1 M and 28.8 M."""
    for name, published in (("fpn", 25_973_576), ("deeplabv3", 28_826_824)):
        network = networks.build("utt", aerial=name)
        unread = {"fpn": (0, 1), "deeplabv3": (0, 1, 2, 3, 4)}[name]
        channels = (5, 64, 64, 128, 256, 512)
        dead = networks.DEAD_PARAMETERS["utae_output"]
        for level in unread:
            dead += networks.count_parameters(nn.Conv2d(64, channels[level], 1))
            dead += networks.count_parameters(reference._mlp(channels[level]))
        assert networks.count_parameters(network) + dead == published


@pytest.mark.parametrize("collapsed", [False, True])
def test_without_coarser_levels_only_the_collapsed_branch_sees_the_surroundings(
    collapsed: bool,
) -> None:
    """What the learning bench's ablation stands on: two cells around the image, and no more."""
    network = networks.build(
        "utt", encoder="resnet18", widths=[16], heads=4, encoder_norm="batch", collapsed=collapsed
    ).eval()
    given = _given("utt", _inputs())
    given["sentinel"].requires_grad_()
    network(**given).logits.square().sum().backward()
    gradient = given["sentinel"].grad
    assert gradient is not None
    seen = gradient.abs().amax(dim=(0, 1, 2)) > 0
    near = torch.zeros(40, 40, dtype=torch.bool)
    near[13:27, 13:27] = True
    assert seen[near].all()
    assert seen[~near].any() == collapsed


def test_wrong_names_say_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="allowed are unet, unetplusplus, fpn, upernet, segformer"):
        networks.build("segnet")
    with pytest.raises(ValueError, match="options of utae"):
        networks.build("utae", depth=3)
    with pytest.raises(ValueError, match="16 heads don't divide"):
        networks.build("utae", widths=(24, 24, 32, 32))
    with pytest.raises(ValueError, match="needs the input 'metadata'"):
        networks.build("unet", encoder="resnet18", metadata=True)(aerial=torch.rand(1, 5, 64, 64))


def test_operators_are_defined_only_beside_a_torch_without_cuda() -> None:
    dependencies.segmentation_models()
    expected = torch.version.cuda is None and dependencies._torchvision_needs_cuda()
    assert (dependencies._library is not None) == expected


@pytest.mark.parametrize("skips", [0, 3])
def test_the_doubled_convolution_is_the_convolution_of_the_doubled(skips: int) -> None:
    convolution = nn.Conv2d(5 + skips, 4, 3, padding=1)
    coarse = torch.randn(2, 5, 6, 7)
    skip = torch.randn(2, skips, 12, 14) if skips else None
    doubled = functional.interpolate(coarse, scale_factor=2, mode="nearest")
    expected = convolution(doubled if skip is None else torch.cat([doubled, skip], 1))
    ours = doubling.convolve_doubled(coarse, skip, convolution=convolution)
    assert torch.allclose(ours, expected, atol=1e-5)
    one, other = (
        torch.autograd.grad(out.square().sum(), convolution.weight) for out in (ours, expected)
    )
    assert torch.allclose(one[0], other[0], rtol=1e-4, atol=1e-3)


def test_the_short_decoder_decodes_as_the_long_one() -> None:
    network = networks.build("unet", encoder="resnet18").eval()
    assert isinstance(network, aerial.Aerial)
    with torch.no_grad():
        maps = network.encode(torch.rand(1, 5, 128, 128))
        short, long = doubling.decode(network.decoder, maps), network.decoder(maps)
    assert torch.allclose(short, long, atol=1e-4)


@pytest.mark.parametrize("size", [(7, 12), (20, 10), (512, 300)])
def test_enlarging_by_products_is_torchs_bilinear(size: tuple[int, int]) -> None:
    cells = torch.randn(2, 6, 10, 10)
    expected = upsample(cells, size, how="bilinear")
    assert torch.allclose(enlarge(cells, size), expected, atol=1e-5)


def test_crop_is_the_published_centre() -> None:
    maps = torch.arange(1600.0).view(1, 1, 40, 40)
    assert torch.equal(utae.crop_centre(maps, cells=10), maps[:, :, 15:25, 15:25])
