"""Export a run: safetensors, ONNX that onnxruntime has checked, and a model card.

The folder has the form of a model of the Hugging Face hub, and `predict`, `evaluate` and `map`
take it in a run's place.
"""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines import model_card, predict
from baselines.data import batches, layout
from baselines.data.layout import Patch
from baselines.data.samples import Files
from baselines.networks import Output
from baselines.train import exported, state

ONNX = "model.onnx"
TOLERANCE = 1e-4
_NEEDED = ("onnx", "onnxscript", "onnxruntime")
# How many leading axes may have any size: batch, dates. An image's sides stay as they are.
_MOVING_AXES = {"aerial": 1, "sentinel": 2, "days": 2, "metadata": 1}


class ExportError(ValueError):
    """Why a run cannot be exported, and what to do."""


def run(
    run_dir: Path,
    out_dir: Path,
    *,
    data_root: Path | None = None,
    evaluation: Path | None = None,
    score: Path | None = None,
    licence: str = model_card.LICENCE,
    onnx: bool = True,
    allow_unfinished: bool = False,
) -> dict[str, Any]:
    """Write a run's best epoch into `out_dir`; give what was written and how far ONNX differs.

    The ONNX graph is compared with the network on a patch of `data_root` (validation, else any),
    or on drawn input of the same shapes: its logits may differ by `TOLERANCE` times the largest,
    or by `TOLERANCE`. `evaluation` is a report of `evaluate`, `score` a score card as
    `flair download score` writes it: their figures stand in the model card.

    Raises ExportError for a folder that is not empty, a network that ONNX has no form for or that
    differs there, and an evaluation of other weights; ModuleNotFoundError saying what to install;
    what `predict.Predictor` raises.
    """
    if out_dir.exists() and any(out_dir.iterdir()):
        raise ExportError(f"{out_dir} is not empty; give a new folder, or empty it")
    if onnx:  # before anything is written
        _require_onnx()
    predictor = predict.Predictor(run_dir, device="cpu", allow_unfinished=allow_unfinished)
    recipe, spec = predictor.recipe, predictor.recipe.spec
    tensors = dict(predictor.network.state_dict())
    figures = model_card.Figures.read(
        evaluation, score, weights_sha256=exported.digest_of(tensors), spec=spec
    )
    inputs, source = _example(predictor, data_root)
    config = exported.write(out_dir, recipe, tensors, patch_px=predictor.patch_px, spec=spec)
    checked: dict[str, Any] | None = None
    if onnx:
        difference, largest = _write_onnx(predictor, inputs, path=out_dir / ONNX)
        checked = {
            "input": source, "largest_difference": difference, "largest_logit": largest,
            "tolerance": TOLERANCE,
        }  # fmt: skip
    about = json.loads((run_dir / state.RUN).read_text()) if (run_dir / state.RUN).is_file() else {}
    card = model_card.write(
        recipe, spec=spec, about=about, config=config, figures=figures, licence=licence,
        onnx=checked,
    )  # fmt: skip
    (out_dir / model_card.FILE).write_text(card, encoding="utf-8")
    return {
        "folder": str(out_dir),
        "files": sorted(path.name for path in out_dir.iterdir()),
        "weights_sha256": config["weights_sha256"],
        "onnx": checked,
    }


class _Plain(nn.Module):
    """A network with its inputs by position and its logits alone, as exporters need it."""

    def __init__(self, network: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *inputs: Tensor) -> Tensor:
        out: Output = self.network(**dict(zip(self.names, inputs, strict=True)))
        return out.logits


def _require_onnx() -> None:
    """Raise ModuleNotFoundError saying which packages are missing and how to do without."""
    missing = []
    for name in _NEEDED:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            missing.append(name)
    if missing:
        raise ModuleNotFoundError(
            f"not installed: {', '.join(missing)}, which ONNX needs; install the extra "
            "`baselines` anew, or export without it (--without-onnx)"
        )


