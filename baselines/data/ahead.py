"""Batches on their way to a device: the next one is copied while the present one is computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from baselines.data.batches import ON_CPU, Epoch, Tensors


@dataclass(frozen=True)
class OnDevice:
    """An epoch whose batches are on the device when they are asked for, but for `ON_CPU`."""

    epoch: Epoch
    device: torch.device

    def __len__(self) -> int:
        return len(self.epoch)

    def __iter__(self) -> Iterator[Tensors]:
        """Yield the epoch's batches."""
        return copied(self.epoch, self.device)


def copied(batches: Iterable[Tensors], device: torch.device) -> Iterator[Tensors]:
    """Yield batches on the device; a stream of its own copies each before it is asked for.

    Copies run beside the computation where the batches are in pinned memory.
    """
    backend: Any = getattr(torch, device.type, None)
    with closing(_closable(batches)) as source:
        if not hasattr(backend, "Stream"):  # as on a device of Apple
            yield from (_moved(batch, device) for batch in source)
            return
        stream = backend.Stream(device)
        waiting: Tensors | None = None
        for batch in source:
            if waiting is not None:
                _await(waiting, backend.current_stream(device), stream)
            with backend.stream(stream):
                following = _moved(batch, device)
            if waiting is not None:
                yield waiting
            waiting = following
        if waiting is not None:
            _await(waiting, backend.current_stream(device), stream)
            yield waiting


def _closable(batches: Iterable[Tensors]) -> Any:
    """Give an iterator that can be closed, which ends the threads behind it."""
    iterator = iter(batches)
    return iterator if hasattr(iterator, "close") else (batch for batch in iterator)


def _moved(batch: Tensors, device: torch.device) -> Tensors:
    return {
        name: value if name in ON_CPU else value.to(device, non_blocking=True)
        for name, value in batch.items()
    }


def _await(batch: Tensors, current: Any, stream: Any) -> None:
    """Let what is computed next wait for the batch, whose memory is the current stream's then."""
    current.wait_stream(stream)
    for value in batch.values():
        if value.is_cuda:
            value.record_stream(current)
