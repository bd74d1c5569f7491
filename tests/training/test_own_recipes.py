"""A recipe of the organiser's own: checked on the form, kept with the run, given to workers."""

from __future__ import annotations

import hashlib
import html
import re
from string import Formatter

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from baselines.train import recipe_errors
from challenge.errors import Refusal
from challenge.models import AuditEvent, Phase, TrainingRun
from challenge.services.training import recipe_reasons, recipes, seeds, training_runs, workers
from tests.training.test_pages import _a_worker, address, form, organiser, phase  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("running_servers", "_a_worker")]

TEXT = """\
title = "Mine"

[network]
name = "unet"

[training]
epochs = 3
"""
OWN = {"recipe": "+own", "own_name": "mine-1", "own_text": TEXT, "changes": "", "seeds": "1 2"}


def test_a_pasted_recipe_is_kept_with_its_digest_and_shown(
    phase: Phase,  # noqa: F811
    organiser: Client,  # noqa: F811
) -> None:
    page = organiser.get(address(phase)).content.decode()
    assert 'enctype="multipart/form-data"' in page
    assert "Your own recipe, below" in page
    # Browsers send line ends as CR LF.
    sent = form(phase, **OWN) | {"own_text": TEXT.replace("\n", "\r\n")}
    assert organiser.post(address(phase), sent).status_code == 302
    runs = TrainingRun.objects.order_by("seed")
    assert [(run.recipe, run.seed, run.recipe_text) for run in runs] == [
        ("mine-1", 1, TEXT), ("mine-1", 2, TEXT),
    ]  # fmt: skip
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    assert {run.recipe_digest for run in runs} == {digest}
    shown = html.unescape(
        organiser.get(address(phase, "training-run", runs[0].pk)).content.decode()
    )
    assert digest in shown
    assert 'title = "Mine"\n\n[network]' in shown
    event = AuditEvent.objects.filter(action="training.create").latest("pk")
    assert event.data["recipe_digest"] == digest


