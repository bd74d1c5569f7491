"""The words of the acts in a challenge's trail; the codes stay in its CSV and its addresses."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

ACTS: dict[str, str | Promise] = {
    "account.create": _("Account created"),
    "account.delete": _("Account deleted"),
    "account.rights": _("Rights of an account changed"),
    "admission.add": _("Added to the admission list"),
    "admission.remove": _("Taken off the admission list"),
    "announcement.change": _("Announcement changed"),
    "announcement.create": _("Announcement published"),
    "announcement.mailed": _("Announcement mailed"),
    "announcement.withdraw": _("Announcement withdrawn"),
    "archives.export": _("All archives downloaded"),
    "certificates.export": _("All certificates downloaded"),
    "challenge.clone": _("Next edition made"),
    "challenge.create": _("Challenge created"),
    "challenge.delete": _("Draft deleted"),
    "challenge.export": _("Whole challenge exported"),
    "challenge.hide": _("Challenge hidden"),
    "challenge.import": _("Challenge imported"),
    "challenge.languages": _("Required languages changed"),
    "challenge.load": _("Folder loaded"),
    "challenge.publish": _("Challenge published"),
    "challenge.rename": _("Address changed"),
    "challenge.time-zone": _("Time zone changed"),
    "comparison.cancel": _("Comparison of pixels given up"),
    "comparison.request": _("Comparison of pixels asked for"),
    "evaluation.requeue": _("Failed scoring queued again"),
    "grant.give": _("Grant given"),
    "grant.withdraw": _("Grant withdrawn"),
    "ground_truth.install": _("Labels installed"),
    "labels.cancel": _("Sent labels given up"),
    "labels.requeue": _("Sent labels queued again"),
    "labels.send": _("Sealed labels sent"),
    "message.send": _("Message sent"),
    "page.remove": _("Page removed"),
    "page.save": _("Page saved"),
    "phase.change": _("Phase changed"),
    "phase.copy-best": _("Best submissions copied"),
    "phase.create": _("Phase added"),
    "phase.oracle": _("Labels scored as predictions"),
    "phase.publish-truth": _("Labels or task put into force"),
    "phase.remove-archives": _("Archives removed after the close"),
    "phase.rescore": _("Submissions queued again"),
    "phase.rescore-publish": _("Re-score published"),
    "phase.reveal": _("Private zones revealed"),
    "phase.settle": _("Phase settled"),
    "registration.approve": _("Registration approved"),
    "registration.mode": _("Approval of registrations changed"),
    "registration.refuse": _("Registration refused"),
    "rescore.confirm": _("Re-score confirmed"),
    "rescore.give-up": _("Re-score given up"),
    "rescore.request": _("Re-score asked for"),
    "result.sign": _("Final result signed"),
    "role.accept": _("Role accepted"),
    "role.change": _("Role changed"),
    "role.invite": _("Invited to a role"),
    "role.leave": _("Role given up"),
    "role.revoke": _("Role revoked"),
    "role.withdraw-invitation": _("Invitation to a role withdrawn"),
    "submission.cancel": _("Submission withdrawn"),
    "submission.disqualify": _("Submission disqualified"),
    "submission.download": _("Archive downloaded"),
    "submission.reinstate": _("Submission reinstated"),
    "submission.remove-archive": _("Archive removed"),
    "submissions.export": _("Submissions exported"),
    "task.change": _("Task changed"),
    "team.disqualify": _("Team disqualified"),
    "team.merge": _("Teams merged"),
    "team.reinstate": _("Team reinstated"),
    "trail.export": _("Trail exported"),
    "training.cancel": _("Training run cancelled"),
    "training.create": _("Training run queued"),
    "training.requeue": _("Failed training run queued again"),
    "webhook.created": _("Webhook added"),
    "webhook.deleted": _("Webhook removed"),
}


def words(act: str) -> str:
    """Return what an act is called, in the page's language; of an act of another release its code.

    >>> words("phase.folded")
    'phase.folded'
    """
    return str(ACTS.get(act, act))
