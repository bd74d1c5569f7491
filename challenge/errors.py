"""What the platform refuses, and how it says so.

A ``Refusal`` is shown alike as a form error and as problem JSON (RFC 9457): its code is stable,
its message says what was found, what is allowed and what to do. Every code is in ``CATALOGUE``,
which makes this file long: one place to read, to translate and to document them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.http import JsonResponse
from django.utils import timezone
from django.utils.functional import Promise, lazy
from django.utils.translation import gettext_lazy as _

from challenge.formats import day_text


class Refusal(Exception):
    """The request is understood and declined; nothing was written.

    ``code`` is a stable kebab-case word, ``message`` the API's words, ``page`` those for who sees
    a page (as ``str`` gives them; both possibly a lazy translation), ``params`` are plain values
    that scripts may read, ``status`` is the HTTP status of the API's answer.
    """

    status = 422

    def __init__(
        self,
        code: str,
        message: str | Promise,
        *,
        status: int | None = None,
        page: str | Promise | None = None,
        **params: Any,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.page = message if page is None else page
        self.params = params
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        return str(self.page)


class NotAllowed(Refusal):
    """The person may not do this, whatever the state of things."""

    status = 403


class NotFound(Refusal):
    """There is no such thing, or it is hidden from this person: the two look alike."""

    status = 404


class Conflict(Refusal):
    """The thing has moved on since the person looked: an illegal move, a lost race."""

    status = 409


class QuotaExceeded(Refusal):
    """No submission is left for now; ``params['refills_at']`` says when there will be."""

    status = 429


class TooLarge(Refusal):
    """More bytes than allowed."""

    status = 413


class Gone(Refusal):
    """It was there and its time has passed."""

    status = 410


@dataclass(frozen=True)
class Kind:
    """One line of the catalogue: the class (and with it the HTTP status) and the message.

    ``page``: the words for who sees a page, where ``message`` speaks to programs (of headers,
    tokens, offsets); None: they are the same.
    """

    family: type[Refusal]
    message: str | Promise
    own_status: int | None = None
    page: str | Promise | None = None

    @property
    def status(self) -> int:
        return self.own_status or self.family.status


CATALOGUE: dict[str, Kind] = {
    "not-found": Kind(NotFound, _("There is no such thing here, or it is not for you to see.")),
    "not-organiser": Kind(NotAllowed, _("Only the organisers of %(challenge)s may do this.")),
    "not-operator": Kind(NotAllowed, _("Only the operators of this site may do this.")),
    "role-missing": Kind(
        NotAllowed,
        _(
            "You are %(role)s in %(challenge)s; this is for the roles: %(allowed)s. An owner can "
            "change your role."
        ),
    ),
    "role-held": Kind(
        Conflict,
        _("%(email)s already has the role %(role)s here: an owner can change it in the list."),
    ),
    "role-unknown": Kind(Refusal, _("“%(role)s” is no role; allowed are %(allowed)s.")),
    "role-expiry-invalid": Kind(
        Refusal,
        _("A role's last day must be today or later, written like 2027-03-31, or empty."),
    ),
    "last-owner": Kind(
        Conflict,
        _("%(challenge)s needs an owner whose role has no end: make somebody else owner first."),
    ),
    "second-factor-missing": Kind(
        NotAllowed,
        _(
            "As %(role)s you may read without a second factor, and change things with one: switch "
            "it on under “Two-factor” in your account (an app that shows codes), then come back."
        ),
    ),
    "not-registered": Kind(
        NotAllowed,
        _("You do not take part in %(challenge)s yet: register and accept its rules first."),
    ),
    "registration-pending": Kind(
        NotAllowed,
        _("Your registration to %(challenge)s waits for the organisers' approval."),
    ),
    "registration-refused": Kind(
        NotAllowed,
        _("The organisers refused your registration to %(challenge)s: write to them."),
    ),
    "terms-outdated": Kind(
        Conflict,
        _(
            "You accepted version %(accepted)s of the rules; version %(current)s is in "
            "force: read and accept it."
        ),
    ),
    "account-inactive": Kind(NotAllowed, _("This account is closed.")),
    "phase-upcoming": Kind(
        Conflict,
        _("This phase opens at %(opens_at)s (UTC); nothing can be submitted before."),
    ),
    "phase-closed": Kind(
        Conflict,
        _("This phase closed at %(closes_at)s (UTC); nothing can be submitted any more."),
    ),
    "phase-not-ready": Kind(
        Conflict,
        _("The labels of this phase are not installed yet; it takes submissions once they are."),
    ),
    "quota-day-used": Kind(
        QuotaExceeded,
        _(
            "Your team has used up today's submissions (%(limit)s a UTC day); "
            "next at %(refills_at)s."
        ),
    ),
    "quota-total-used": Kind(
        QuotaExceeded,
        _("Your team has used up its submissions of this phase (%(limit)s in all)."),
    ),
    "quota-invalid-used": Kind(
        QuotaExceeded,
        _(
            "Your team has used up today's invalid or withdrawn archives (%(limit)s a UTC day); "
            "check the next one before sending, from %(refills_at)s on."
        ),
    ),
    "archive-too-large": Kind(
        TooLarge,
        _("The archive is larger than %(limit_bytes)s bytes, the most this phase takes."),
    ),
    "archive-empty": Kind(Refusal, _("The file is empty; a zip of predictions is wanted.")),
    "kit-source-unreadable": Kind(
        Refusal,
        _(
            "%(source)s is neither a folder nor a zip that can be read (%(reason)s): give one with "
            "an image of each patch of the phase."
        ),
    ),
    "kit-images-missing": Kind(
        Refusal,
        _(
            "%(source)s lacks the images of %(missing)s of the phase's %(expected)s patches, the "
            "first is %(first)s: every patch needs one TIFF whose name ends with its id."
        ),
    ),
    "kit-image-twice": Kind(
        Refusal,
        _("%(file)s: the patch %(patch)s already has the image %(other)s; leave one of them."),
    ),
    "kit-image-like-mask": Kind(
        Refusal,
        _(
            "%(file)s: one band of 8 bits, as masks have, and not in a folder called images. "
            "Nothing is published. If these are images, put them into such a folder; masks of "
            "scored patches do not belong here."
        ),
    ),
    "kit-image-unusable": Kind(
        Refusal,
        _(
            "%(file)s: found %(found)s; needed is a TIFF of %(height)s × %(width)s px and at most "
            "%(limit_mb)s MB."
        ),
    ),
    "kit-extra-unusable": Kind(
        Refusal,
        _(
            "%(file)s: found %(found)s. Dates are days such as 2021-05-28; a series is an array of "
            "integers [dates, bands, rows, columns] with one product for each date. Correct the "
            "file or leave it out."
        ),
    ),
    "kit-too-large": Kind(
        TooLarge,
        _("The kit would be larger than %(limit_gb)s GB: name where the images are instead."),
    ),
    "archive-unreachable": Kind(
        Refusal, _("The archives cannot be reached at the moment: try again in a minute."), 503
    ),
    "archive-missing": Kind(
        Conflict,
        _("The stored archive is no longer there: upload it again."),
    ),
    "archive-removed": Kind(
        Gone,
        _(
            "This archive was removed on %(removed_at)s: those of the best and of chosen "
            "submissions are kept. Its score and its receipt stay."
        ),
    ),
    "archive-needed": Kind(
        Conflict,
        _("This archive has to stay: its submission waits, or stands on the board, or is chosen."),
    ),
    "archive-awaits-reveal": Kind(
        Conflict,
        _(
            "This archive has to stay until the private zones of its phase are revealed: its "
            "final score may be computed from it."
        ),
    ),
    "team-archives-full": Kind(
        TooLarge,
        _(
            "Your team's archives would hold %(found_bytes)s bytes; allowed are "
            "%(allowed_bytes)s: remove archives of earlier submissions, or uploads that were not "
            "submitted."
        ),
    ),
    "upload-incomplete": Kind(
        Conflict,
        _("This upload is not complete yet: send the rest first."),
        page=_(
            "The upload has not arrived in full: choose the same file and submit again; it goes "
            "on where it stopped."
        ),
    ),
    "archive-repeated": Kind(
        Conflict,
        _(
            "Your team submitted this very archive before, as #%(number)s: it would get the same "
            "score and cost a place of your quota. Tick the box to submit it again all the same."
        ),
    ),
    "labels-not-sealed": Kind(
        Refusal,
        _(
            "The file is not sealed, and was deleted: choose the zip of masks on the desk's page "
            "of labels, which seals it, or seal it with python -m scoring seal."
        ),
    ),
    "labels-share-invalid": Kind(
        Refusal,
        _(
            "The public part is %(found)s %% of the labels: give a share between 0 and 100, or "
            "leave it empty."
        ),
    ),
    "labels-upload-used": Kind(Conflict, _("These sealed labels were sent already.")),
    "labels-upload-count": Kind(
        QuotaExceeded,
        _(
            "You have %(limit)s files of sealed labels on the server: wait until they are "
            "installed, or cancel one."
        ),
    ),
    "labels-phase-missing": Kind(
        Refusal,
        _("Sealed labels are for a phase: name it in Upload-Metadata as CHALLENGE/PHASE."),
        400,
        page=_("Sealed labels are for a phase: load the page of labels anew, and choose one."),
    ),
    "upload-used": Kind(Conflict, _("This upload was already submitted, as %(submission)s.")),
    "upload-not-found": Kind(NotFound, _("There is no such upload, or it is not yours.")),
    "upload-expired": Kind(Gone, _("This upload has expired: start a new one.")),
    "upload-too-large": Kind(
        TooLarge, _("The file has %(found_bytes)s bytes; allowed are %(allowed_bytes)s.")
    ),
    "upload-longer-than-declared": Kind(
        TooLarge,
        _("More bytes than the %(declared_bytes)s that were declared."),
        page=_("The file has changed since its upload began: choose it again and submit."),
    ),
    "upload-quota": Kind(
        TooLarge,
        _(
            "Your uploads that were not submitted would hold %(found_bytes)s bytes; allowed are "
            "%(allowed_bytes)s: submit or delete one."
        ),
    ),
    "upload-not-registered": Kind(
        NotAllowed,
        _("You take part in no challenge yet: accept the rules of one on its page, then upload."),
    ),
    "upload-count": Kind(
        QuotaExceeded,
        _("You have %(limit)s uploads that were not submitted: submit or delete one."),
    ),
    "upload-disk-full": Kind(
        Refusal,
        _("The server has no room at the moment; what was received is kept. Resume later."),
        507,
    ),
    "upload-offset": Kind(
        Conflict,
        _(
            "The upload holds %(offset_bytes)s bytes, not %(given_bytes)s: ask for the offset "
            "and resume there."
        ),
        page=_(
            "The upload stopped elsewhere than expected: submit again; it goes on where it stopped."
        ),
    ),
    "upload-locked": Kind(
        Refusal,
        _("Another request is writing to this upload: wait for it to end, then resume."),
        423,
        page=_(
            "This file is being sent already, perhaps in another tab: let that end, then submit "
            "again."
        ),
    ),
    "upload-checksum": Kind(
        Refusal,
        _("The bytes received do not match Upload-Checksum and were dropped: send them again."),
        460,
        page=_(
            "A part of the file was damaged on its way and was dropped: submit again; it goes "
            "on where it stopped."
        ),
    ),
    "upload-not-ready": Kind(
        Conflict, _("The upload is still being stored: try again in a moment.")
    ),
    "upload-streams-busy": Kind(
        Refusal,
        _("Too many uploads are running at the moment: resume in a few seconds."),
        503,
    ),
    "download-streams-busy": Kind(
        Refusal,
        _("Too many downloads are running at the moment: try again in a few seconds."),
        503,
    ),
    "passwords-busy": Kind(
        Refusal, _("Too many passwords are being checked: try again in a few seconds."), 503
    ),
    "site-unavailable": Kind(
        Refusal,
        _("The site cannot answer at the moment: try again in a few seconds."),
        503,
    ),
    "maintenance": Kind(
        Refusal,
        _(
            "The site is in maintenance until about %(until)s: everything can be read, nothing "
            "can be submitted or changed. Nothing is lost; try again then."
        ),
        503,
    ),
    "upload-header-invalid": Kind(
        Refusal,
        _("%(header)s is “%(found)s”; allowed is %(allowed)s."),
        400,
        page=_(
            "This page sent something that the site does not understand: reload it and try again."
        ),
    ),
    "upload-metadata-too-large": Kind(
        TooLarge,
        _("Upload-Metadata has %(length)s characters; allowed are %(limit)s."),
        page=_("The file's name is too long: give it a shorter one and choose it again."),
    ),
    "upload-length-required": Kind(
        Refusal,
        _("Send Content-Length; chunked transfer encoding is not accepted here."),
        411,
        page=_(
            "This page sent something that the site does not understand: reload it and try again."
        ),
    ),
    "upload-content-type": Kind(
        Refusal,
        _("Content-Type is “%(found)s”; allowed is %(allowed)s."),
        415,
        page=_(
            "This page sent something that the site does not understand: reload it and try again."
        ),
    ),
    "tus-version": Kind(
        Refusal,
        _("Tus-Resumable is “%(found)s”; this server speaks %(version)s."),
        412,
        page=_("This page is older than the site: reload it and try again."),
    ),
    "not-authenticated": Kind(
        NotAllowed,
        _("Log in: send “Authorization: Bearer” and a token of your account page."),
        401,
        page=_("You are signed out: sign in and try again."),
    ),
    "token-invalid": Kind(
        NotAllowed,
        _("This token is not valid: mistyped, expired or revoked. Make a new one."),
        401,
        page=_("You are signed out: sign in and try again."),
    ),
    "csrf-failed": Kind(
        NotAllowed,
        _("The CSRF token is missing or wrong: send it in the header X-CSRFToken."),
        page=_(
            "This page was open for long, or you signed in again meanwhile: reload it and try "
            "again."
        ),
    ),
    "too-many-requests": Kind(QuotaExceeded, _("Too many requests: wait %(retry_after_s)s s.")),
    "method-not-allowed": Kind(
        Refusal,
        _("%(method)s is not possible here; allowed are %(allow)s."),
        405,
        page=_("This cannot be done at this address: go back, reload the page and try again."),
    ),
    "request-invalid": Kind(
        Refusal,
        _("The request cannot be understood; “errors” says where and why."),
        page=_("Something in the form is not valid: go back, reload the page and try again."),
    ),
    "score-not-ready": Kind(Conflict, _("There is no score; the submission is %(state)s.")),
    "score-hidden": Kind(NotAllowed, _("The organisers show the scores of this phase later.")),
    "body-unreadable": Kind(
        Refusal,
        _("The request's body is no valid JSON."),
        400,
        page=_(
            "This page sent something that the site does not understand: reload it and try again."
        ),
    ),
    "body-too-large": Kind(
        TooLarge,
        _("The request's body is too large; allowed are %(allowed_bytes)s bytes."),
        page=_("The form has more text than the site takes: shorten it."),
    ),
    "body-too-complex": Kind(
        Refusal,
        _(
            "The JSON body has too many values; allowed are %(values)s values on %(depth)s levels, "
            "far more than any operation takes."
        ),
        400,
        page=_("The form has more fields than the site takes: shorten it."),
    ),
    "request-refused": Kind(Refusal, _("The request was refused as it stands."), 400),
    "server-error": Kind(
        Refusal, _("Something broke on our side and was logged; please try again later."), 500
    ),
    "webhook-url-invalid": Kind(Refusal, _("“%(url)s” cannot be called: %(reason)s.")),
    "webhook-limit": Kind(Conflict, _("You have %(limit)s webhooks: delete one first.")),
    "cursor-invalid": Kind(
        Refusal,
        _("This cursor is not one of ours: begin again without it."),
        page=_("This page of the list is no longer there: begin again at its start."),
    ),
    "baseline-not-allowed": Kind(NotAllowed, _("Only the platform's own team submits baselines.")),
    "method-name-missing": Kind(
        Refusal,
        _("The method needs a name of 1 to %(limit)s characters."),
    ),
    "field-too-long": Kind(
        Refusal,
        _("%(field)s has %(length)s characters; allowed are %(limit)s."),
    ),
    "url-invalid": Kind(
        Refusal,
        _("%(field)s is no web address: it must start with http:// or https://."),
    ),
    "seconds-invalid": Kind(Refusal, _("%(field)s must be a number of seconds above 0.")),
    "illegal-move": Kind(Conflict, _("It is %(state)s now and cannot become %(wanted)s.")),
    "late-worker": Kind(
        Conflict,
        _("Attempt %(attempt)s is over; this worker was given up and its result is refused."),
    ),
    "reason-missing": Kind(Refusal, _("Say why: the team reads this reason.")),
    "already-disqualified": Kind(Conflict, _("This submission is already disqualified.")),
    "team-disqualified": Kind(
        NotAllowed,
        _(
            "The organisers disqualified the team %(team)s: it can neither submit nor merge. Their "
            "reason: %(reason)s"
        ),
    ),
    "team-already-disqualified": Kind(Conflict, _("The team %(team)s is already disqualified.")),
    "team-not-disqualified": Kind(Conflict, _("The team %(team)s is not disqualified.")),
    "admission-line-invalid": Kind(
        Refusal,
        _(
            "Line %(line)s has “%(found)s”, which is neither an address (name@domain) nor a domain "
            "(@domain). Wrong lines in all: %(bad)s. Nothing was saved."
        ),
    ),
    "admission-empty": Kind(Refusal, _("The list has no address and no domain.")),
    "admission-too-long": Kind(
        Refusal,
        _("The list has more than %(limit)s lines: save it in several parts."),
    ),
    "admission-not-text": Kind(
        Refusal,
        _("The file is not text in UTF-8: save it as “CSV UTF-8” and send it again."),
    ),
    "message-empty": Kind(
        Refusal,
        _("Write a subject and a text, in one language at least; none of them alone."),
    ),
    "message-audience-invalid": Kind(
        Refusal,
        _(
            "There is no “%(found)s” to choose recipients by: take a phase of this challenge, and "
            "with it who submitted or a rank from 1."
        ),
    ),
    "message-nobody": Kind(Refusal, _("Nobody would get this message: choose other recipients.")),
    "message-audience-changed": Kind(
        Conflict,
        _("The preview counted %(expected)s recipients, now there are %(found)s: look again."),
    ),
    "messages-often": Kind(
        Refusal,
        _("This challenge sent %(limit)s messages in a day: wait until tomorrow."),
        429,
    ),
    "form-invalid": Kind(Refusal, _("%(field)s: %(problem)s")),
    "grant-empty": Kind(
        Refusal,
        _("Grant a late entry, or between 1 and %(limit)s extra places, or both."),
    ),
    "grant-until-invalid": Kind(Refusal, _("A grant must end later than now.")),
    "grant-late-before-close": Kind(
        Refusal,
        _("A late entry must end after the close of its phase, which must have one."),
    ),
    "grant-disclosed": Kind(
        Conflict,
        _(
            "Values of this phase could be seen in full precision from %(since)s (UTC): nobody can "
            "be granted to submit to it any more."
        ),
    ),
    "grant-over": Kind(Conflict, _("This grant is over or withdrawn.")),
    "registration-lines-undecided": Kind(
        Conflict,
        _(
            "%(team)s, the team of %(person)s, has submitted: say what becomes of its lines on the "
            "leaderboards, “keep” or “remove”."
        ),
    ),
    "not-disqualified": Kind(Conflict, _("This submission is not disqualified.")),
    "finals-not-used": Kind(
        Conflict,
        _("In this phase each team's best submission counts: none is chosen for the ranking."),
    ),
    "finals-limit": Kind(
        Conflict,
        _("A team may choose %(limit)s submissions for the final ranking: drop one first."),
    ),
    "finals-not-scored": Kind(
        Conflict,
        _("A submission that got no score cannot be chosen for the final ranking."),
    ),
    "finals-closed": Kind(
        Conflict,
        _("The phase is settled: the choice for the final ranking stands."),
    ),
    "nothing-to-rescore": Kind(Conflict, _("There is no submission to score again.")),
    "rescore-unconfirmed": Kind(
        Conflict,
        _(
            "%(count)s submissions would be queued again, behind live ones, and %(left)s left as "
            "they are; each new score counts as soon as it is there. Nothing was queued: confirm "
            "this (confirmation: %(confirmation)s)."
        ),
        page=_(
            "Submissions queued again, behind live ones: %(count)s. Left as they are (they wait "
            "already, are scored, or their archive was removed): %(left)s. Each new score counts "
            "as soon as it is there, so that the leaderboard changes line by line. Earlier scores "
            "stay recorded and no quota is charged."
        ),
    ),
    "rescore-confirmation-stale": Kind(
        Conflict,
        _(
            "What was confirmed is no longer what would be queued: now %(count)s submissions, and "
            "%(left)s stay as they are. Nothing was queued: confirm this (confirmation: "
            "%(confirmation)s)."
        ),
        page=_(
            "It is no longer as you confirmed it: submissions queued again: %(count)s, left as "
            "they are: %(left)s. Nothing was queued yet."
        ),
    ),
    "switch-unconfirmed": Kind(
        Conflict,
        _(
            "Submissions queued behind live ones under the wanted labels and task: %(count)s. Left"
            " as they are: %(left)s. The leaderboard stays as it is until the re-score is "
            "published, and new submissions are scored under both until then."
        ),
    ),
    "switch-confirmation-stale": Kind(
        Conflict,
        _(
            "It is no longer as you confirmed it: submissions queued: %(count)s, left as they are:"
            " %(left)s. Nothing was queued yet."
        ),
    ),
    "rescore-open": Kind(
        Conflict,
        _(
            "A re-score of this phase has not ended: publish it or give it up before you ask for "
            "another."
        ),
    ),
    "comparison-open": Kind(
        Conflict,
        _("A comparison of this phase has not ended: wait for it or cancel it, then ask again."),
    ),
    "comparison-size-invalid": Kind(
        Refusal,
        _(
            "%(found)s submissions are too many for one comparison; allowed are 0 to %(allowed)s. "
            "Compare fewer teams or name fewer submissions."
        ),
    ),
    "comparison-submission-unknown": Kind(
        Refusal,
        _("%(submission)s is no submission of this phase: copy the id from its page's address."),
    ),
    "comparison-too-few": Kind(
        Refusal,
        _(
            "There are fewer than two teams to compare: wait for ranked submissions, or name "
            "submissions of two teams."
        ),
    ),
    "rescore-needs-archives": Kind(
        Refusal,
        _("Evidence is of the labels that count now: other labels need the archives."),
    ),
    "rescore-nothing-new": Kind(
        Refusal,
        _(
            "These labels and this task count already. Queue the submissions again in place of a "
            "re-score with preview, or choose other labels or another task."
        ),
    ),
    "rescore-stale": Kind(
        Conflict,
        _(
            "Something changed since the preview (a submission was scored, a verdict, a choice, "
            "other labels): nothing was published. Preview it again."
        ),
    ),
    "rescore-evidence-missing": Kind(
        Conflict,
        _(
            "Submissions that decide a line of the leaderboard and have neither evidence nor a "
            "score under these labels and this task: %(count)s. Nothing was published. Score them "
            "from "
            "their archives, wait, and preview again."
        ),
    ),
    "too-many-signups": Kind(
        QuotaExceeded,
        _(
            "Too many sign-ups with addresses of this mailbox (capitals and +tags make no other "
            "mailbox): try again in %(minutes)s minutes."
        ),
    ),
    "mailbox-registered": Kind(
        Conflict,
        _(
            "Another account with an address of the same mailbox takes part in this challenge "
            "already (capitals and +tags make no other mailbox). Log in with that account."
        ),
    ),
    "wrong-challenge": Kind(Refusal, _("This belongs to another challenge.")),
    "not-captain": Kind(NotAllowed, _("Only the captain of the team may do this.")),
    "not-a-member": Kind(NotAllowed, _("You are not in this team.")),
    "team-name-taken": Kind(
        Conflict,
        _("Another team of this challenge is called “%(name)s”: choose another name."),
    ),
    "team-name-alike": Kind(
        Conflict,
        _("“%(name)s” looks like the name of another team of this challenge: choose another name."),
    ),
    "username-alike": Kind(
        Conflict,
        _("“%(name)s” is, or looks like, the name of another person: choose another name."),
    ),
    "name-reserved": Kind(
        Refusal,
        _(
            "“%(name)s” sounds like those who run this site or a challenge, or is kept for them: "
            "choose another name."
        ),
    ),
    "name-invisible": Kind(
        Refusal,
        _("The name holds characters that cannot be seen, or no letter or digit: type it anew."),
    ),
    "team-name-invalid": Kind(
        Refusal,
        _("A team's name has 2 to %(limit)s visible characters."),
    ),
    "already-in-team": Kind(
        Conflict,
        _("You are already in a team of this challenge: leave it first."),
    ),
    "team-full": Kind(Conflict, _("A team of this challenge has at most %(limit)s members.")),
    "team-has-submitted": Kind(
        Conflict,
        _("The team has already submitted: its members stay; teams can merge instead."),
    ),
    "captain-must-stay": Kind(
        Conflict,
        _("Hand the captain's role to a team mate before you leave."),
    ),
    "teams-frozen": Kind(Conflict, _("Teams could change until %(until)s (UTC).")),
    "invitation-open": Kind(
        Conflict,
        _(
            "%(email)s has an open invitation here, until %(expires_at)s: withdraw it to "
            "send another one."
        ),
    ),
    "invited-often": Kind(
        QuotaExceeded,
        _(
            "%(email)s was invited several times today, by whomever: try again tomorrow, or make a "
            "link and pass it on yourself."
        ),
    ),
    "invitation-over": Kind(
        Gone,
        _("This invitation is used, withdrawn or expired: ask who invited you for a new one."),
    ),
    "invitation-for-another": Kind(
        NotAllowed,
        _("This invitation was sent to another e-mail address: log in with that one."),
    ),
    "email-invalid": Kind(Refusal, _("“%(email)s” is no e-mail address.")),
    "merge-asked": Kind(Conflict, _("This was already asked and waits for an answer.")),
    "merge-answered": Kind(Conflict, _("This request was already answered.")),
    "merge-same-team": Kind(Refusal, _("A team cannot merge with itself.")),
    "merge-quota": Kind(
        Conflict,
        _("Together the teams would have used %(used)s of %(limit)s submissions of a phase."),
    ),
    "token-name-missing": Kind(
        Refusal,
        _("The token needs a name of 1 to %(limit)s characters, so that you know it later."),
    ),
    "token-scopes-invalid": Kind(
        Refusal,
        _("Unknown scopes: %(unknown)s; allowed are %(allowed)s, at least one."),
    ),
    "token-expiry-past": Kind(Refusal, _("The token would expire in the past.")),
    "token-limit": Kind(Conflict, _("You have %(limit)s tokens: revoke one first.")),
    "token-scope-missing": Kind(
        NotAllowed,
        _("This token does not have the scope “%(scope)s”."),
        page=_("You are signed out: sign in and try again."),
    ),
    "account-leads-team": Kind(
        Conflict,
        _("You are captain of %(teams)s: hand the role to a team mate first."),
    ),
    "account-last-organiser": Kind(
        Conflict,
        _("You are the only owner of %(challenges)s: name another one first."),
    ),
    "phase-not-closed": Kind(Conflict, _("The phase is not closed: nothing is to be settled.")),
    "phase-settled": Kind(Conflict, _("The phase was settled on %(since)s (UTC).")),
    "reveal-no-private-zones": Kind(
        Conflict,
        _("The phase has no private zones: its labels were installed without any."),
    ),
    "reveal-no-close": Kind(
        Conflict,
        _(
            "The phase, or another one on its labels, has no close: set one, and reveal the "
            "private zones after it."
        ),
    ),
    "reveal-too-early": Kind(
        Conflict,
        _(
            "The last phase or late entry on these labels closes at %(until)s (UTC): reveal the "
            "private zones after that, since whoever still submits could aim at what is revealed."
        ),
    ),
    "reveal-waits": Kind(
        Conflict,
        _("Evaluations without a verdict: %(n)s. Wait for the workers, or withdraw them."),
    ),
    "reveal-not-settled": Kind(
        Conflict,
        _(
            "The phase is not settled: until %(minutes)s minutes after the close and the last "
            "verdict teams choose their submissions. Wait, or settle it on the desk."
        ),
    ),
    "reveal-asked": Kind(
        Conflict, _("The reveal was asked for already: a worker is at it, or will be.")
    ),
    "result-waits": Kind(
        Conflict,
        _("Evaluations without a verdict: %(n)s. Wait for the workers, or withdraw them."),
    ),
    "documents-count-invalid": Kind(
        Refusal,
        _("%(found)s teams cannot be asked at once; allowed are 1 to %(allowed)s."),
    ),
    "documents-wanted-missing": Kind(
        Refusal, _("Say what the teams must send: they read these words.")
    ),
    "documents-deadline-invalid": Kind(
        Refusal, _("The deadline has passed already: choose a moment that is still to come.")
    ),
    "documents-nobody-left": Kind(
        Conflict, _("Every team with a rank was asked already: there is nobody next in line.")
    ),
    "documents-empty": Kind(Refusal, _("Give a file or a web address, one of the two.")),
    "documents-file-invalid": Kind(
        Refusal,
        _("%(file)s is no file of the wanted kind; allowed are: %(allowed)s."),
    ),
    "documents-file-too-large": Kind(
        TooLarge,
        _("%(file)s has %(found_mb)s MB; allowed are %(limit_mb)s MB. Give a web address instead."),
    ),
    "documents-decided": Kind(
        Conflict, _("The organisers have accepted or refused these documents already.")
    ),
    "documents-late": Kind(
        Conflict,
        _("The deadline for documents was %(deadline)s UTC: ask the organisers for another one."),
    ),
    "documents-not-delivered": Kind(
        Conflict, _("The team has delivered nothing yet that could be accepted.")
    ),
    "result-not-settled": Kind(
        Conflict,
        _("The phase is not closed and settled yet: only then its result is signed."),
    ),
    "result-not-revealed": Kind(
        Conflict,
        _("The private zones are not revealed yet: the final result counts them."),
    ),
    "result-frozen": Kind(
        Conflict,
        _("The leaderboard is frozen: lift the freeze, so that every score counts, then sign."),
    ),
    "result-empty": Kind(Conflict, _("No team has a rank: there is nothing to sign.")),
    "result-changed-meanwhile": Kind(
        Conflict,
        _("The lines changed after you looked at them: nothing was signed. Look at them again."),
    ),
    "result-unchanged": Kind(
        Conflict,
        _("Version %(version)s says the same: nothing is to be signed."),
    ),
    "state-board-hidden": Kind(
        Conflict,
        _("The organisers show this leaderboard later: a state of it can be kept then."),
    ),
    "state-withheld": Kind(
        Conflict,
        _(
            "This state is withheld: it has more than the leaderboard may show now. It comes back "
            "once the organisers show as much again."
        ),
    ),
    "states-used-up": Kind(
        QuotaExceeded,
        _(
            "%(limit)s states of this leaderboard were kept today, as many as are allowed: cite "
            "the last one, or keep another one tomorrow (UTC)."
        ),
    ),
    "result-reason-missing": Kind(
        Refusal,
        _("Say why there is another version: everybody reads this reason."),
    ),
    "copy-same-phase": Kind(
        Conflict, _("Choose another phase of this challenge to copy the submissions into.")
    ),
    "copy-source-not-settled": Kind(
        Conflict,
        _("The phase is not closed and settled yet: its best submissions may change."),
    ),
    "copy-target-settled": Kind(
        Conflict, _("The other phase is settled: nothing comes into it any more.")
    ),
    "copy-other-patches": Kind(
        Conflict,
        _(
            "The other phase has other patches: every archive of this one would be rejected. Add a "
            "phase with the same patches, or ask the teams to submit."
        ),
    ),
    "copy-nothing": Kind(
        Conflict,
        _("There is nothing to copy: no ranked submission whose archive is kept is missing there."),
    ),
    "copy-changed-meanwhile": Kind(
        Conflict,
        _("Other submissions would be copied now: nothing was copied. Look at them again."),
    ),
    "phase-window-invalid": Kind(Refusal, _("The phase would close before it opens.")),
    "phase-disclosed": Kind(
        Conflict,
        _(
            "Values of this phase could be seen in full precision from %(since)s (UTC): it cannot "
            "take submissions again on the same labels. Add a phase with other labels."
        ),
    ),
    "phase-changed-meanwhile": Kind(
        Conflict,
        _(
            "Somebody else changed this phase meanwhile: nothing was saved. Look at it as it is "
            "now and save again."
        ),
    ),
    "phase-unconfirmed": Kind(
        Conflict,
        _("This change has consequences (%(consequences)s) and was not confirmed."),
        page=_("This change has consequences: confirm them."),
    ),
    "phase-confirmation-stale": Kind(
        Conflict,
        _(
            "What was confirmed is no longer what the change means (%(consequences)s): nothing was "
            "saved. Confirm it as it is now."
        ),
        page=_(
            "What you confirmed is no longer what the change means: nothing was saved. Confirm it "
            "as it is now."
        ),
    ),
    "phase-text-invalid": Kind(
        Refusal,
        _('%(field)s must be texts by language, such as {"en": "Test", "fr": "Test"}.'),
    ),
    "phase-choice-invalid": Kind(Refusal, _("%(field)s is %(found)s; allowed are %(allowed)s.")),
    "phase-grace-invalid": Kind(
        Refusal,
        _("The grace is %(shortest)s to %(longest)s minutes."),
    ),
    "phase-slug-invalid": Kind(
        Refusal,
        _(
            "“%(slug)s” is no address of a phase: allowed are lower-case letters and digits, with "
            "single dashes between them, 50 at most, and not “new”."
        ),
    ),
    "phase-slug-taken": Kind(Conflict, _("The challenge has a phase “%(slug)s” already.")),
    "challenge-pages-missing": Kind(
        Refusal,
        _(
            "Pages that joining needs are missing: %(pages)s. Write them on the desk, or add them "
            "to the challenge's folder and load it, then publish."
        ),
    ),
    "challenge-creation-refused": Kind(
        NotAllowed,
        _(
            "This site lets you take part in challenges, not create one: ask its operator for the "
            "right to create challenges."
        ),
    ),
    "challenge-slug-invalid": Kind(
        Refusal,
        _(
            "“%(slug)s” is no address of a challenge: allowed are lower-case letters and digits, "
            "with single dashes between them, 50 at most, and not “new” or “import”."
        ),
    ),
    "challenge-slug-taken": Kind(
        Conflict, _("The address “%(slug)s” is taken on this site: choose another one.")
    ),
    "challenge-not-a-draft": Kind(
        Conflict,
        _(
            "“%(slug)s” was published or has submissions: its address stays, and it is not "
            "deleted. Hide it instead."
        ),
    ),
    "challenge-task-missing": Kind(
        Refusal, _("The task is not written yet: write it on the desk, then publish.")
    ),
    "challenge-deletion-unconfirmed": Kind(
        Refusal, _("Nothing was deleted: type the address “%(slug)s” to confirm.")
    ),
    "export-description-invalid": Kind(
        Conflict,
        _(
            "What the challenge says of itself would not be read back from an export: %(found)s. "
            "Put it right on the desk, then export again."
        ),
    ),
    "export-archive-refused": Kind(
        Refusal, _("The export cannot be read: %(found)s Nothing was imported.")
    ),
    "export-manifest-invalid": Kind(
        Refusal,
        _(
            "This is no export of a challenge: its manifest.json is missing or is none (found: "
            "%(found)s). Take the file that the desk or export_challenge wrote."
        ),
    ),
    "export-format-unknown": Kind(
        Refusal,
        _(
            "The export is of another format (found: %(found)s; allowed is %(allowed)s). Import it "
            "with the release that wrote it, or export it again."
        ),
    ),
    "export-members-differ": Kind(
        Refusal,
        _(
            "Members of the export and its manifest are not the same: %(found)s. Take the file as "
            "it was written; a zip that was packed again is none."
        ),
    ),
    "export-member-altered": Kind(
        Refusal,
        _(
            "%(member)s in the export is not what was written: it was altered or damaged. Copy the "
            "file again from where it was exported."
        ),
    ),
    "export-too-large": Kind(
        TooLarge,
        _(
            "%(member)s in the export has %(found)s bytes; allowed are %(allowed)s (*: all members "
            "but archives together)."
        ),
    ),
    "export-line-invalid": Kind(
        Refusal,
        _(
            "%(member)s in the export, line %(line)s, is not as the layout says "
            "(found: %(found)s). "
            "Export the challenge again; nothing was imported."
        ),
    ),
    "export-data-refused": Kind(
        Refusal,
        _(
            "The database refuses what the export says: %(found)s. Nothing was imported; export "
            "the challenge again, or import into an empty site."
        ),
    ),
    "import-challenge-exists": Kind(
        Conflict,
        _(
            "There is a challenge at the address %(slug)s already. An export is imported once, "
            "into a site that has none there."
        ),
    ),
    "import-account-taken": Kind(
        Conflict,
        _(
            "There is an account with the name or the address of %(username)s already. Allow "
            "accounts with the same name and address to be linked, or import an export without "
            "personal data."
        ),
    ),
    "import-submission-exists": Kind(
        Conflict,
        _(
            "Submission %(submission)s is on this site already: the challenge was imported once "
            "under another address. Nothing was imported."
        ),
    ),
    "bundle-archive-refused": Kind(
        Refusal, _("The bundle cannot be read: %(found)s Nothing was imported.")
    ),
    "bundle-yaml-missing": Kind(
        Refusal,
        _(
            "The archive holds no competition.yaml at its top or in its one folder (found: "
            "%(found)s): give the bundle of a CodaLab or Codabench competition."
        ),
    ),
    "bundle-yaml-invalid": Kind(
        Refusal, _("competition.yaml cannot be read: %(found)s. Mend it and zip the bundle again.")
    ),
    "bundle-yaml-alias": Kind(
        Refusal,
        _("competition.yaml uses aliases (*name), which are not read: write their values out."),
    ),
    "bundle-text-too-large": Kind(
        Refusal, _("%(found)s is too large for a text: allowed is one megabyte.")
    ),
    "bundle-no-title": Kind(Refusal, _("competition.yaml has no title: add one.")),
    "bundle-no-phases": Kind(
        Refusal, _("competition.yaml describes no phase: add phases with their dates.")
    ),
    "bundle-dates-ambiguous": Kind(
        Refusal,
        _(
            "These dates may be read in two ways: %(found)s. Say whether the month or the day "
            "comes first; nothing was imported."
        ),
    ),
    "clone-days-invalid": Kind(
        Refusal, _("The new edition is 1 to %(allowed)s days later: give a number of days.")
    ),
    "task-in-use": Kind(
        Conflict,
        _(
            "Something was submitted: classes and policies can change, and count once a re-score "
            "is published; size, names and patterns of files cannot."
        ),
    ),
    "class-table-invalid": Kind(
        Refusal,
        _(
            "Line %(line)s of the classes: the column %(column)s holds “%(found)s”; write it like "
            "%(allowed)s."
        ),
    ),
    "page-slug-invalid": Kind(
        Refusal,
        _(
            "“%(slug)s” is no address of a page: allowed are lower-case letters and digits, with "
            "single dashes between them, 50 at most."
        ),
    ),
    "page-language-unknown": Kind(
        Refusal, _("“%(language)s” is no language of pages; allowed are %(allowed)s.")
    ),
    "languages-invalid": Kind(
        Refusal,
        _("The required languages are %(found)s; give at least one of %(allowed)s."),
    ),
    "text-language-missing": Kind(
        Refusal,
        _("%(field)s has no text in %(language)s, a language that this challenge requires."),
    ),
    "page-title-invalid": Kind(Refusal, _("A page has a title of 1 to %(allowed)s characters.")),
    "page-too-long": Kind(
        Refusal, _("The page has %(found)s characters; allowed are %(allowed)s.")
    ),
    "page-empty": Kind(Refusal, _("The page is empty: write it.")),
    "page-mark": Kind(
        Refusal,
        _("Line %(line)s: %(found)s stands for nothing; allowed are %(allowed)s."),
    ),
    "page-link": Kind(
        Refusal,
        _("Line %(line)s links to “%(found)s”, no page of this challenge; pages are %(allowed)s."),
    ),
    "page-changed-meanwhile": Kind(
        Conflict,
        _(
            "Somebody else saved this page since you opened it: nothing was saved. Look at the "
            "page as it is now, then save yours again or give it up."
        ),
    ),
    "page-needed": Kind(
        Refusal,
        _(
            "Joining leads through the page “%(slug)s”: it stays while the challenge is published. "
            "Change its text, or hide the challenge first."
        ),
    ),
    "zone-unknown": Kind(
        Refusal, _("“%(zone)s” is no time zone: give one such as Europe/Paris or UTC.")
    ),
    "phase-limit-invalid": Kind(
        Refusal,
        _("%(field)s must be a whole number above 0, or empty for no limit."),
    ),
    "phase-labels-shared": Kind(
        Refusal,
        _(
            "Public and hidden labels must have no patch in common: a phase with public labels "
            "shows every value at once."
        ),
    ),
    "phase-split-differs": Kind(
        Refusal,
        _(
            "The phase's scores count public zones alone and these labels have no split, or the "
            "other way round: install labels with the same split."
        ),
    ),
    "phase-field-unknown": Kind(
        Refusal,
        _("Unknown fields: %(unknown)s; allowed are %(allowed)s."),
    ),
    "seeds-invalid": Kind(Refusal, _("Give 1 to %(limit)s different seeds.")),
    "recipe-line-wrong": Kind(Refusal, _("The recipe's line %(line)s: %(reason)s")),
    "recipe-unusable": Kind(Refusal, _("The recipe cannot be used: %(reason)s")),
    "recipe-name-shipped": Kind(
        Refusal, _("“%(recipe)s” is the name of a shipped recipe; give yours another name.")
    ),
    "recipe-invalid": Kind(
        Refusal,
        _(
            "“%(recipe)s” is no recipe's name: allowed are letters, digits, dots, dashes "
            "and underscores."
        ),
    ),
}


def _fill(message: str | Promise, params: dict[str, Any]) -> str:
    return str(message) % {name: _said(value) for name, value in params.items()}


def _said(value: object) -> object:
    """A moment (ISO, with its offset) as people read it, in the viewer's zone and language."""
    if not isinstance(value, str):
        return value
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return value
    if at.tzinfo is None:
        return value
    local = timezone.localtime(at)
    return f"{day_text(local)} {local:%H:%M} {local.tzname() or 'UTC'}"


