"""A lively FLAIR #1 for screenshots and browser tests: teams, submissions, plausible scores.

Values come from made-up confusion matrices per zone, drawn with a fixed seed; nothing is read
from labels. ``manage.py shell -c "from tests.web import seed; seed.populate()"`` fills the database
that the settings name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.utils import timezone
from numpy.typing import NDArray

from challenge.embedded.data_folder import ROOT
from challenge.models import (
    Challenge,
    Evaluation,
    GroundTruth,
    Membership,
    Phase,
    Submission,
    Team,
    User,
)
from challenge.services.challenges import challenges
from challenge.services.leaderboard import ranks
from challenge.services.storage.archives import StoredArchive
from challenge.services.submissions import evaluations, submissions
from challenge.services.submissions.submissions import MethodFacts
from scoring.engine.metrics import jackknife, metrics
from scoring.engine.problems.problems import ProblemDocument
from scoring.engine.task import specification as specs

PASSWORD = "correct-horse-7"

# (team, affiliation, method, skill 0..1, submissions)
TEAMS = [
    ("Haut-Jura Pixels", "Université de Franche-Comté", "SegFormer-B5, 5 channels, TTA", 0.80, 9),
    ("canopy", "", "UNet++ EfficientNet-B7, pseudo-labels", 0.795, 7),
    ("Les Cartographes", "ENSG", "Swin-L UPerNet + nDSM branch", 0.77, 6),
    ("Orthophonie", "", "ConvNeXt-B UPerNet", 0.755, 5),
    ("bocage", "Institut Agro Rennes", "HRNet-OCR, ensemble of 4", 0.735, 8),
    ("Lambert93", "", "DeepLabV3+ ResNeSt-101", 0.715, 3),
    ("garrigue.ai", "", "MaxViT U-Net", 0.712, 4),
    ("Team Ubaye", "Université Grenoble Alpes", "U-Net ResNet-101, dice + CE", 0.67, 5),
    ("Mappemonde", "", "U-Net EfficientNet-B4", 0.655, 2),
    ("tuile512", "", "FPN ResNeXt-50", 0.64, 4),
    ("Vosges du Nord", "Université de Strasbourg", "U-Net MiT-B2", 0.625, 2),
    ("clairière", "", "U-Net ResNet-50 + metadata", 0.61, 3),
    ("ndsm-only", "", "Random forest on texture", 0.36, 2),
    ("Prairie", "", "LinkNet ResNet-34", 0.565, 2),
    ("les étudiants du M2", "Université Rennes 2", "U-Net ResNet-18", 0.54, 3),
    ("solo_42", "", "Plain U-Net, RGB", 0.50, 1),
]
# (code, paper) that two of them name
SOURCES = {
    "canopy": {"code_url": "https://example.org/canopy"},
    "Lambert93": {
        "code_url": "https://example.org/lambert93",
        "paper_url": "https://example.org/lambert93.pdf",
    },
}
BASELINES = [("U-Net ResNet-34", 0.60), ("U-Net ResNet-34 + metadata", 0.62)]
HARD = {1: 0.75, 3: 0.55, 7: 0.45, 9: 0.72, 11: 0.58, 2: 0.92, 8: 0.85}
MIXED_WITH = {0: 2, 1: 2, 2: 1, 3: 1, 4: 9, 5: 6, 6: 7, 7: 6, 8: 10, 9: 7, 10: 9, 11: 10, 12: 2}


def make_zone_matrices(
    skill: float, *, seed: int, patches: list[list[str]], shares: list[float]
) -> tuple[list[tuple[str, str]], NDArray[np.int64], NDArray[np.int64]]:
    """Zones, their patches and their matrices int64[Z, 13, 13] for a method of a given skill.

    Truth is the same for every method: it depends on the zones alone.
    """
    zones = sorted({(domain, zone) for _, domain, zone in patches})
    counts = dict.fromkeys(zones, 0)
    for _, domain, zone in patches:
        counts[(domain, zone)] += 1
    truth_random, random = np.random.default_rng(5), np.random.default_rng(seed)
    n = len(shares)
    matrices = np.zeros((len(zones), n, n), np.int64)
    sizes = np.array([counts[zone] for zone in zones], np.int64)
    lean = {domain: random.normal(0, 0.05) for domain in sorted({zone[0] for zone in zones})}
    for position, place in enumerate(zones):
        part = truth_random.dirichlet(np.maximum(np.array(shares), 1e-4) * 9)
        truth = (part * sizes[position] * 512 * 512).astype(np.int64)
        zone_luck = truth_random.normal(0, 0.05) + random.normal(0, 0.025)
        for row in range(n):
            missed = 0.7 * (1 - skill * HARD.get(row, 1.12))
            recall = np.clip(1 - missed + lean[place[0]] + zone_luck, 0.02, 0.985)
            spill = random.dirichlet(np.full(n, 0.25) + 4 * (np.arange(n) == MIXED_WITH[row]))
            spill[row] = 0
            predicted = truth[row] * (1 - recall) * spill / max(spill.sum(), 1e-9)
            matrices[position, row] = predicted.astype(np.int64)
            matrices[position, row, row] = truth[row] - matrices[position, row].sum()
    return zones, sizes, matrices


def make_card(skill: float, *, seed: int, phase: Phase, brief: bool = False) -> dict[str, Any]:
    """A score card as the engine writes it, from made-up matrices.

    ``brief`` leaves out the zones (and with them the comparison with neighbours), for speed.
    """
    assert phase.task_spec is not None
    assert phase.ground_truth is not None
    spec = specs.from_json(phase.task_spec.data)
    rows = phase.challenge.facts["nomenclature"]
    shares = [0.0] * spec.n_classes
    keys = [one.key for one in spec.classes]
    for row in rows:
        shares[keys.index(row["class"])] += row.get("test_percent", 0.0) / 100
    zones, sizes, matrices = make_zone_matrices(
        skill, seed=seed, patches=phase.ground_truth.patches, shares=shares
    )
    total = matrices.sum(axis=0)
    measured = metrics.measure(total, spec=spec)
    bounds = jackknife.intervals(matrices, spec=spec)
    domains = sorted({domain for domain, _ in zones})
    return {
        "spec": spec.id,
        "spec_digest": spec.digest,
        "engine_version": "1.0",
        "truth_digest": phase.ground_truth.digest,
        "content_digest": hashlib.sha256(f"{skill}{seed}".encode()).hexdigest(),
        "patches": int(sizes.sum()),
        "pixels": int(total.sum()),
        "miou": float(measured.miou),
        "overall_accuracy": float(measured.overall_accuracy),
        "mean_f1": float(measured.mean_f1),
        "classes": [
            {
                "id": one.id,
                "key": one.key,
                "name": one.name["en"],
                "iou": number(measured.iou[one.id]),
                "precision": number(measured.precision[one.id]),
                "recall": number(measured.recall[one.id]),
                "f1": number(measured.f1[one.id]),
                "truth_pixels": int(total[one.id].sum()),
                "predicted_pixels": int(total[:, one.id].sum()),
                "scored": one.scored,
            }
            for one in spec.classes
        ],
        "confusion": total.tolist(),
        "predicted_frequencies": [float(v) for v in total.sum(axis=0) / total.sum()],
        "domains": {
            domain: domain_card(
                matrices[[i for i, zone in enumerate(zones) if zone[0] == domain]].sum(axis=0),
                patches=int(sum(sizes[i] for i, z in enumerate(zones) if z[0] == domain)),
                spec=spec,
            )
            for domain in domains
        },
        "zones": {}
        if brief
        else {
            f"{domain}/{zone}": {
                "domain": domain,
                "patches": int(sizes[i]),
                "pixels": int(matrices[i].sum()),
                "miou": None,
                "confusion": matrices[i].tolist(),
            }
            for i, (domain, zone) in enumerate(zones)
        },
        "intervals": bounds_json(bounds),
        "seconds": 42.0,
        "notes": [],
    }


def bounds_json(bounds: Any) -> dict[str, Any]:
    """The intervals as the card has them."""
    pairs = [None if one is None else list(one) for one in (bounds.miou, *bounds.classes)]
    return {"miou": pairs[0], "classes": pairs[1:], "method": jackknife.METHOD}


def domain_card(matrix: NDArray[np.int64], *, patches: int, spec: specs.TaskSpec) -> dict[str, Any]:
    """One domain's part of a card."""
    measured = metrics.measure(matrix, spec=spec)
    return {
        "patches": patches,
        "pixels": int(matrix.sum()),
        "miou": number(measured.miou),
        "ious": [number(v) for v in measured.iou],
        "confusion": matrix.tolist(),
    }


