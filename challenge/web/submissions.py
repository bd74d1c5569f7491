"""A team's submissions: the list, one submission while it moves and after, what may be done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_POST

from challenge.errors import Refusal, refuse
from challenge.models import Evaluation, Submission
from challenge.rules.disclosure import Viewer
from challenge.rules.windows import Window, place
from challenge.selectors import comparisons, pages, queue
from challenge.selectors import submissions as selector
from challenge.services import receipts, retention
from challenge.services import submissions as service
from challenge.web import cards
from challenge.web.views import frame, language, refusals_as_pages
from scoring.engine.problems import Problem

SHOWN_OF_A_KIND = 3


@require_GET
@login_required
@refusals_as_pages
def mine(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer the viewer's team's submissions to a challenge, newest first."""
    user: Any = request.user
    challenge = pages.challenge_by_slug(slug, user=user)
    found = selector.visible_to(user).filter(entry__phase__challenge=challenge)
    return render(
        request,
        "web/submissions.html",
        frame(request, challenge, current="mine") | {"lines": lines(found)},
    )


def lines(found: Iterable[Submission]) -> list[dict[str, Any]]:
    """Return a list's lines: submission, state, figure as it may leave."""
    result = []
    for submission in found:
        evaluation = selector.current(submission)
        result.append(
            {
                "submission": submission,
                "state": evaluation.state if evaluation else "",
                "miou": selector.shown_miou(submission, viewer=Viewer.OWNER),
            }
        )
    return result


@require_GET
@login_required
@refusals_as_pages
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Answer a submission's page, also while it waits or is being scored."""
    user: Any = request.user
    seen = selector.compared(pk, user=user, wanted=request.GET.get("with"))
    found = seen.detail
    submission = found.submission
    phase = submission.entry.phase
    context = frame(request, phase.challenge, current="mine", phase=phase) | live_context(found)
    context["detail"] = found
    context["is_owner"] = found.viewer is Viewer.OWNER
    context["ratio"] = cards.ratio(submission)
    if found.card is not None:
        yardsticks = comparisons.of_submission(submission, viewer=found.viewer)
        context |= {
            "others": seen.others,
            "other": seen.other,
            "yardsticks": yardsticks,
            "result": cards.result(
                found.card, phase=phase, yardsticks=yardsticks, other=seen.other_card
            ),
            "may_choose": found.viewer is Viewer.OWNER
            and phase.finals_limit is not None
            and place(timezone.now(), opens_at=phase.opens_at, closes_at=phase.closes_at)
            is Window.OPEN,
        }
    return render(request, "web/submission.html", context)


@require_GET
@login_required
@refusals_as_pages
def live(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Answer the part of a submission's page that moves; once it is done, ask for the whole."""
    user: Any = request.user
    found = selector.detail(pk, user=user)
    if not found.is_moving:
        response = HttpResponse()
        response["HX-Refresh"] = "true"
        return response
    return render(request, "web/parts/live.html", live_context(found))


def live_context(found: selector.Detail) -> dict[str, Any]:
    """Return what tells where a submission stands."""
    evaluation = found.evaluation
    context: dict[str, Any] = {
        "submission": found.submission,
        "evaluation": evaluation,
        "moving": found.is_moving,
        "state": found.state,
    }
    if evaluation is None:
        return context
    if found.state == "queued":
        context["place"] = queue.place(evaluation)
    if found.state == "rejected":
        context["problems"], context["alike"] = problems(evaluation)
        context["more"] = evaluation.problems_more
    return context


def problems(evaluation: Evaluation) -> tuple[list[str], list[str]]:
    """Return why an archive was refused, in the page's language.

    First up to three of each kind, then the rest, which the page folds away.
    """
    found = [
        Problem.from_json(one)
        for one in Evaluation.objects.values_list("problems", flat=True).get(pk=evaluation.pk)
    ]
    kinds = Counter(problem.code for problem in found)
    seen: Counter[str] = Counter()
    first: list[str] = []
    rest: list[str] = []
    for problem in found:
        seen[problem.code] += 1
        # one line alone is not worth folding
        few = kinds[problem.code] <= SHOWN_OF_A_KIND + 1
        shown = first if few or seen[problem.code] <= SHOWN_OF_A_KIND else rest
        shown.append(problem.text(language()))
    return first, rest


@require_GET
@login_required
@refusals_as_pages
def card(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Answer the score card as it may leave, as a file."""
    user: Any = request.user
    found = selector.detail(pk, user=user)
    if found.card is None:
        raise refuse("not-found")
    response = JsonResponse(found.card, json_dumps_params={"indent": 1, "ensure_ascii": False})
    return _as_file(response, found.submission, "score")


@require_GET
@login_required
@refusals_as_pages
def receipt(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Answer the signed receipt, as a file."""
    user: Any = request.user
    submission, viewer = selector.get(pk, user=user)
    signed = receipts.sign(submission, viewer=viewer)
    response = JsonResponse(signed, json_dumps_params={"indent": 1, "ensure_ascii": False})
    return _as_file(response, submission, "receipt")


@require_POST
@login_required
@refusals_as_pages
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Withdraw a waiting submission."""
    return _act(
        request, pk, service.cancel, gettext("Withdrawn. Its place in your quota is given back.")
    )


@require_POST
@login_required
@refusals_as_pages
def choose_final(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Choose a submission for the final ranking, or drop the choice."""
    choose = partial(service.choose_final, chosen=request.POST.get("chosen") == "1")
    return _act(request, pk, choose, gettext("Your choice is noted."))


@require_POST
@login_required
@refusals_as_pages
def remove_archive(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Remove an archive that decides nothing, to make room for others."""
    return _act(request, pk, retention.drop, gettext("The archive is removed; its score stays."))


def _act(request: HttpRequest, pk: UUID, act: Callable[..., object], done: str) -> HttpResponse:
    """Do something to a submission of the viewer's and say so, or why not, on its page."""
    user: Any = request.user
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
