"""Tables and constraints; no behaviour that reaches out."""

from challenge.models.announcements import Announcement
from challenge.models.challenges import (
    Challenge,
    GroundTruth,
    Phase,
    TaskSpec,
)
from challenge.models.comparisons import PixelComparison, PixelComparisonEvent
from challenge.models.disqualifications import TeamDisqualification
from challenge.models.documents import DocumentRequest, WinnerDocument
from challenge.models.events import AuditEvent, Webhook, WebhookDelivery
from challenge.models.galleries import Gallery, GalleryEvent
from challenge.models.grants import Grant
from challenge.models.kits import PracticeKit
from challenge.models.labels import LabelJob, LabelJobEvent, LabelKey
from challenge.models.mailboxes import FormerMembership, Mailbox
from challenge.models.mails import OutgoingMail
from challenge.models.maintenance import MaintenancePeriod
from challenge.models.messages import Message, MessageDelivery
from challenge.models.pages import Page, PageVersion, SitePage
from challenge.models.people import ApiToken, User
from challenge.models.pictures import PatchPictures, PatchPicturesEvent
from challenge.models.rescores import Rescore, RescoreEvent
from challenge.models.results import FinalResult, LeaderboardState, PublishedResult
from challenge.models.roles import ChallengeRole
from challenge.models.submissions import (
    Evaluation,
    EvaluationEvent,
    QuotaLine,
    RankLine,
    Score,
    StagedScore,
    Submission,
    Upload,
)
from challenge.models.teams import (
    AdmissionEntry,
    Entry,
    Invitation,
    Membership,
    MergeRequest,
    Registration,
    Team,
    TermsAcceptance,
)
from challenge.models.training import TrainingEvent, TrainingPoint, TrainingRun

__all__ = [
    "AdmissionEntry",
    "Announcement",
    "ApiToken",
    "AuditEvent",
    "Challenge",
    "ChallengeRole",
    "DocumentRequest",
    "Entry",
    "Evaluation",
    "EvaluationEvent",
    "FinalResult",
    "FormerMembership",
    "Gallery",
    "GalleryEvent",
    "Grant",
    "GroundTruth",
    "Invitation",
    "LabelJob",
    "LabelJobEvent",
    "LabelKey",
    "LeaderboardState",
    "Mailbox",
    "MaintenancePeriod",
    "Membership",
    "MergeRequest",
    "Message",
    "MessageDelivery",
    "OutgoingMail",
    "Page",
    "PageVersion",
    "PatchPictures",
    "PatchPicturesEvent",
    "Phase",
    "PixelComparison",
    "PixelComparisonEvent",
    "PracticeKit",
    "PublishedResult",
    "QuotaLine",
    "RankLine",
    "Registration",
    "Rescore",
    "RescoreEvent",
    "Score",
    "SitePage",
    "StagedScore",
    "Submission",
    "TaskSpec",
    "Team",
    "TeamDisqualification",
    "TermsAcceptance",
    "TrainingEvent",
    "TrainingPoint",
    "TrainingRun",
    "Upload",
    "User",
    "Webhook",
    "WebhookDelivery",
    "WinnerDocument",
]
