"""Creating a challenge on the desk: names, task, launch check, publication, address, deletion."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.models import Challenge
from challenge.rules import class_table
from challenge.rules.roles import Act
from challenge.selectors import languages, launch, roles
from challenge.services.challenges import drafts, publishing, samples, task_editing
from challenge.services.challenges.toml_document import FileMistakes
from challenge.web import desk, launch_text, mistake_words, zone_text
from challenge.web.create_forms import (
    AddressForm,
    ClassTableError,
    NamesForm,
    TaskForm,
    task_initial,
)
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.submissions import check_data
from challenge.web.views import challenge_context
from scoring.engine.problems.problems import Refused


@page_view("GET", "POST", sign_in=True, cache=False)
def new(request: SignedInRequest) -> HttpResponse:
    """Name a new challenge: a draft with pages to rewrite and one phase that is not published."""
    if not roles.may_create(request.user):
        raise refuse("challenge-creation-refused")
    form = NamesForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            made = drafts.create(
                actor=request.user, description=form.description(now=timezone.now())
            )
        except FileMistakes as error:
            _add_mistakes(form, error)
        except Refusal as refusal:
            form.add_error("slug", str(refusal))
        else:
            messages.success(request, gettext("The draft is created. Nobody else sees it."))
            return redirect("web:desk-task", made.slug)
    status = 422 if form.errors else 200
    return render(request, "web/challenge_new.html", {"form": form}, status=status)


@page_view("GET", "POST", sign_in=True, cache=False)
def task(request: SignedInRequest, slug: str) -> HttpResponse:
    """Write what is predicted; ``act=read`` fills the form from a sample archive."""
    challenge = desk.challenge_of(request, slug)
    roles.require(request.user, Act.LABELS, challenge)
    if request.method == "GET":
        return _task_page(request, challenge, TaskForm(initial=task_initial(challenge)))
    form = TaskForm(request.POST, request.FILES)
    if not form.is_valid():
        return _task_page(request, challenge, form)
    if form.cleaned_data["sample"] is not None:
        return _read_sample(request, challenge, form)
    try:
        table = form.task()
        stored = task_editing.set_task(
            challenge=challenge,
            actor=request.user,
            task=table,
            nomenclature=class_table.nomenclature(table["classes"]),
            ids_csv=form.ids_csv(),
        )
    except ClassTableError as error:
        facts = {name: getattr(error, name) for name in ("line", "column", "found", "allowed")}
        form.add_error("classes", str(refuse("class-table-invalid", **facts)))
    except FileMistakes as error:
        _add_mistakes(form, error)
    except NotAllowed:
        raise
    except Refusal as refusal:
        form.add_error(None, str(refusal))
    else:
        messages.success(request, gettext("The task is saved."))
        if challenge.phases.filter(task_spec__isnull=False).exclude(task_spec=stored).exists():
            messages.info(
                request,
                gettext(
                    "Something was submitted: the new version counts once a re-score under it is "
                    "published. Ask for one on the page of scores."
                ),
            )
            return redirect("web:desk-scores", slug)
        return redirect("web:desk-launch", slug)
    return _task_page(request, challenge, form)


@page_view("GET", "POST", sign_in=True, cache=False)
def check(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer the launch check; owners publish, hide, rename and delete there."""
    challenge = desk.challenge_of(request, slug)
    form = AddressForm({"slug": challenge.slug})
    if request.method == "POST":
        roles.require(request.user, Act.PUBLISH, challenge)
        act = request.POST.get("act", "")
        if act not in ACTS:
            raise refuse("not-found")
        try:
            return ACTS[act](request, challenge)
        except NotAllowed:
            raise
        except Refusal as refusal:
            messages.error(request, str(refusal))
        return redirect("web:desk-launch", slug)
    zone = zone_text.zone_of(challenge)
    found = launch.checks(challenge, now=timezone.now())
    context = challenge_context(request, challenge, current="desk") | {
        "lines": [launch_text.line(one, challenge=challenge, zone=zone) for one in found],
        "stopped": any(one.state is launch.State.BAD for one in found),
        "may_publish": roles.may(request.user, Act.PUBLISH, challenge),
        "may_clone": roles.may_create(request.user),
        "is_draft": drafts.is_draft(challenge),
        "form": form,
    }
    return render(request, "web/desk_launch.html", context)


def _publish(request: SignedInRequest, challenge: Challenge) -> HttpResponse:
    publishing.set_published(challenge=challenge, actor=request.user, published=True)
    messages.success(request, gettext("The challenge is published."))
    return redirect("web:desk-launch", challenge.slug)


def _hide(request: SignedInRequest, challenge: Challenge) -> HttpResponse:
    publishing.set_published(challenge=challenge, actor=request.user, published=False)
    messages.success(request, gettext("The challenge is hidden."))
    return redirect("web:desk-launch", challenge.slug)


def _rename(request: SignedInRequest, challenge: Challenge) -> HttpResponse:
    wanted = request.POST.get("slug", "").strip()
    renamed = drafts.rename(challenge=challenge, actor=request.user, slug=wanted)
    messages.success(request, gettext("The address is changed."))
    return redirect("web:desk-launch", renamed.slug)


def _delete(request: SignedInRequest, challenge: Challenge) -> HttpResponse:
    if request.POST.get("typed", "").strip() != challenge.slug:
        raise refuse("challenge-deletion-unconfirmed", slug=challenge.slug)
    drafts.delete(challenge=challenge, actor=request.user)
    messages.success(request, gettext("The draft is deleted."))
    return redirect("web:profile")


ACTS = {"publish": _publish, "hide": _hide, "rename": _rename, "delete": _delete}


def _read_sample(request: SignedInRequest, challenge: Challenge, form: TaskForm) -> HttpResponse:
    """Show the form filled with what a sample archive tells."""
    try:
        found = samples.read(form.cleaned_data["sample"].temporary_file_path())
    except Refused as refused:
        problem = refused.problem
        words = problem.text(languages.current())
        form.add_error("sample", f"{problem.file}: {words}" if problem.file else words)
        return _task_page(request, challenge, form)
    filled = {name: value for name, value in form.cleaned_data.items() if name != "sample"}
    filled |= {
        "patch_height_px": found.height_px,
        "patch_width_px": found.width_px,
        "prediction_name": found.prediction_name,
        "prediction_pattern": found.pattern,
        "ids": found.ids_csv(),
    }
    messages.info(
        request,
        gettext("Read from the sample; nothing is saved yet. Look at it, then save."),
    )
    return _task_page(request, challenge, TaskForm(initial=filled))


def _task_page(request: SignedInRequest, challenge: Challenge, form: TaskForm) -> HttpResponse:
    check = {"example": "PRED_000001.tif", **check_data.words(languages.current())}
    context = challenge_context(request, challenge, current="desk") | {
        "form": form,
        "check": json.dumps(check, ensure_ascii=False),
    }
    return render(request, "web/desk_task.html", context, status=422 if form.errors else 200)


def _add_mistakes(form: Any, error: FileMistakes) -> None:
    for mistake in error.mistakes:
        form.add_error(None, mistake_words.words(mistake.message))