def _example(predictor: predict.Predictor, data_root: Path | None) -> tuple[dict[str, Tensor], str]:
    """Give inputs of one patch without padding, and what they are."""
    recipe, px = predictor.recipe, predictor.patch_px
    if data_root is not None:
        patch = _patch(data_root, predictor)
        (batch,) = batches.Epoch(Files((patch,), options=recipe.options(masks=False)), 1)
        inputs = batches.to_inputs(
            batch, device=torch.device("cpu"), memory_format=predictor.memory_format,
            normalisation=recipe.data.normalisation, bands=recipe.data.bands,
        )  # fmt: skip
        inputs.pop("padding", None)
        return {name: inputs[name] for name in recipe.inputs if name in inputs}, f"patch {patch.id}"
    generator = torch.Generator().manual_seed(0)
    cells = recipe.data.crop_cells
    drawn = {
        "aerial": torch.rand(1, len(recipe.data.bands), px, px, generator=generator),
        "sentinel": torch.rand(1, 12, 10, cells, cells, generator=generator),
        "days": torch.linspace(-230, 134, 12)[None],
        "metadata": torch.rand(1, 45, generator=generator),
    }
    return {name: drawn[name] for name in recipe.inputs if name in drawn}, "drawn numbers"


def _patch(data_root: Path, predictor: predict.Predictor) -> Patch:
    """Give the first validation patch, of a tree without one the first of all."""
    spec = predictor.recipe.spec
    try:
        return predictor.recipe.split(layout.index(data_root, part="train", spec=spec))[1][0]
    except ValueError:
        return layout.index(data_root, spec=spec).patches[0]


def _write_onnx(
    predictor: predict.Predictor, inputs: dict[str, Tensor], *, path: Path
) -> tuple[float, float]:
    """Write the graph; give its largest difference from the network and the largest logit.

    Raises ExportError where there is no graph or it differs; nothing is left at `path` then.
    """
    plain = _Plain(predictor.network, list(inputs)).eval()
    with torch.no_grad():
        expected = plain(*inputs.values())  # also fills what the network keeps for these sizes
    try:
        _to_graph(plain, inputs, path=path, name=_named(predictor))
        found = _by_onnxruntime(path, inputs)
        difference = float((found - expected).abs().max())
        largest = float(expected.abs().max())
        if not difference <= TOLERANCE * max(1.0, largest):
            raise ExportError(
                f"{_named(predictor)}: onnxruntime's logits differ by {difference:.2g} where the "
                f"largest is {largest:.2g}; allowed is {TOLERANCE} of it. Export without ONNX "
                "(--without-onnx)"
            )
    except ExportError:
        path.unlink(missing_ok=True)
        raise
    return difference, largest


def _to_graph(plain: nn.Module, inputs: dict[str, Tensor], *, path: Path, name: str) -> None:
    """Let torch write the graph. Raises ExportError with the first line of what it says."""
    given, moving = [], []
    for key, value in inputs.items():
        axes = range(_MOVING_AXES[key])
        for axis in axes:  # sizes of 1 would be taken for fixed ones
            value = torch.cat([value, value], dim=axis)
        given.append(value)
        moving.append(dict.fromkeys(axes, torch.export.Dim.DYNAMIC))
    loud = logging.root.manager.disable
    try:
        logging.disable(logging.CRITICAL)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                plain, tuple(given), path, input_names=list(inputs), output_names=["logits"],
                dynamic_shapes=(tuple(moving),), external_data=False, verbose=False,
            )  # fmt: skip
    except Exception as wrong:  # its passes raise all kinds, by what they stumble over
        reason = str(wrong.__cause__ or wrong).strip().partition("\n")[0]
        raise ExportError(
            f"{name}: torch has no ONNX form of it ({type(wrong).__name__}: {reason}). Export "
            "without ONNX (--without-onnx)"
        ) from wrong
    finally:
        logging.disable(loud)


def _by_onnxruntime(path: Path, inputs: dict[str, Tensor]) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return torch.from_numpy(logits)


def _named(predictor: predict.Predictor) -> str:
    network = predictor.recipe.network
    encoder = network.options.get("encoder")
    return f"network {network.name}" + (f" with encoder {encoder}" if encoder else "")
