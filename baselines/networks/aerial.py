"""Decoders over an encoder of the aerial image, from segmentation-models-pytorch."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from baselines.dependencies import segmentation_models
from baselines.networks import doubling, encoders
from baselines.networks.metadata import Head, MetadataEncoder, Spread
from baselines.networks.output import Output
from baselines.networks.utae import required

ARCHITECTURES = {
    "unet": "Unet",
    "unetplusplus": "UnetPlusPlus",
    "fpn": "FPN",
    "upernet": "UPerNet",
    "segformer": "Segformer",
    "deeplabv3": "DeepLabV3",
    "deeplabv3plus": "DeepLabV3Plus",
}
# These read the innermost map at a finer stride than 32.
_INNERMOST_STRIDE = {"deeplabv3": 8, "deeplabv3plus": 16}
SIDE_PX = 32
# Which of the encoder's levels (0 is the image) the decoder reads: fusing at others has no effect.
USED_LEVELS = {
    "unet": (1, 2, 3, 4, 5),
    "unetplusplus": (1, 2, 3, 4, 5),
    "fpn": (2, 3, 4, 5),
    "upernet": (2, 3, 4, 5),
    "segformer": (1, 2, 3, 4, 5),
    "deeplabv3": (5,),
    "deeplabv3plus": (2, 5),
}


class Aerial(nn.Module):
    """Encoder, decoder and head over [B, bands, H, W] in 0..1; 24,444,381 parameters as U-Net."""

    def __init__(
        self,
        architecture: str = "unet",
        *,
        n_classes: int = 13,
        bands: int = 5,
        encoder: str = "resnet34",
        encoder_weights: str | None = None,
        encoder_options: dict[str, Any] | None = None,
        weights_folder: Path | None = None,
        patch_px: int | None = None,
        metadata: bool = False,
        metadata_spread: Spread = "channels",
        metadata_head: Head = "flair-2",
        **options: Any,
    ) -> None:
        """Build the network; `options` go to segmentation-models-pytorch, the rest to `encoders`.

        `encoder_weights` is a name ("imagenet"), a file, or "random", which None means, too. What
        was loaded is kept as `weights`.
        Raises ValueError for an encoder that is not known, WeightsMissing.
        """
        super().__init__()
        self.architecture = architecture
        made, self.weights = encoders.build(
            encoder, bands=bands, depth=options.get("encoder_depth", 5), weights=encoder_weights,
            folder=weights_folder, patch_px=patch_px, options=encoder_options,
        )  # fmt: skip
        model = _around(made, architecture=architecture, name=encoder, classes=n_classes, **options)
        self.encoder: nn.Module = made
        self.decoder: nn.Module = model.decoder
        self.head: nn.Module = model.segmentation_head
        # Other interpolations or attention between the layers rule the short cut out.
        self._is_plain_unet = architecture == "unet" and not {
            "decoder_interpolation", "decoder_attention_type", "encoder_depth",
        }.intersection(options)  # fmt: skip
        self.channels: tuple[int, ...] = tuple(made.out_channels)  # type: ignore[arg-type]
        self.used_levels = tuple(
            level for level in USED_LEVELS[architecture] if self.channels[level]
        )
        self.metadata = (
            MetadataEncoder(spread=metadata_spread, head=metadata_head) if metadata else None
        )

    def encode(self, aerial: Tensor, *, metadata: Tensor | None = None) -> list[Tensor]:
        """Give the encoder's maps from the image inwards, the metadata added to the innermost.

        Raises ValueError for an image whose halves don't fit each other on the way back.
        """
        height, width = aerial.shape[-2:]
        stride = _INNERMOST_STRIDE.get(self.architecture)
        if stride is None and (height % SIDE_PX or width % SIDE_PX):
            raise ValueError(
                f"images of {height} × {width} px; {self.architecture} needs multiples of {SIDE_PX}"
            )
        maps: list[Tensor] = list(self.encoder(aerial))
        if stride is not None and maps[-1].shape[-2] < height // stride:  # it was not dilated
            size = (height // stride, width // stride)
            maps[-1] = functional.interpolate(maps[-1], size, mode="bilinear", align_corners=False)
        if self.metadata is not None:
            channels, rows = maps[-1].shape[1:3]
            given = required(metadata, "metadata")
            maps[-1] = maps[-1] + self.metadata(given, channels=channels, rows=rows)
        return maps

    def decode(self, maps: list[Tensor]) -> Tensor:
        """Give the logits [B, classes, H, W] of the encoder's maps."""
        is_doubled = self._is_plain_unet and maps[-1].device.type == "cpu"
        decoded = doubling.decode(self.decoder, maps) if is_doubled else self.decoder(maps)
        logits: Tensor = self.head(decoded)
        return logits

    def forward(self, *, aerial: Tensor, metadata: Tensor | None = None, **unused: Any) -> Output:
        """Classify every pixel; satellite inputs are accepted and not looked at."""
        return Output(logits=self.decode(self.encode(aerial, metadata=metadata)))


def _around(
    encoder: nn.Module, *, architecture: str, name: str, classes: int, **options: Any
) -> Any:
    """Let segmentation-models-pytorch build a decoder and a head around our encoder.

    Encoders are given to it by name only; ours is registered for the moment, as its documentation
    does for encoders of one's own.
    """
    smp = segmentation_models()
    registered = "vgg-given" if name.startswith("vgg") else "given"  # whose U-Net has a centre
    smp.encoders.encoders[registered] = {
        "encoder": lambda **settings: _Given(encoder, name=name),
        "params": {}, "pretrained_settings": {},
    }  # fmt: skip
    try:
        make = getattr(smp, ARCHITECTURES[architecture])
        return make(registered, encoder_weights=None, in_channels=3, classes=classes, **options)
    finally:
        del smp.encoders.encoders[registered]


class _Given:
    """What segmentation-models-pytorch asks of an encoder while it builds a model around it."""

    def __init__(self, encoder: Any, *, name: str) -> None:
        self.out_channels = list(encoder.out_channels)
        self._encoder, self._name = encoder, name

    def set_in_channels(self, channels: int, *, pretrained: bool) -> None:
        """Leave the channels as they are: the encoder was built for them."""

    def make_dilated(self, output_stride: int) -> None:
        """Dilate an encoder that can be; the map of another is enlarged in `Aerial.encode`."""
        # Of MiT it would also dilate the convolutions that save the attention's memory.
        if hasattr(self._encoder, "make_dilated") and not self._name.startswith("mit_"):
            with suppress(ValueError):  # of pooling encoders
                self._encoder.make_dilated(output_stride)
