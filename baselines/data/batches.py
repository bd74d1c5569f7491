"""From arrays to tensors on a device: order of an epoch, prefetching, augmentation, scaling.

Bytes stay uint8 and int16 until they are on the device; flips and rotations are done there, on the
whole batch. Order and flips of an epoch depend on (seed, epoch) alone, so a resumed run sees what
an undisturbed one sees.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.data import affine
from baselines.data.choices import Moved, Normalisation, Symmetries
from baselines.data.samples import Batch
from baselines.data.sentinel import REFLECTANCE_SCALE

# Red, green and blue, of values 0..1; as every network trained on ImageNet has seen them.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Tensors = dict[str, Tensor]
ON_CPU = frozenset({"padding"})  # networks look at it before they compute


class Source(Protocol):
    """Where batches come from: a cache or the files themselves."""

    def __len__(self) -> int:
        """Give the number of patches."""

    def gather(self, index: Sequence[int]) -> Batch:
        """Give the patches of some positions."""


@dataclass(frozen=True)
class Epoch:
    """The batches of one epoch on one of several processes.

    With `shuffle`, batches are drawn anew for every epoch, incomplete ones dropped (a batch norm
    needs company) unless there is no other; without, every patch comes exactly once. With
    `pinned`, copies to a GPU run beside its work. `start` leaves out the batches before it.
    `symmetries` "coins" draws as the reference code does: a coin for each mirror, and with a
    probability of a half a rotation by 0 to 3 quarters, so that a quarter of the patches is
    transposed; "uniform" draws each of the eight equally often.
    """

    source: Source
    batch_size: int
    seed: int = 0
    epoch: int = 0
    shuffle: bool = False
    rank: int = 0
    world: int = 1
    pinned: bool = False
    start: int = 0
    symmetries: Symmetries = "uniform"

    def __len__(self) -> int:
        return len(self._orders_left())

    @property
    def steps(self) -> int:
        """Give the number of batches of the whole epoch."""
        return len(self.orders())

    def _orders_left(self) -> list[NDArray[np.int64]]:
        """Give what is left from `start` on; the last batch once more where nothing is."""
        orders = self.orders()
        return orders[self.start :] or orders[-1:]

    def orders(self) -> list[NDArray[np.int64]]:
        """Give the positions of each batch."""
        order = np.arange(len(self.source), dtype=np.int64)
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
            # Processes of one run must take equally many steps.
            order = order[: max(len(order) // self.world, 1) * self.world]
        mine = order[self.rank :: self.world]
        batches = [
            mine[start : start + self.batch_size] for start in range(0, len(mine), self.batch_size)
        ]
        if self.shuffle and len(batches) > 1 and len(batches[-1]) < self.batch_size:
            batches.pop()
        return batches

    def turns(self) -> NDArray[np.int64]:
        """Give each patch's element 0..7 of the square's symmetries in this epoch."""
        chance = np.random.default_rng([self.seed, self.epoch, 1])
        count = len(self.source)
        if self.symmetries == "uniform":
            return chance.integers(0, 8, count)
        # The mirrors alone reach all four symmetries that don't transpose, each equally often.
        return chance.integers(0, 4, count) + 4 * (chance.random(count) < 1 / 4)

    def __iter__(self) -> Iterator[Tensors]:
        """Yield CPU tensors; a thread gathers the next batches meanwhile."""
        turns = self.turns()

        def gather(order: NDArray[np.int64]) -> Tensors:
            batch = self.source.gather(order.tolist())
            arrays = {**batch.arrays, "index": batch.index, "turn": turns[batch.index]}
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            if not self.pinned:
                return tensors
            return {name: tensor.pin_memory() for name, tensor in tensors.items()}

        return _ahead(gather, self._orders_left())


def _ahead(
    gather: Callable[[NDArray[np.int64]], Tensors],
    orders: list[NDArray[np.int64]],
    *,
    depth: int = 2,
) -> Iterator[Tensors]:
    """Gather batches in a thread, at most `depth` ahead; errors reach the consumer."""
    ready: queue.Queue[Tensors | BaseException | None] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: Tensors | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for order in orders:
                if stopped.is_set():
                    return
                put(gather(order))
            put(None)
        except Exception as wrong:  # noqa: BLE001 - raised again by the consumer below
            put(wrong)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def to_inputs(
    batch: Tensors,
    *,
    device: torch.device,
    moved: Moved = "none",
    memory_format: torch.memory_format,
    normalisation: Normalisation = "unit",
    bands: Sequence[int] = (),
    affine_share: float = 0.0,
    n_classes: int = 0,
) -> Tensors:
    """Move a batch to the device, turn it there, scale it to floats.

    `normalisation` "imagenet" needs to know the image's `bands`; `affine_share` of the samples is
    moved as `baselines.data.affine` does; what comes in from outside has the target `n_classes`,
    which no loss counts.

    Gives the networks' inputs and, where the batch has masks, `target` [B, H, W] int64. `padding`
    stays where it is: networks look at it before they compute.
    "aerial-only" leaves the series unturned as the published code does, for comparison.
    """
    here = {
        name: value if name in ON_CPU else value.to(device, non_blocking=True)
        for name, value in batch.items()
    }
    turn = here.pop("turn", None)
    if moved != "none" and turn is not None:
        for name in ("aerial", "mask") if moved == "aerial-only" else ("aerial", "mask", "series"):
            if name in here:
                here[name] = turn_squares(here[name], turn)
    if affine_share:
        parts = {name: part for name, part in here.items() if name in affine.MOVED}
        here |= affine.move_some(parts, share=affine_share, outside=n_classes)
    inputs: Tensors = {}
    if "aerial" in here:
        aerial = here["aerial"].to(torch.float32).div_(255)
        if normalisation == "imagenet":
            aerial = _normalised(aerial, bands=bands)
        inputs["aerial"] = aerial.contiguous(memory_format=memory_format)
    if "series" in here:
        inputs["sentinel"] = here["series"].to(torch.float32).div_(REFLECTANCE_SCALE)
        inputs["days"], inputs["padding"] = here["days"], here["padding"]
    if "metadata" in here:
        inputs["metadata"] = here["metadata"]
    if "mask" in here:
        inputs["target"] = here["mask"].to(torch.int64)
    return inputs


def _normalised(aerial: Tensor, *, bands: Sequence[int]) -> Tensor:
    """Take ImageNet's mean and deviation; bands 4 and 5 have red's and green's, as their weights.

    A blocking copy of two small tensors would make a step wait, so each band is done by itself.
    """
    for position, band in enumerate(bands):
        known = (band - 1) % 3
        aerial[:, position].sub_(IMAGENET_MEAN[known]).div_(IMAGENET_STD[known])
    return aerial


def turn_back(maps: Tensor, turn: Tensor) -> Tensor:
    """Undo `turn_squares`: the same moves in the other order."""
    return _moved(maps, turn, bits=(2, 1, 0))


def turn_squares(maps: Tensor, turn: Tensor) -> Tensor:
    """Apply to each of [B, ..., S, S] its symmetry: bit 0 mirrors columns, 1 rows, 2 swaps both.

    All eight elements of the square's group are reached; equal numbers move images, masks and
    series alike.
    """
    return _moved(maps, turn, bits=(0, 1, 2))


def _moved(maps: Tensor, turn: Tensor, *, bits: tuple[int, ...]) -> Tensor:
    move = _moved_on_cpu if maps.device.type == "cpu" else _moved_on_device
    return move(maps, turn, bits=bits)


def _moved_on_device(maps: Tensor, turn: Tensor, *, bits: tuple[int, ...]) -> Tensor:
    """Move the whole batch each way and choose: nothing waits for the device."""
    shape = (-1, *([1] * (maps.dim() - 1)))
    for bit in bits:
        chosen = (turn >> bit & 1).bool().view(shape)
        moved = maps.mT if bit == 2 else maps.flip(-1 - bit)
        maps = torch.where(chosen, moved, maps)
    return maps


def _moved_on_cpu(maps: Tensor, turn: Tensor, *, bits: tuple[int, ...]) -> Tensor:
    """As the other, with one copy a sample: numpy turns by views where torch copies each time."""
    out = torch.empty_like(maps, memory_format=torch.contiguous_format)
    for source, target, code in zip(maps.numpy(), out.numpy(), turn.tolist(), strict=True):
        view = source
        for bit in bits:
            if code >> bit & 1:
                view = (view[..., ::-1], view[..., ::-1, :], view.swapaxes(-1, -2))[bit]
        target[...] = view
    return out