def number(value: Any) -> float | None:
    """A value, or None where it is not defined."""
    return None if np.isnan(value) else float(value)


def make_person(name: str, *, email: str = "", **fields: Any) -> User:
    """A person who can log in with PASSWORD, the address confirmed."""
    user = User(username=name, email=email or f"{name}@example.org", **fields)
    # as the running server hashes, which does not know the quick way of the tests
    user.password = Argon2PasswordHasher().encode(PASSWORD, "a-salt-for-tests")
    user.save()
    user.emailaddress_set.create(email=user.email, verified=True, primary=True)
    return user


def load_challenges() -> list[Challenge]:
    """Both shipped challenges."""
    for slug in ("flair-1", "flair-2"):
        challenges.load(ROOT / "challenges" / slug)
    return list(Challenge.objects.all())


def give_truth(phase: Phase) -> Phase:
    """Register labels that nobody can open, with the phase's public patches."""
    phase.ground_truth = GroundTruth.objects.create(
        challenge=phase.challenge,
        name=phase.slug,
        version=1,
        digest=hashlib.sha256(str(phase).encode()).hexdigest(),
        store_name=f"{phase.challenge.slug}-{phase.slug}-1.truth",
        patch_count=len(phase.public_patches),
        patches=phase.public_patches,
    )
    phase.save(update_fields=["ground_truth"])
    return phase


