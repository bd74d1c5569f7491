"""Recipes that organisers write: read for a phase's task, mistakes with their line, no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from baselines.train import encoder_names, recipe_text
from baselines.train import recipe as recipes
from scoring.engine.task import specification as specs
from scoring.engine.task.examples import abc_spec

TASK: dict[str, Any] = dict(abc_spec().to_json())
TEXT = (recipes.FOLDER / "tiny-unet.toml").read_text()


def test_a_text_is_a_recipe_of_the_given_task() -> None:
    """Its own task is another challenge's, or a file that is nowhere read."""
    for line in ('task = "flair-2"', 'task = "/etc/hostname"', 'task = "../secret.json"'):
        text = TEXT.replace('task = "flair-2"', line)
        assert line in text
        recipe = recipe_text.read(text, name="mine", task=TASK, changes={"training.epochs": 3})
        assert (recipe.name, recipe.task_id, recipe.spec.n_classes) == ("mine", "abc", 3)
        assert recipe.training.epochs == 3
        assert recipe.loss.unweighted == (2,)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('title = "x"\n[training]\nepochs = = 3\n', 3, "no TOML"),
        ('title = "x"\n\n[training]\nepoch = 3\n', 4, "training.epoch: unknown; allowed are"),
        ('title = "x"\n[network]\nname = "segnet"\n', 3, "network.name: found 'segnet'"),
        ('title = "x"\n[loss]\nclass_weights = [1.0, 2.0]\n', 3, "each of the 3 classes of task"),
        ('title = "x"\n[loss]\n# five\nunweighted = [5]\n', 4, r"loss.unweighted: classes \[5\]"),
        ('title = "x"\ntraining.epochs = "many"\n', 2, "training.epochs: found 'many'"),
        ('title = "x"\ntraining = { epochs = "many" }\n', 2, "training.epochs: found 'many'"),
        ('title = "x"\n[data]\nbands = [9]\n', 3, "data.bands"),
        (
            'title = "x"\n[network.options]\nencoder = "tu-convnextv2_tiney"\n',
            3,
            "which is not known; the nearest are .*tu-convnextv2_tiny",
        ),
        ('title = "x"\n[network.options]\nencoder = 34\n', 3, "encoder: found 34; str is needed"),
        ("[training]\nepochs = 3\n", None, "title: is missing"),
        ("title = '", 1, "no TOML"),
        ('title = "x"\nx = ' + "9" * 5000, None, "no TOML that can be read"),
        ('title = "x"\nx = ' + "[" * 20_000, None, "no TOML"),
        ('title = "x"\n[network.options]\nx = 2020-01-01\n', None, "a date or a time is no value"),
        ("#" * 70_000, None, "longer than 64 KiB"),
    ],
)
def test_mistakes_have_their_line(text: str, line: int | None, message: str) -> None:
    with pytest.raises(recipe_text.TextError, match=message) as caught:
        recipe_text.read(text, name="mine", task=TASK)
    assert caught.value.line == line


def test_the_task_is_no_key_to_change() -> None:
    for key in ("task", "task.id"):
        with pytest.raises(recipe_text.TextError, match="task: it is the phase's"):
            recipe_text.for_shipped("tiny-unet", task=TASK, changes={key: "/etc/hostname"})


def test_shipped_recipes_fit_any_task_but_for_what_they_say_of_classes() -> None:
    task = dict(specs.load("flair-hub").to_json())
    for name in recipes.names():
        recipe = recipe_text.for_shipped(name, task=task, changes={})
        assert recipe.network_options()["n_classes"] == 19
    with pytest.raises(recipe_text.TextError, match="one for each of the 19 classes"):
        recipe_text.for_shipped("tiny-unet", task=task, changes={"loss.class_weights": [1.0] * 13})


def test_encoders_are_known_by_a_list_that_is_the_installed_libraries() -> None:
    """Anew: python -m baselines.train.encoder_names."""
    pytest.importorskip("torch", reason="the extra `baselines` is not installed")
    assert sorted(encoder_names.known()) == encoder_names.installed()
    for name in recipes.names():
        encoder_names.require_known(recipes.load(name))


def test_recipes_are_checked_without_torch() -> None:
    """A web process has none, and would take seconds and memory for it."""
    code = (
        "import json, sys\n"
        "from baselines.train import recipe_text\n"
        "task, text = json.load(sys.stdin)\n"
        "recipe_text.read(text, name='mine', task=task)\n"
        "recipe_text.for_shipped('strong-utt', task=task, changes={})\n"
        "loaded = {'torch', 'lightning', 'timm'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], input=json.dumps([TASK, TEXT]), text=True, check=True,
        timeout=300, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
