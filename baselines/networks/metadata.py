"""The metadata encoder of the FLAIR papers (5,552 parameters)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

METADATA_FEATURES = 45
CODE_FEATURES = 16

Spread = Literal["channels", "rows"]
Head = Literal["flair-1", "flair-2"]


class MetadataEncoder(nn.Module):
    """45 → 64 → 32 → 16, dropout before each rectification.

    `spread` says where the 16 values go on the innermost map. "channels": one value for each
    sixteenth of the channels, the same everywhere (ours). "rows": value y on row y of every
    channel, which only fits a map of 16 rows (the published code, for comparison).
    `head` is the code's of FLAIR #1 (dropout 0.4, dropout and rectification after the last layer,
    too) or FLAIR #2 (dropout 0.5, nothing after the last layer).
    """

    def __init__(self, *, spread: Spread = "channels", head: Head = "flair-2") -> None:
        """Build the layers in the published order."""
        super().__init__()
        self.spread = spread
        dropout = 0.4 if head == "flair-1" else 0.5
        last = (nn.Dropout(dropout), nn.ReLU()) if head == "flair-1" else ()
        self.layers = nn.Sequential(
            nn.Linear(METADATA_FEATURES, 64),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Linear(64, 32),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Linear(32, CODE_FEATURES),
            *last,
        )

    def forward(self, metadata: Tensor, *, channels: int, rows: int) -> Tensor:
        """Turn [B, 45] into what is added to a map: [B, channels, 1, 1] or [B, 1, rows, 1].

        Raises ValueError when the rows don't fit the published way.
        """
        code: Tensor = self.layers(metadata)
        if self.spread == "channels":
            repeats = -(-channels // CODE_FEATURES)
            return code.repeat_interleave(repeats, dim=1)[:, :channels, None, None]
        if rows != CODE_FEATURES:
            raise ValueError(
                f"metadata spread over rows needs a map of {CODE_FEATURES} rows, found {rows}; "
                "use spread='channels' or images of 512 px"
            )
        return code[:, None, :, None]
