"""The model card of an export: README.md with the front matter of the Hugging Face hub."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines.train.recipe import Recipe
from scoring.engine.task.specification import TaskSpec

FILE = "README.md"
# The data's: Etalab Open Licence 2.0, by the hub's name.
LICENCE = "etalab-2.0"
_DATASET = "IGNF/FLAIR"
_PAPERS = {"flair-1": "2211.12979", "flair-2": "2305.14467"}


@dataclass(frozen=True)
class Figures:
    """What was measured of the weights: by `evaluate`, and on a leaderboard; None where not."""

    evaluation: dict[str, Any] | None
    score: dict[str, Any] | None

    @classmethod
    def read(
        cls, evaluation: Path | None, score: Path | None, *, weights_sha256: str, spec: TaskSpec
    ) -> Figures:
        """Read a report of `evaluate` and a score card of `flair download score`.

        Raises ValueError for a file that is none, an evaluation of other weights, and a score of
        another task.
        """
        report = _read(evaluation, needed=("miou", "part", "weights_sha256"), what="evaluation")
        if report is not None and report["weights_sha256"] != weights_sha256:
            raise ValueError(
                f"{evaluation} measures other weights than this run's best epoch; run "
                "`evaluate` again"
            )
        card = _read(score, needed=("miou", "submission", "spec"), what="score card")
        if card is not None and card["spec"] not in (None, spec.id):
            raise ValueError(f"{score} is of task {card['spec']!r}; the recipe's is {spec.id!r}")
        return cls(report, card)


def _read(path: Path | None, *, needed: tuple[str, ...], what: str) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        document = json.loads(path.read_text())
    except ValueError as wrong:
        raise ValueError(f"{path}: no {what}, no JSON ({wrong})") from wrong
    missing = [key for key in needed if not isinstance(document, dict) or key not in document]
    if missing:
        raise ValueError(f"{path}: no {what}; {', '.join(missing)} missing")
    return dict(document)


def write(
    recipe: Recipe,
    *,
    spec: TaskSpec,
    about: dict[str, Any],
    config: dict[str, Any],
    figures: Figures,
    licence: str,
    onnx: dict[str, Any] | None,
) -> str:
    """Give the card's text, of run.json, config.json and how the ONNX graph was checked."""
    parts = [
        _front_matter(recipe, figures=figures, licence=licence),
        f"# {recipe.title}\n",
        _summary(recipe, spec=spec),
        _usage(recipe, onnx=onnx),
        _figures(figures),
        _classes(spec, figures=figures),
        _origin(recipe, about=about, config=config),
        _limits(licence),
    ]
    return "\n".join(part for part in parts if part)


def _summary(recipe: Recipe, *, spec: TaskSpec) -> str:
    return (
        f"Land cover of aerial images at 0.2 m, {len(spec.classes)} classes, trained for the task "
        f"`{recipe.task_id}` with the recipe `{recipe.name}` of the FLAIR challenge platform.\n"
    )


def _front_matter(recipe: Recipe, *, figures: Figures, licence: str) -> str:
    """Give the YAML block; values are written as JSON, which YAML contains."""
    lines = [
        "---",
        f"license: {json.dumps(licence)}",
        "library_name: pytorch",
        "pipeline_tag: image-segmentation",
        "tags: [land-cover, semantic-segmentation, aerial-imagery, remote-sensing, onnx]",
        f"datasets: [{json.dumps(_DATASET)}]",
        "metrics: [mean_iou]",
    ]
    results = [
        (name, value)
        for name, document in (
            (f"{recipe.task_id}, {_part(figures)} patches", figures.evaluation),
            (f"{recipe.task_id}, leaderboard", figures.score),
        )
        if document is not None and (value := document["miou"]) is not None
    ]
    if results:
        lines += ["model-index:", f"- name: {json.dumps(recipe.name)}", "  results:"]
    for name, value in results:
        lines += [
            "  - task: {type: image-segmentation}",
            f"    dataset: {{type: {json.dumps(_DATASET)}, name: {json.dumps(name)}}}",
            f"    metrics: [{{type: mean_iou, value: {json.dumps(value)}}}]",
        ]
    return "\n".join([*lines, "---\n"])


def _part(figures: Figures) -> str:
    return figures.evaluation["part"] if figures.evaluation is not None else ""


