"""Training of the reference baselines: start, watch, compare, cancel. For organisers alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from challenge.errors import Refusal
from challenge.models import Challenge, TrainingRun
from challenge.rules.lifecycle import RunState
from challenge.rules.roles import Act
from challenge.selectors import pages, roles
from challenge.selectors import training as selector
from challenge.services.training import seeds, training_runs
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.training import curves
from challenge.web.training.forms import StartForm, started
from challenge.web.views import challenge_context

# A submission's states are named in another gender in French.
STATES = {
    "queued": (_("waiting"), ""),
    "running": (_("running"), "info"),
    "succeeded": (_("done"), "good"),
    "failed": (pgettext_lazy("training run", "failed"), "bad"),
    "cancelled": (pgettext_lazy("training run", "cancelled"), ""),
}
STAGES = {
    "": _("Starting"),
    "starting": _("Starting"),
    "preparing": _("Preparing the data"),
    "training": _("Training"),
    "predicting": _("Predicting the test patches"),
    "packaging": _("Packing and checking the archive"),
}
AFTER_TRAINING = frozenset({"predicting", "packaging"})
PAGE_RUNS = 200
COMPARED_RUNS = 20


@page_view("GET", "POST", sign_in=True)
def runs(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer a challenge's runs with the form for new ones, and take that form."""
    user = request.user
    act = Act.TRAINING if request.method == "POST" else Act.READ
    challenge = _challenge(request, slug, act)
    workers = selector.workers()
    form = StartForm(request.POST or None, challenge=challenge, workers=workers)
    if request.method == "POST":
        form = StartForm(request.POST, request.FILES, challenge=challenge, workers=workers)
        if form.is_valid():
            data = form.cleaned_data
            try:
                made = seeds.start(
                    phase=data["phase"],
                    recipe=form.recipe_name(),
                    recipe_text=data["text"],
                    data_root=data["data_root"],
                    seeds=data["seeds"],
                    overrides=data["changes"],
                    group=form.name(),
                    actor=user,
                )
            except Refusal as refusal:
                form.add_refusal(refusal)
            else:
                messages.success(request, started(len(made)))
                if len(made) == 1:
                    return redirect("web:training-run", slug, made[0].pk)
                return redirect("web:training", slug)
    runs_shown = list(selector.runs_of(challenge)[:PAGE_RUNS])
    context = challenge_context(request, challenge, current="training") | {
        "lines": _lines(runs_shown),
        "form": form,
        "workers": workers,
        "any_able": any(worker.is_able for worker in workers),
        "any_present": any(worker.present and worker.is_able for worker in workers),
        "any_moving": any(selector.is_moving(run_shown) for run_shown in runs_shown),
        "may_train": roles.may(user, Act.TRAINING, challenge),
    }
    status = 422 if form.errors else 200
    return render(request, "web/training.html", context, status=status)


@page_view("GET", sign_in=True)
def run(request: SignedInRequest, slug: str, run_id: UUID) -> HttpResponse:
    """Answer a run's page, which follows it while it goes on."""
    challenge = _challenge(request, slug)
    training_run = selector.run(run_id, challenge=challenge)
    context = challenge_context(request, challenge, current="training") | _live(training_run)
    context["test_miou"] = selector.scored_mious([training_run]).get(training_run.pk)
    context["events"] = training_run.events.all()
    return render(request, "web/training_run.html", context)


@page_view("GET", sign_in=True)
def live(request: SignedInRequest, slug: str, run_id: UUID) -> HttpResponse:
    """Answer the part of a run's page that moves; once it is done, ask for the whole."""
    challenge = _challenge(request, slug)
    run = selector.run(run_id, challenge=challenge)
    if not selector.is_moving(run):
        response = HttpResponse()
        response["HX-Refresh"] = "true"
        return response
    return render(request, "web/parts/training_live.html", {"challenge": challenge, **_live(run)})