_fill_lazily = lazy(_fill, str)


def refuse(code: str, **params: Any) -> Refusal:
    """Return the refusal ``code`` of the catalogue, its message filled with ``params``.

    The message is translated when it is shown, not when it is raised. Raises KeyError for a code
    that the catalogue lacks.
    """
    kind = CATALOGUE[code]
    message = _fill_lazily(kind.message, params)
    page = None if kind.page is None else _fill_lazily(kind.page, params)
    return kind.family(code, message, status=kind.own_status, page=page, **params)


PROBLEM_CONTENT_TYPE = "application/problem+json"


def problem_response(
    refusal: Refusal, *, errors: list[dict[str, Any]] | None = None
) -> JsonResponse:
    """A refusal as an answer of the API or of the uploads, with the headers its status asks for.

    ``errors`` lists what is wrong with the request's fields.
    """
    body = as_problem(refusal)
    if errors is not None:
        body["errors"] = errors
    response = JsonResponse(body, status=refusal.status, content_type=PROBLEM_CONTENT_TYPE)
    if refusal.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="flair"'
    if (wait_s := refusal.params.get("retry_after_s")) is not None:
        response["Retry-After"] = str(wait_s)
    if (allow := refusal.params.get("allow")) is not None:
        response["Allow"] = str(allow)
    response["Cache-Control"] = "no-store"
    return response


def as_problem(refusal: Refusal) -> dict[str, Any]:
    """A refusal as problem JSON (RFC 9457) with our stable ``code`` and the plain ``params``.

    ``page`` holds the words for who sees a page, where they are others than ``detail``.

    >>> as_problem(Conflict("upload-offset", "The upload holds 5 bytes.", offset_bytes=5))["title"]
    'Conflict'
    """
    try:
        title = HTTPStatus(refusal.status).phrase
    except ValueError:  # 460 of tus is not in the registry
        title = refusal.code.replace("-", " ").capitalize()
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": refusal.status,
        "code": refusal.code,
        "detail": str(refusal.message),
        "params": refusal.params,
    }
    if str(refusal.page) != body["detail"]:
        body["page"] = str(refusal.page)
    return body