def _usage(recipe: Recipe, *, onnx: dict[str, Any] | None) -> str:
    inputs = {
        "aerial": f"`aerial` [batch, {len(recipe.data.bands)}, height, width]: bands "
        f"{', '.join(map(str, recipe.data.bands))} as `preprocessor_config.json` scales them",
        "sentinel": f"`sentinel` [batch, dates, 10, {recipe.data.crop_cells}, "
        f"{recipe.data.crop_cells}]: reflectance around the patch",
        "days": "`days` [batch, dates]: days from each date to 15 May",
        "metadata": "`metadata` [batch, 45]",
    }
    lines = [
        "## Use\n",
        "The folder takes a run's place in every command:\n",
        "```sh",
        "python -m baselines predict THIS_FOLDER --data /data/flair-2 --out predictions",
        "```\n",
        "Inputs, all float32:\n",
        *(f"- {inputs[name]}" for name in recipe.inputs if name in inputs),
        "",
    ]
    if onnx is None:
        lines.append("There is no ONNX graph: it was not asked for.\n")
    else:
        lines.append(
            "`model.onnx` gives `logits` [batch, classes, height, width]. On the input "
            f"({onnx['input']}) onnxruntime's differ from torch's by at most "
            f"{onnx['largest_difference']:.2g}; the largest is {onnx['largest_logit']:.3g}."
            + (" Patches with equally many dates make a batch.\n" if "days" in recipe.inputs
               else "\n")
        )  # fmt: skip
    return "\n".join(lines)


def _figures(figures: Figures) -> str:
    rows = []
    if figures.evaluation is not None:
        report = figures.evaluation
        name = f"`evaluate`, {report['part']} part, {report.get('patches', '?')} patches"
        rows.append((name, report))
    if figures.score is not None:
        rows.append((f"leaderboard, submission `{figures.score['submission']}`", figures.score))
    if not rows:
        return "## Figures\n\nNone was measured or given.\n"
    lines = [
        "## Figures\n",
        "| measured by | mIoU | overall accuracy | mean F1 |",
        "|---|---|---|---|",
    ]
    keys = ("miou", "overall_accuracy", "mean_f1")
    lines += [
        f"| {name} | {' | '.join(_text(row.get(key)) for key in keys)} |" for name, row in rows
    ]
    return "\n".join([*lines, ""])


def _classes(spec: TaskSpec, *, figures: Figures) -> str:
    measured = (figures.evaluation or {}).get("classes", {})
    lines = [
        "## Classes\n",
        "| value | key | class | colour | scored | IoU |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {entry.id} | `{entry.key}` | {entry.name.get('en', entry.key)} | `{entry.color}` | "
        f"{'yes' if entry.scored else 'no'} | {_text(measured.get(entry.key, {}).get('iou'))} |"
        for entry in spec.classes
    ]
    return "\n".join([*lines, ""])


def _origin(recipe: Recipe, *, about: dict[str, Any], config: dict[str, Any]) -> str:
    data = about.get("data") or {}
    start = (about.get("starts") or [{}])[-1]
    code, device = start.get("code") or {}, start.get("device") or {}
    weights = about.get("encoder_weights")
    commit = code.get("commit")
    changed = " with changes" if code.get("changed") else ""
    facts = {
        "weights": f"SHA-256 `{config['weights_sha256']}`",
        "recipe": f"`{recipe.name}`, SHA-256 `{recipe.digest}`",
        "seed": about.get("seed"),
        "epochs planned": recipe.training.epochs,
        "data": data and (
            f"{data['train_patches']} train and {data['validation_patches']} validation patches, "
            f"SHA-256 of their names and sizes `{data['sha256']}`"
        ),
        "code": code and (
            f"version {code['version']}, SHA-256 of its sources `{code['sources_sha256']}`"
            + (f", commit `{commit}`{changed}" if commit else "")
        ),
        "device": device.get("name"),
        "encoder starts from": weights and f"`{weights['name']}`, SHA-256 `{weights['sha256']}`",
    }  # fmt: skip
    rows = [f"| {name} | {value or 'not recorded'} |" for name, value in facts.items()]
    if weights is None and about:
        rows[-1] = "| encoder starts from | numbers at random |"
    return "\n".join(["## Origin\n", "| | |", "|---|---|", *rows, ""])


def _limits(licence: str) -> str:
    papers = ", ".join(f"arXiv {number}" for number in _PAPERS.values())
    return (
        "## Licence and limits\n\n"
        f"Weights: `{licence}`. The data are IGN's, under the Etalab Open Licence 2.0; cite their "
        f"papers ({papers}). Pre-trained weights that the encoder started from have terms of their "
        "own. The classes were learnt in the domains and years of the training part; elsewhere, "
        "and on images of other cameras or resolutions, nothing was measured.\n"
    )


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4f}"