def submit(
    team: Team, phase: Phase, *, method: str, at: datetime, is_baseline: bool = False, **facts: Any
) -> Submission:
    """Submit as the team's first member, outside window and quota."""
    user = team.memberships.order_by("joined_at").first().user  # type: ignore[union-attr]
    digest = hashlib.sha256(f"{team}{at}".encode()).hexdigest()
    size_bytes = 21_800 * max(1, phase.ground_truth.patch_count if phase.ground_truth else 1)
    archive = StoredArchive(f"seed/{digest}.zip", digest, size_bytes, "predictions.zip")
    return submissions.submit(
        user=user,
        phase=phase,
        archive=archive,
        method=MethodFacts(method, **facts),
        is_baseline=is_baseline,
        now=at,
    )


def score(submission: Submission, card: dict[str, Any], *, seconds: int = 97) -> Evaluation:
    """Score a submission as a worker would, without recomputing the ranks each time."""
    evaluation = submission.evaluations.get()
    started = submission.created_at + timedelta(seconds=3)
    Evaluation.objects.filter(pk=evaluation.pk).update(
        state="scoring", attempt=1, started_at=started, lease_until=started + timedelta(minutes=1)
    )
    evaluations.complete_scored(
        evaluation.pk, attempt=1, card=card, now=started + timedelta(seconds=seconds)
    )
    return evaluation


def reject(submission: Submission, problems: Sequence[ProblemDocument], *, more: int = 0) -> None:
    """Refuse a submission as a worker would."""
    evaluation = submission.evaluations.get()
    started = submission.created_at + timedelta(seconds=3)
    Evaluation.objects.filter(pk=evaluation.pk).update(
        state="scoring", attempt=1, started_at=started, lease_until=started + timedelta(minutes=1)
    )
    evaluations.complete_rejected(
        evaluation.pk, attempt=1, problems=problems, more=more, now=started + timedelta(seconds=4)
    )


def populate(*, teams: int = len(TEAMS), now: datetime | None = None) -> Phase:
    """Fill the test phase of FLAIR #1 and return it; ``ada`` is a member of the fifth team."""
    now = now or timezone.now()
    load_challenges()
    challenge = Challenge.objects.get(slug="flair-1")
    phase = give_truth(challenge.phases.get(slug="test"))
    give_truth(challenge.phases.get(slug="practice"))
    platform = make_team(challenge, "IGN reference", is_platform=True)
    for position, (method, skill) in enumerate(BASELINES):
        made = submit(
            platform, phase, method=method, at=now - timedelta(days=190), is_baseline=True
        )
        score(made, make_card(skill, seed=900 + position, phase=phase, brief=True))
    for position, (name, affiliation, method, skill, count) in enumerate(TEAMS[:teams]):
        member = {"bocage": "ada"}.get(name, "")
        team = make_team(challenge, name, affiliation=affiliation, member=member)
        for number_ in range(count):
            missing = count - 1 - number_
            at = now - timedelta(days=4 + missing * 11 + position * 3, hours=position)
            made = submit(team, phase, method=method, at=at, **SOURCES.get(name, {}))
            card = make_card(
                skill - 0.018 * missing,
                seed=position * 20 + number_,
                phase=phase,
                brief=missing > 0,
            )
            score(made, card)
    ranks.recompute(phase=phase, compare=True)
    phase.refresh_from_db()
    return phase


def make_team(
    challenge: Challenge,
    name: str,
    *,
    affiliation: str = "",
    member: str = "",
    is_platform: bool = False,
) -> Team:
    """A team of one, registered and approved."""
    user = make_person(member or f"member-{Team.objects.count()}")
    team = Team.objects.create(
        challenge=challenge, name=name, affiliation=affiliation, is_platform=is_platform
    )
    Membership.objects.create(
        team=team, user=user, challenge=challenge, role=Membership.Role.CAPTAIN
    )
    challenge.registrations.create(
        user=user,
        state="approved",
        terms_version=challenge.terms_version,
        accepted_at=timezone.now(),
    )
    return team
