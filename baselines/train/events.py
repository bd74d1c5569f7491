"""The events of a training, as JSON objects: see `baselines.train.run`."""

from __future__ import annotations

from typing import Any

Event = dict[str, Any]
