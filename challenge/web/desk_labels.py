"""The desk's page of labels: sealed in the browser, installed by the labels worker."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import get_language, gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from challenge.errors import NotAllowed, Refusal, refuse
from challenge.models import Challenge, LabelJob, Phase
from challenge.rules.lifecycle import LabelState
from challenge.rules.roles import Act
from challenge.selectors import labels as selector
from challenge.selectors import roles
from challenge.selectors.labels import ShownKey
from challenge.services.labels import label_jobs
from challenge.services.labels import uploads as label_uploads
from challenge.web import desk
from challenge.web.requests import SignedInRequest, page_view
from challenge.web.views import challenge_context
from scoring.engine.problems.problems import Problem

STATES: dict[str, tuple[Promise, str]] = {
    LabelState.QUEUED: (pgettext_lazy("labels", "waiting"), ""),
    LabelState.INSTALLING: (pgettext_lazy("labels", "being installed"), "info"),
    LabelState.INSTALLED: (pgettext_lazy("labels", "installed"), "good"),
    LabelState.REFUSED: (pgettext_lazy("labels", "refused"), "bad"),
    LabelState.FAILED: (pgettext_lazy("labels", "failed"), "bad"),
    LabelState.CANCELLED: (pgettext_lazy("labels", "cancelled"), ""),
}
REASONS: dict[str, Promise] = {
    "seal-not-sealed": _("The file is not sealed. Choose the zip of masks on this page again."),
    "seal-cut": _("The sealed file is not whole. Choose the zip of masks again."),
    "seal-altered": _("The sealed file was changed on its way. Choose the zip of masks again."),
    "seal-key": _("It was sealed for another key. Load this page anew and seal the masks again."),
    "seal-purpose": _(
        "It was sealed for another challenge, phase or person. Choose the right phase and seal the "
        "masks again, signed in as who uploads them."
    ),
    "seal-too-large": _("The zip of masks is larger than the labels worker opens. Compress them."),
    "seal-gone": _("The sealed file was deleted before it was opened. Send it again."),
    "masks-invalid": _("The masks have faults. Mend these files, then send a new zip."),
    "labels-invalid": _("The labels do not fit the challenge."),
    "worker-lost": _("The labels worker stopped three times. Ask who runs the site."),
}
# Where the archive is one of masks, these words fit better than those for predictions.
MASK_PROBLEMS: dict[str, Promise] = {
    "values-out-of-range": _("This mask has values that are no label of the task."),
    "member-unexpected": _("This file is no mask of the task. Rename or remove it."),
    "archive-no-predictions": _("The zip holds no mask whose name fits the task."),
}


@dataclass(frozen=True)
class ShownJob:
    """A label job as the page shows it."""

    job: LabelJob
    state: str
    tone: str
    reason: str
    problems: list[str]
    may_cancel: bool
    may_requeue: bool


@page_view("GET", sign_in=True, cache=False)
def labels(request: SignedInRequest, slug: str) -> HttpResponse:
    """Answer each phase's labels, what was sent, and to owners the form that seals."""
    challenge = desk.challenge_of(request, slug)
    may_send = roles.may(request.user, Act.LABELS, challenge)
    phases, key = selector.phases_of(challenge), selector.current_key()
    context = challenge_context(request, challenge, current="desk") | {
        "phases": phases,
        "jobs": [_shown(job) for job in selector.jobs_of(challenge)],
        "key": key,
        "seal_command": _seal_command(challenge, phases, key, uploader=request.user.username),
        "may_send": may_send,
        "lacks_second_factor": may_send
        and roles.lacks_second_factor(request.user, roles.role_of(request.user, challenge)),
        "limit_bytes": label_uploads.limit_bytes(),
    }
    return render(request, "web/desk_labels.html", context)


@page_view("POST", sign_in=True)
def act(request: SignedInRequest, slug: str, act: str) -> HttpResponse:
    """Do one of the acts of the page of labels and go back to it; a refusal is told there."""
    challenge = desk.challenge_of(request, slug)
    if act not in ACTS:
        raise refuse("not-found")
    try:
        messages.success(request, ACTS[act](request, challenge))
    except NotAllowed:
        raise
    except Refusal as refusal:
        messages.error(request, str(refusal))
    return redirect("web:desk-labels", slug)


def _seal_command(
    challenge: Challenge, phases: list[Phase], key: ShownKey | None, *, uploader: str
) -> str:
    """Return the command that seals offline; its fingerprint is told elsewhere."""
    phase = phases[0].slug if phases else "PHASE"
    return (
        "python -m scoring seal --masks masks.zip --out masks.sealed \\\n"
        f"  --challenge {challenge.slug} --phase {phase} --uploader {shlex.quote(uploader)} \\\n"
        f"  --key {key.public_key if key else 'KEY'} \\\n"
        "  --fingerprint …"
    )


def _install(request: SignedInRequest, challenge: Challenge) -> str:
    roles.require(request.user, Act.LABELS, challenge)
    named = request.POST.get("phase", "")
    phase = next((one for one in selector.phases_of(challenge) if one.slug == named), None)
    try:
        upload_id = UUID(request.POST.get("upload", ""))
    except ValueError:
        raise refuse("upload-not-found") from None
    if phase is None:
        raise refuse("not-found")
    label_jobs.create(
        phase=phase, upload_id=upload_id, actor=request.user, public_share=_share(request)
    )
    return gettext("The sealed labels arrived. The labels worker installs them.")


def _share(request: SignedInRequest) -> float | None:
    """Return the public part that the form asks for, in percent there; None for no split."""
    typed = request.POST.get("public_share", "").strip().replace(",", ".")
    if not typed:
        return None
    try:
        return float(typed) / 100
    except ValueError:
        raise refuse("labels-share-invalid", found=typed[:20]) from None


def _cancel(request: SignedInRequest, challenge: Challenge) -> str:
    label_jobs.cancel(job=_job(request, challenge), actor=request.user)
    return gettext("Cancelled; the sealed file is deleted.")


def _requeue(request: SignedInRequest, challenge: Challenge) -> str:
    label_jobs.requeue(job=_job(request, challenge), actor=request.user)
    return gettext("The labels wait for their worker again.")


def _job(request: SignedInRequest, challenge: Challenge) -> LabelJob:
    number = request.POST.get("job", "")
    if not number.isdecimal() or len(number) > 18:
        raise refuse("not-found")
    return selector.job(challenge, int(number))


def _shown(job: LabelJob) -> ShownJob:
    name, tone = STATES[job.state]
    ours = job.state == LabelState.FAILED
    fallback = _("The labels worker could not do it. Ask who runs the site to look at its log.")
    reason = REASONS.get(job.error_code, fallback) if job.error_code else ""
    if job.error_code == "labels-invalid":
        reason = f"{reason} {job.error_message}"
    return ShownJob(
        job=job,
        state=str(name),
        tone=tone,
        reason=str(reason),
        problems=[_problem(one) for one in job.problems],
        may_cancel=ours or job.state == LabelState.QUEUED,
        may_requeue=ours,
    )


def _problem(document: dict[str, Any]) -> str:
    problem = Problem.from_json(document)
    words = MASK_PROBLEMS.get(problem.code)
    if words is None:
        return problem.text("fr" if get_language() == "fr" else "en")
    return gettext("%(file)s: %(problem)s") % {"file": problem.file, "problem": words}


ACTS: dict[str, Callable[[SignedInRequest, Challenge], str]] = {
    "install": _install,
    "cancel": _cancel,
    "requeue": _requeue,
}