def test_a_file_is_the_same_as_a_pasted_text(
    phase: Phase,  # noqa: F811
    organiser: Client,  # noqa: F811
) -> None:
    file = SimpleUploadedFile("mine.toml", b"\xef\xbb\xbf" + TEXT.encode())
    sent = {**form(phase, **OWN), "own_text": "", "own_file": file, "seeds": "1"}
    assert organiser.post(address(phase), sent).status_code == 302
    assert TrainingRun.objects.get().recipe_text == TEXT


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"own_text": TEXT + "epoch = 3\n"}, "line 8: training.epoch: unknown; allowed are epochs"),
        ({"own_text": TEXT.replace('"unet"', "unet")}, "line 4: no TOML"),
        ({"own_text": "[training]\nepochs = 3\n"}, "cannot be used: title: is missing"),
        ({"own_text": ""}, "Give the recipe as a file or pasted"),
        ({"own_name": ""}, "Give your recipe a name"),
        ({"own_name": "../mine"}, "is no recipe's name"),
        ({"own_name": "tiny-unet"}, "is the name of a shipped recipe"),
        ({"recipe": "tiny-unet"}, "choose it here, or empty it"),
        (
            {"own_text": TEXT.replace('"unet"', '"unet"\noptions = { encoder = "resnet43" }')},
            "line 5: network.options.encoder: found 'resnet43', which is not known; the nearest",
        ),
        (
            {"changes": "network.options.encoder = tu-swin_tiney_patch4_window7_224"},
            "are tu-swin_tiny",
        ),
        ({"changes": "task = /etc/hostname"}, "task: it is the phase's"),
        (
            {"changes": "training.epochs = many"},
            "training.epochs: found 'many'; a whole number is needed",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_waits(
    changes: dict[str, str],
    said: str,
    phase: Phase,  # noqa: F811
    organiser: Client,  # noqa: F811
) -> None:
    answer = organiser.post(address(phase), form(phase, **OWN) | changes)
    assert answer.status_code == 422
    assert said in html.unescape(answer.content.decode())
    assert not TrainingRun.objects.exists()


def test_a_file_that_is_no_text_or_too_large_is_refused(
    phase: Phase,  # noqa: F811
    organiser: Client,  # noqa: F811
) -> None:
    for content, said in ((b"\xff\xfe", "no text in UTF-8"), (b"#" * 70_000, "larger than 64 KiB")):
        file = SimpleUploadedFile("mine.toml", content)
        sent = {**form(phase, **OWN), "own_text": "", "own_file": file}
        answer = organiser.post(address(phase), sent)
        assert answer.status_code == 422
        assert said in answer.content.decode()


def test_keys_of_a_shipped_recipe_are_checked_as_well(
    phase: Phase,  # noqa: F811
    organiser: Client,  # noqa: F811
) -> None:
    sent = form(phase, changes="training.epoch = 20")
    answer = organiser.post(address(phase), sent)
    assert answer.status_code == 422
    assert "training.epoch: unknown; allowed are epochs" in answer.content.decode()


def test_recipes_that_do_not_fit_the_task_are_not_offered(
    phase: Phase,  # noqa: F811
    organiser: Client,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One not shipped here is left to the workers: theirs may be a younger version."""
    assert recipes.fitting(["tiny-unet", "younger"], phases=[phase]) == {"tiny-unet", "younger"}
    monkeypatch.setattr(recipes, "_fits", lambda name, task: name != "tiny-unet")
    page = organiser.get(address(phase)).content.decode()
    assert 'value="tiny-unet"' not in page
    assert 'value="flair-1-unet"' in page
    device = {"kind": "cpu", "name": "CPU", "memory_bytes": 10**9}
    workers.announce("b", device=device, recipes=[{"name": "younger", "title": "Y"}], data_roots=[])
    assert 'value="younger"' in organiser.get(address(phase)).content.decode()


def test_the_worker_is_given_the_text(phase: Phase) -> None:  # noqa: F811
    actor = phase.challenge.roles.get().user
    seeds.start(
        phase=phase, recipe="mine", data_root="toy", seeds=[1], actor=actor, recipe_text=TEXT
    )
    assert training_runs.claim(worker="cpu", recipe_prefix="tiny-") is None
    claim = training_runs.claim(worker="gpu")
    assert claim is not None
    assert (claim.recipe, claim.recipe_text) == ("mine", TEXT)
    with pytest.raises(Refusal) as refused:
        seeds.start(
            phase=phase, recipe="mine", data_root="toy", seeds=[1], actor=actor, recipe_text="x"
        )
    assert refused.value.code == "recipe-line-wrong"


def test_every_reason_has_a_sentence_of_the_site() -> None:
    """With the same parameters; those of the command line alone never come here."""
    alone = {"recipe-not-shipped", "file-wrong", "task-wrong", "line-wrong"}
    assert set(recipe_reasons.REASONS) == set(recipe_errors.TEXTS) - alone
    for code, sentence in recipe_reasons.REASONS.items():
        named = {name for _, name, _, _ in Formatter().parse(recipe_errors.TEXTS[code]) if name}
        used = set(re.findall(r"%\((\w+)\)s", str(sentence)))
        # Words of Python's and pydantic's readers, which are English.
        assert used - {"column"} == named - {"said"}, code


def test_a_mistake_is_told_in_french(
    phase: Phase,  # noqa: F811
    organiser: Client,  # noqa: F811
) -> None:
    organiser.cookies["django_language"] = "fr"
    sent = form(phase, **OWN) | {"own_text": TEXT + "epoch = 3\n"}
    page = html.unescape(organiser.post(address(phase), sent).content.decode())
    plain = page.replace("\N{NO-BREAK SPACE}", " ")
    assert "training.epoch : inconnu ; permis : epochs" in plain
    assert "unknown; allowed" not in page
