"""One training step of full-size U-T&T: the published way against ours, in the same run.

Both have the same weights and see the same batch; ours runs with the published model's switches
set, so its output is equal (tested to 1e-3), in channels-last order and bfloat16 autocast. On a
GPU, when there is one, training and prediction are measured too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from baselines import networks
from baselines.bench import reference
from baselines.networks.utt import Utt
from baselines.train import losses

PADDED = 3  # of the dates, as in a batch of unequal series


def run(*, quick: bool = False, on_line: Callable[[str], None]) -> dict[str, Any]:
    """Measure, give the results."""
    results: dict[str, Any] = {"threads": torch.get_num_threads(), "batch": 2 if quick else 4}
    results |= _on_cpu(batch=results["batch"], repeats=2 if quick else 4, on_line=on_line)
    results |= _on_gpu(on_line=on_line) if torch.cuda.is_available() else {"gpu": None}
    for name, value in results.items():
        on_line(f"{name:<32} {value}")
    return results


def _batch(size: int, *, dates: int = 12, px: int = 512) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(0)
    sentinel = torch.rand(size, dates, 10, 40, 40, generator=source)
    padding = torch.zeros(size, dates, dtype=torch.bool)
    padding[0, dates - PADDED :] = True
    sentinel[padding] = 0
    days = torch.linspace(130, -220, dates).repeat(size, 1)
    days[padding] = 0
    return {
        "aerial": torch.rand(size, 5, px, px, generator=source),
        "sentinel": sentinel, "days": days, "padding": padding,
        "target": torch.randint(0, 13, (size, px, px), generator=source),
    }  # fmt: skip


def _on_cpu(*, batch: int, repeats: int, on_line: Callable[[str], None]) -> dict[str, Any]:
    torch.manual_seed(0)
    theirs = reference.ReferenceUtt().train()
    ours = networks.build("utt", published=True)
    assert isinstance(ours, Utt)
    reference.copy_weights(theirs, ours)
    ours.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = losses.class_weights(13, without=(12,))
    aside = losses.class_weights(13, without=(11, 12))
    given = _batch(batch)
    moves = {
        "reference": torch.optim.SGD(theirs.parameters(), lr=1e-3),
        "ours": torch.optim.SGD(ours.parameters(), lr=1e-3),
    }

    def plainly() -> Tensor:
        satellite, logits = theirs(given["aerial"], given["sentinel"], given["days"])
        loss = functional.cross_entropy(logits, given["target"], weight=weights)
        return loss + functional.cross_entropy(satellite, given["target"], weight=aside)

    aerial = given["aerial"].contiguous(memory_format=torch.channels_last)

    def quickly() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = ours(
                aerial=aerial, sentinel=given["sentinel"], days=given["days"],
                padding=given["padding"],
            )  # fmt: skip
            return losses.total(out, given["target"], weights=weights, sentinel_weights=aside)

    ways = {"reference": plainly, "ours": quickly}
    best = dict.fromkeys(ways, float("inf"))
    cpu = dict(best)
    for turn in range(repeats + 1):  # alternating, so that a noisy moment meets both
        for name, way in ways.items():
            wall_s, cpu_s = _step(way, moves[name])
            if turn > 0:
                best[name] = min(best[name], wall_s)
                cpu[name] = min(cpu[name], cpu_s)
        on_line(f"round {turn} of {repeats}")
    memory = {name: _saved_mib(way) for name, way in ways.items()}
    return {
        "reference_s": best["reference"], "ours_s": best["ours"],
        "ratio": best["reference"] / best["ours"],
        # Less disturbed by other work on the machine; with one thread the better measure.
        "ratio_of_cpu_time": cpu["reference"] / cpu["ours"],
        "reference_activations_mib": memory["reference"], "ours_activations_mib": memory["ours"],
    }  # fmt: skip


def _step(way: Callable[[], Tensor], move: torch.optim.Optimizer) -> tuple[float, float]:
    """Take a step; give its wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    move.zero_grad(set_to_none=True)
    way().backward()  # type: ignore[no-untyped-call]
    move.step()
    return time.perf_counter() - wall, time.process_time() - cpu


def _saved_mib(way: Callable[[], Tensor]) -> float:
    """Add up what autograd keeps for the way back, each storage once."""
    kept: dict[int, int] = {}

    def note(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        way()
    return sum(kept.values()) / 2**20


def _on_gpu(*, on_line: Callable[[str], None], batch: int = 32, steps: int = 30) -> dict[str, Any]:
    """Measure our network alone on a GPU: samples per second, and how long the device computes."""
    device = torch.device("cuda")
    network = networks.build("utt").to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    move = torch.optim.SGD(network.parameters(), lr=1e-3)
    weights = losses.class_weights(13, without=(12,)).to(device)
    given = {
        name: value if name == "padding" else value.to(device)
        for name, value in _batch(batch).items()
    }
    target = given.pop("target")
    given["aerial"] = given["aerial"].contiguous(memory_format=torch.channels_last)

    def train() -> None:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            out = network(**given)
            loss = losses.total(out, target, weights=weights, sentinel_weights=weights)
        move.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        move.step()

    def predict() -> None:
        with torch.inference_mode(), torch.autocast("cuda", dtype=torch.bfloat16):
            network(**given).logits.argmax(dim=1)

    results: dict[str, Any] = {"gpu": torch.cuda.get_device_name(device), "gpu_batch": batch}
    for name, way in (("training", train), ("prediction", predict)):
        network.train(name == "training")
        for _ in range(5):
            way()
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(steps):
            way()
        torch.cuda.synchronize()
        results[f"gpu_{name}_samples_per_s"] = batch * steps / (time.perf_counter() - begun)
        results[f"gpu_{name}_busy_share"] = _busy_share(way)
    on_line(f"measured on {results['gpu']}")
    return results


def _busy_share(way: Callable[[], None], *, steps: int = 5) -> float:
    """Tell which part of the time the device computes, from its own records of kernels."""
    from torch.profiler import ProfilerActivity, profile

    torch.cuda.synchronize()
    begun = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as record:
        for _ in range(steps):
            way()
        torch.cuda.synchronize()
    wall_us = (time.perf_counter() - begun) * 1e6
    busy_us = sum(event.self_device_time_total for event in record.key_averages())
    return float(min(1.0, busy_us / wall_us))