@page_view("GET", sign_in=True)
def compare(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer several runs' curves in one chart, and their results as a table by name."""
    challenge = _challenge(request, slug)
    chosen = selector.chosen(request.GET.getlist("run")[:COMPARED_RUNS], challenge=challenge)
    lines = _lines(chosen)
    for position, line in enumerate(lines):
        line["color"] = curves.color(position)
    charts = {
        name: curves.draw(
            [
                curves.of_run(line["run"], name=name, label=line["label"], hue=line["color"])
                for line in lines
            ],
            as_percent=name == "val_miou",
        )
        for name in ("val_miou", "val_loss", "train_loss")
    }
    return render(
        request,
        "web/training_compare.html",
        challenge_context(request, challenge, current="training")
        | {"lines": lines, "groups": _groups(lines), "charts": charts},
    )


@page_view("POST", sign_in=True)
def cancel(request: SignedInRequest, slug: str, run_id: UUID) -> HttpResponse:
    """Cancel a waiting run, or ask the worker of a running one to stop."""
    user = request.user
    run = selector.run(run_id, challenge=_challenge(request, slug, Act.TRAINING))
    try:
        training_runs.cancel(run=run, actor=user)
        if run.state == RunState.RUNNING:
            messages.success(request, gettext("It stops after the step at hand."))
        else:
            messages.success(request, gettext("It is cancelled; no worker will take it."))
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("web:training-run", slug, run_id)


@page_view("POST", sign_in=True)
def requeue(request: SignedInRequest, slug: str, run_id: UUID) -> HttpResponse:
    """Queue a failed run again: it goes on from its last whole epoch."""
    user = request.user
    run = selector.run(run_id, challenge=_challenge(request, slug, Act.TRAINING))
    try:
        training_runs.requeue_failed(run=run, actor=user)
        messages.success(request, started(1))
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("web:training-run", slug, run_id)


def _challenge(request: HttpRequest, slug: str, act: Act = Act.READ) -> Challenge:
    challenge = pages.challenge_by_slug(slug, user=request.user)
    roles.require(request.user, act, challenge)
    return challenge


def _live(run: TrainingRun) -> dict[str, Any]:
    progress = run.progress
    # After the last epoch patches are what is counted.
    epochs = None if run.stage in AFTER_TRAINING else progress.get("epochs")
    hue = curves.color(0)
    losses = [
        curves.of_run(run, name="val_loss", label=gettext("validation"), hue=hue),
        curves.of_run(
            run, name="train_loss", label=gettext("training"), hue=curves.QUIET, dashed=True
        ),
    ]
    mious = [curves.of_run(run, name="val_miou", label=gettext("validation"), hue=hue)]
    points = list(run.points.all())
    return {
        "run": run,
        "label": _label(run),
        "state_name": STATES[run.state][0],
        "state_tone": STATES[run.state][1],
        "moving": selector.is_moving(run),
        "stage": STAGES.get(run.stage, run.stage),
        "share": _share(progress, epochs=epochs),
        "epoch": progress.get("epoch"),
        "epochs": epochs,
        "loss_chart": curves.draw(losses),
        "miou_chart": curves.draw(mious, as_percent=True),
        "last": points[-1].metrics if points else None,
        "best": max((p.metrics.get("val_miou") or 0.0 for p in points), default=None),
    }


def _share(progress: dict[str, Any], *, epochs: int | None) -> float:
    """Return how much of the training, or else of the prediction, is done, 0 to 100."""
    if not epochs:
        predicted: float = progress.get("done", 0) / max(progress.get("total", 0), 1)
        return round(100 * predicted, 1)
    steps = progress.get("steps")
    within = progress["step"] / steps if steps and progress.get("step") else 1.0
    done: float = max(0.0, progress.get("epoch", 0) - 1 + within)
    share: float = min(1.0, done / epochs)
    return round(100 * share, 1)


def _lines(runs: Sequence[TrainingRun]) -> list[dict[str, Any]]:
    tested = selector.scored_mious(runs)
    return [
        {
            "run": training_run,
            "label": _label(training_run),
            "state_name": STATES[training_run.state][0],
            "state_tone": STATES[training_run.state][1],
            "val_miou": training_run.result.get(
                "best_miou", training_run.progress.get("best_miou")
            ),
            "test_miou": tested.get(training_run.pk),
            "seconds": training_run.result.get("seconds"),
        }
        for training_run in runs
    ]


def _label(training_run: TrainingRun) -> str:
    return gettext("%(name)s, seed %(seed)s") % {
        "name": training_run.group or training_run.recipe,
        "seed": training_run.seed,
    }


def _groups(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean and deviation of the runs of each name."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_name.setdefault(line["run"].group or line["run"].recipe, []).append(line)
    return [
        {
            "name": name,
            "count": len(members),
            "val": _mean_and_std([member["val_miou"] for member in members]),
            "test": _mean_and_std([member["test_miou"] for member in members]),
        }
        for name, members in by_name.items()
    ]


def _mean_and_std(values: Sequence[float | None]) -> tuple[float, float | None] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None
