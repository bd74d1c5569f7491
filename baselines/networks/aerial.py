"""U-Net, FPN and DeepLabV3 over the aerial image, from segmentation-models-pytorch."""

from __future__ import annotations

import logging
from typing import Any

from torch import Tensor, nn

from baselines.dependencies import segmentation_models
from baselines.networks import doubling
from baselines.networks.metadata import MetadataEncoder, Spread
from baselines.networks.output import Output
from baselines.networks.utae import required

_log = logging.getLogger(__name__)

ARCHITECTURES = {"unet": "Unet", "fpn": "FPN", "deeplabv3": "DeepLabV3"}
_HALVING = frozenset({"unet", "fpn"})  # and joining maps of each size on the way back
SIDE_PX = 32
# Which of the encoder's levels (0 is the image) the decoder reads: fusing at others has no effect.
USED_LEVELS = {"unet": (1, 2, 3, 4, 5), "fpn": (2, 3, 4, 5), "deeplabv3": (5,)}


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
        metadata: bool = False,
        metadata_spread: Spread = "channels",
        **options: Any,
    ) -> None:
        """Build the network; `options` go to segmentation-models-pytorch.

        `encoder_weights` "imagenet" are fetched when reachable; else the encoder starts at random,
        `weights_note` says so and a warning is logged.
        """
        super().__init__()
        self.architecture = architecture
        self.used_levels = USED_LEVELS[architecture]
        self.weights_note = ""
        make = getattr(segmentation_models(), ARCHITECTURES[architecture])
        settings = {"in_channels": bands, "classes": n_classes, **options}
        try:
            model = make(encoder, encoder_weights=encoder_weights, **settings)
        except OSError as unreachable:
            self.weights_note = (
                f"weights {encoder_weights!r} of {encoder} could not be fetched "
                f"({type(unreachable).__name__}): the encoder starts at random"
            )
            _log.warning(self.weights_note)
            model = make(encoder, encoder_weights=None, **settings)
        self.encoder: nn.Module = model.encoder
        self.decoder: nn.Module = model.decoder
        self.head: nn.Module = model.segmentation_head
        # Other interpolations or attention between the layers rule the short cut out.
        self._is_plain_unet = architecture == "unet" and not {
            "decoder_interpolation", "decoder_attention_type", "encoder_depth",
        }.intersection(options)  # fmt: skip
        self.channels: tuple[int, ...] = tuple(model.encoder.out_channels)
        self.metadata = MetadataEncoder(spread=metadata_spread) if metadata else None

    def encode(self, aerial: Tensor, *, metadata: Tensor | None = None) -> list[Tensor]:
        """Give the encoder's maps from the image inwards, the metadata added to the innermost.

        Raises ValueError for an image whose halves don't fit each other on the way back.
        """
        height, width = aerial.shape[-2:]
        if self.architecture in _HALVING and (height % SIDE_PX or width % SIDE_PX):
            raise ValueError(
                f"images of {height} × {width} px; {self.architecture} needs multiples of {SIDE_PX}"
            )
        maps: list[Tensor] = list(self.encoder(aerial))
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
