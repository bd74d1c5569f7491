"""A team's submissions: the list, one submission while it moves and after, what may be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext

from challenge.errors import Refusal, refuse
from challenge.models import Evaluation, Submission
from challenge.rules.disclosure import Viewer
from challenge.selectors import comparisons, languages, pages, pictures, queue
from challenge.selectors import submissions as selector
from challenge.services.submissions import receipts, retention
from challenge.services.submissions import submissions as service
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.submissions import patch_pictures, score_page
from challenge.web.views import challenge_context
from scoring.engine.problems.problems import Problem

SHOWN_OF_A_KIND = 3


@page_view("GET", sign_in=True)
def mine(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer the viewer's team's submissions to a challenge, newest first."""
    user = request.user
    challenge = pages.challenge_by_slug(slug, user=user)
    submissions = selector.visible_to(user).filter(entry__phase__challenge=challenge)
    return render(
        request,
        "web/submissions.html",
        challenge_context(request, challenge, current="mine") | {"rows": list_rows(submissions)},
    )


def list_rows(submissions: Iterable[Submission]) -> list[dict[str, Any]]:
    """Return a list's lines: submission, state, value as it may leave."""
    result = []
    for submission in submissions:
        evaluation = selector.current(submission)
        result.append(
            {
                "submission": submission,
                "state": evaluation.state if evaluation else "",
                "miou": selector.shown_miou(submission, viewer=Viewer.OWNER),
            }
        )
    return result


@page_view("GET", sign_in=True)
def detail(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Answer a submission's page, also while it waits or is being scored."""
    user = request.user
    seen = selector.compared(pk, user=user, wanted=request.GET.get("with"))
    shown = seen.detail
    submission = shown.submission
    phase = submission.entry.phase
    context = challenge_context(
        request, phase.challenge, current="mine", phase=phase
    ) | live_context(shown)
    context["detail"] = shown
    context["is_owner"] = shown.viewer is Viewer.OWNER
    context["ratio"] = score_page.ratio(submission)
    context["may_choose"] = selector.may_choose(shown)
    if (found := pictures.of_submission(shown)) is not None:
        context["patches"] = patch_pictures.build(found, submission=submission, phase=phase)
    if shown.card is not None:
        comparison_scores = comparisons.of_submission(submission, viewer=shown.viewer)
        context |= {
            "others": seen.others,
            "other": seen.other,
            "comparison_scores": comparison_scores,
            "result": score_page.build(
                shown.card, phase=phase, comparison_scores=comparison_scores, other=seen.other_card
            ),
        }
    return render(request, "web/submission.html", context)


@page_view("GET", sign_in=True)
def live(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Answer the part of a submission's page that moves; once it is done, ask for the whole."""
    user = request.user
    shown = selector.detail(pk, user=user)
    if not shown.is_moving:
        response = HttpResponse()
        response["HX-Refresh"] = "true"
        return response
    return render(request, "web/parts/live.html", live_context(shown))


def live_context(shown: selector.Detail) -> dict[str, Any]:
    """Return what tells where a submission stands."""
    evaluation = shown.evaluation
    context: dict[str, Any] = {
        "submission": shown.submission,
        "evaluation": evaluation,
        "moving": shown.is_moving,
        "state": shown.state,
    }
    if evaluation is None:
        return context
    if shown.state == "queued":
        context["position"] = queue.position(evaluation)
    if shown.state == "rejected":
        context["problems"], context["alike"] = problems(evaluation)
        context["more"] = evaluation.problems_more
        context["others"] = len(context["alike"]) + evaluation.problems_more
    return context


def problems(evaluation: Evaluation) -> tuple[list[str], list[str]]:
    """Return why an archive was refused, in the page's language.

    First up to three of each kind, then the rest, which the page folds away.
    """
    problems_found = [
        Problem.from_json(document)
        for document in Evaluation.objects.values_list("problems", flat=True).get(pk=evaluation.pk)
    ]
    kinds = Counter(problem.code for problem in problems_found)
    seen: Counter[str] = Counter()
    first: list[str] = []
    rest: list[str] = []
    for problem in problems_found:
        seen[problem.code] += 1
        # one line alone is not worth folding
        few = kinds[problem.code] <= SHOWN_OF_A_KIND + 1
        shown = first if few or seen[problem.code] <= SHOWN_OF_A_KIND else rest
        shown.append(problem.text(languages.current()))
    return first, rest


@page_view("GET", sign_in=True)
def card(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Answer the score card as it may leave, as a file."""
    user = request.user
    shown = selector.detail(pk, user=user)
    if shown.card is None:
        raise refuse("not-found")
    response = JsonResponse(shown.card, json_dumps_params={"indent": 1, "ensure_ascii": False})
    return _as_file(response, shown.submission, "score")


@page_view("GET", sign_in=True)
def receipt(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Answer the signed receipt, as a file."""
    user = request.user
    submission, viewer = selector.get(pk, user=user)
    signed = receipts.sign(submission, viewer=viewer)
    response = JsonResponse(signed, json_dumps_params={"indent": 1, "ensure_ascii": False})
    return _as_file(response, submission, "receipt")


@page_view("POST", sign_in=True)
def cancel(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Withdraw a waiting submission."""
    return _act(
        request, pk, service.cancel, gettext("Withdrawn. Its place in your quota is given back.")
    )


@page_view("POST", sign_in=True)
def choose_final(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Choose a submission for the final ranking, or drop the choice."""
    choose = partial(service.choose_final, chosen=request.POST.get("chosen") == "1")
    return _act(request, pk, choose, gettext("Your choice is noted."))


@page_view("POST", sign_in=True)
def remove_archive(request: SignedInRequest, pk: UUID) -> HttpResponse:
    """Remove an archive that decides nothing, to free space for others."""
    return _act(
        request, pk, retention.remove_archive, gettext("The archive is removed; its score stays.")
    )


def _act(request: HttpRequest, pk: UUID, act: Callable[..., object], done: str) -> HttpResponse:
    """Do something to a submission of the viewer's and say so, or why not, on its page."""
    user = request.user
    submission, _viewer = selector.get(pk, user=user)
    try:
        act(submission=submission, actor=user)
        messages.success(request, done)
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("web:submission", pk)


def _as_file(response: HttpResponse, submission: Submission, kind: str) -> HttpResponse:
    phase = submission.entry.phase
    name = f"{phase.challenge.slug}-{phase.slug}-{submission.number}-{kind}.json"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
