"""Who takes part in the demo: an organiser and four teams. All of them are made up."""

from __future__ import annotations

from dataclasses import dataclass

from allauth.account.models import EmailAddress

from challenge.demo.data import Bend
from challenge.models import Challenge, Phase, Submission, User
from challenge.rules.roles import Role
from challenge.selectors import people
from challenge.services.challenges import roles
from challenge.services.submissions.submissions import MethodFacts
from challenge.services.teams import teams

ORGANISER = "organiser"


@dataclass(frozen=True)
class Try:
    """One submission of the demo; ``None`` for the bend: the pixel classifier's own zip."""

    key: str
    method: MethodFacts
    bend: Bend | None


@dataclass(frozen=True)
class Player:
    """A captain, a team and what it submits, in order."""

    username: str
    team: str
    affiliation: str
    tries: tuple[Try, ...]


PLAYERS = (
    Player(
        "bocage",
        "Les Haies vives",
        "École buissonnière de télédétection",
        (
            Try(
                "one-based",
                MethodFacts(
                    "First try, straight from the masks",
                    method_description="Forgot that predictions start at 0.",
                ),
                Bend(wander_px=2.0, confused=0.12, one_based=True),
            ),
            Try(
                "best",
                MethodFacts(
                    "Hedgerow-aware ensemble",
                    method_description="Five folds by domain, averaged; flips at test time.",
                    hardware="1 × RTX 3090",
                    baseline_seconds=410,
                    method_seconds=905,
                ),
                Bend(wander_px=2.0, confused=0.12),
            ),
        ),
    ),
    Player(
        "nadir",
        "Nadir & Zenith",
        "Institute of Imaginary Surveying",
        (
            Try(
                "good",
                MethodFacts(
                    "Wide U-Net with a height channel",
                    method_description="A U-Net that takes the surface height seriously.",
                ),
                Bend(wander_px=3.0, confused=0.22),
            ),
        ),
    ),
    Player(
        "pixel",
        "Pixel by Pixel",
        "",
        (
            Try(
                "pixel",
                MethodFacts(
                    "Pixel-wise classifier (CPU baseline)",
                    method_description=(
                        "A scikit-learn classifier that sees one pixel at a time: its colours, "
                        "near infrared, height and a little of its surroundings. The floor that "
                        "any network should clear."
                    ),
                    hardware="CPU",
                ),
                None,
            ),
        ),
    ),
    Player(
        "ortho",
        "The Orthophonists",
        "Night School of Photogrammetry",
        (
            Try(
                "weak",
                MethodFacts("Colour thresholds, lovingly tuned"),
                Bend(wander_px=8.0, confused=0.45),
            ),
        ),
    ),
)


def ensure_organiser(*, password: str, challenges: list[Challenge]) -> User:
    """The owner of both challenges, who also operates the site, with a fresh password."""
    user = _ensure_user(ORGANISER, password=password, operator=True)
    for challenge in challenges:
        roles.set_role(challenge=challenge, user=user, role=Role.OWNER, actor=None)
    return user


def ensure_player(player: Player, *, password: str, challenges: list[Challenge]) -> User:
    """A captain, registered with a team in every challenge, with a fresh password."""
    user = _ensure_user(player.username, password=password, operator=False)
    for challenge in challenges:
        teams.register(user=user, challenge=challenge, accept_terms_version=challenge.terms_version)
        team = people.team_of(user, challenge)
        if team is not None and team.name != player.team:
            teams.rename(team=team, actor=user, name=player.team, affiliation=player.affiliation)
    return user


def made_before(player: Player, attempt: Try, *, phase: Phase) -> Submission | None:
    """The latest submission of an earlier run that the phase's present labels have judged."""
    return (
        Submission.objects.filter(
            entry__phase=phase,
            entry__team__memberships__user__username=player.username,
            method_name=attempt.method.method_name,
            evaluations__ground_truth=phase.ground_truth,
            evaluations__task_spec=phase.task_spec,
            evaluations__state__in=["queued", "scoring", "scored", "rejected"],
        )
        .order_by("-created_at")
        .first()
    )


def _ensure_user(username: str, *, password: str, operator: bool) -> User:
    user, _ = User.objects.get_or_create(
        username=username,
        defaults={
            "email": f"{username}@flair.example",
            "is_superuser": operator,
        },
    )
    user.set_password(password)
    user.save(update_fields=["password"])
    EmailAddress.objects.get_or_create(
        user=user, email=user.email, defaults={"verified": True, "primary": True}
    )
    return user
