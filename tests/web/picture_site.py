"""The site of which the documents' pictures are taken: every page has something to show."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from challenge.embedded.data_folder import ROOT
from tests.bench import world  # before Django: it says where the data folder is

FOLDER = ROOT / ".data" / "pictures"
EPOCHS = 14


@contextmanager
def opened() -> Iterator[tuple[str, dict[str, str]]]:
    """Serve the site, filled anew; yields its address and those of pages that have a number."""
    shutil.rmtree(FOLDER / "storage", ignore_errors=True)
    found: dict[str, str] = {}
    with world.served(FOLDER, wanted="anew", fill=lambda: found.update(fill())) as url:
        (FOLDER / "seeded").unlink()  # dates are counted from now: never keep them
        announce()
        yield url, found


def fill() -> dict[str, str]:
    """Fill the database; returns {placeholder of an address: value}."""
    from django.core.management import call_command

    from challenge.models import Phase, Submission, User
    from challenge.services.accounts import tokens
    from challenge.services.teams import merges
    from tests import factories
    from tests.web import seed

    call_command("flush", interactive=False, verbosity=0)
    phase = seed.populate()
    Phase.objects.filter(pk=phase.pk).update(labels_public=True)  # so that domains are shown
    practice = phase.challenge.phases.get(slug="practice")
    ada = User.objects.get(username="ada")
    scored = Submission.objects.filter(entry__phase=phase, submitted_by=ada).latest("created_at")
    tokens.create(user=ada, name="laptop", scopes=["read", "submit"])
    tokens.create(user=ada, name="nightly job", scopes=["read"])
    _invitation, token = merges.invite(team=scored.entry.team, actor=ada, email="bo@example.org")
    olive = seed.make_person("olive")
    factories.make_organiser(phase.challenge, olive)
    return {
        "submission": str(scored.pk),
        "team": str(scored.entry.team_id),
        "invitation": token,
        "practice_ids": " ".join(row[0] for row in practice.public_patches),
        **_moving(practice, scored.entry.team_id),
        **_desk(phase.challenge_id, olive.pk, scored.entry.team_id),
        **_webhook(ada.pk),
        **_training(phase.pk, olive.pk),
    }


def _moving(practice: object, team_id: int) -> dict[str, str]:
    """One submission rejected, one being scored, one waiting, one of real bytes scored."""
    from django.utils import timezone

    from challenge.models import Evaluation, Phase, Team
    from challenge.services.storage import archives as storage
    from challenge.services.submissions import evaluations, submissions
    from challenge.services.submissions.submissions import MethodFacts
    from scoring.engine.problems.problems import Problem
    from tests.web import archives, seed

    assert isinstance(practice, Phase)
    now = timezone.now()
    team = Team.objects.get(pk=team_id)
    ids = [row[0] for row in practice.public_patches]
    path = archives.make_zip(FOLDER / "predictions.zip", ids)
    with path.open("rb") as stream:
        stored = storage.store(stream, original_name="predictions.zip", limit_bytes=1 << 30)
    drawn = submissions.submit(
        user=team.memberships.get().user,
        phase=practice,
        archive=stored,
        method=MethodFacts("HRNet-OCR, practice run"),
        now=now - timedelta(days=2),
    )
    seed.score(drawn, seed.make_card(0.74, seed=71, phase=practice))
    refused = seed.submit(team, practice, method="One-based by accident", at=now)
    seed.reject(
        refused,
        [
            Problem.of("missing-patches", count=1, expected=len(ids), ids=ids[3]).to_json(),
            Problem.of(
                "values-one-based", file=f"PRED_{ids[0]}.tif", pixels=312, value=13, highest=12
            ).to_json(),
        ],
        more=7,
    )
    running = seed.submit(team, practice, method="HRNet-OCR, ensemble of 4", at=now)
    Evaluation.objects.filter(submission=running).update(
        state="scoring", attempt=1, started_at=now, lease_until=now + timedelta(days=1)
    )
    evaluations.heartbeat(
        running.evaluations.get().pk,
        attempt=1,
        stage="scoring",
        patches_done=31,
        patches_total=len(ids),
    )
    Evaluation.objects.filter(submission=running).update(lease_until=now + timedelta(days=1))
    waiting = seed.submit(team, practice, method="HRNet-OCR, flips", at=now)
    return {
        "drawn": str(drawn.pk),
        "rejected": str(refused.pk),
        "running": str(running.pk),
        "waiting": str(waiting.pk),
    }


def _desk(challenge_id: int, owner_id: int, team_id: int) -> dict[str, str]:
    """What the desk's pages with a number show: a team, a sent message, a page and its version."""
    from django.contrib.auth.models import Permission

    from challenge.models import Challenge, Page, User
    from challenge.selectors.messages import Audience
    from challenge.services.challenges import page_editing
    from challenge.services.notifications import messages

    challenge, owner = Challenge.objects.get(pk=challenge_id), User.objects.get(pk=owner_id)
    owner.user_permissions.add(Permission.objects.get(codename="add_challenge"))
    page = Page.objects.filter(challenge=challenge, language="en").order_by("pk")[0]
    message = messages.send(
        challenge=challenge,
        actor=owner,
        subject={"en": "Practice is open", "fr": "L’entraînement est ouvert"},
        body={"en": "Have a look at the kit.", "fr": "Voyez le kit."},
        audience=Audience(),
        expected=challenge.registrations.count(),
    )
    return {
        "page_slug": page.slug,
        "teams/pk": str(team_id),
        "messages/pk": str(message.pk),
        "versions/pk": str(page_editing.keep(page, actor=owner).pk),
        "registrations/pk": "1",
    }


def _webhook(user_id: int) -> dict[str, str]:
    """A webhook whose log shows a message that arrived, one to be tried again, one on its way."""
    from challenge.models import User
    from challenge.services.notifications import webhooks

    hook = webhooks.create(
        user=User.objects.get(pk=user_id),
        url="https://93.184.215.14/flair",
        events=["submission.scored", "submission.rejected", "phase.closed"],
    )
    for changes in (
        {"last_status": 200, "next_attempt_at": None, "delivered": True},
        {"last_status": 502, "last_error": "answered 502"},
        {},
    ):
        sent = webhooks.ping(webhook=hook)
        if changes:
            sent.attempts = 1
            sent.delivered_at = sent.created_at if changes.pop("delivered", False) else None
            for name, value in changes.items():
                setattr(sent, name, value)
            sent.save()
    return {"webhook": str(hook.pk)}


def _training(phase_id: int, organiser_id: int) -> dict[str, str]:
    """Two runs of a baseline, one of them half done."""
    from challenge.models import Phase, User
    from challenge.services.training import training_runs

    runs = [
        training_runs.create(
            recipe="tiny-unet",
            data_root="toy",
            actor=User.objects.get(pk=organiser_id),
            phase=Phase.objects.get(pk=phase_id),
            seed=seed,
            group="Tiny U-Net",
        )
        for seed in (1, 2)
    ]
    training_runs.claim(worker="gpu@machine")
    for epoch in range(EPOCHS):
        loss = 2.5 * math.exp(-epoch / 5)
        metrics = {"train_loss": loss, "val_loss": loss + 0.1, "val_miou": 0.6 - loss / 5}
        training_runs.record_epoch(runs[0].pk, attempt=1, epoch=epoch, metrics=metrics)
    training_runs.heartbeat(
        runs[0].pk,
        attempt=1,
        stage="training",
        progress={"epoch": EPOCHS, "epochs": 20, "step": 3, "steps": 10, "eta_s": 400.0,
                  "samples_per_s": 61.5, "gpu_memory_bytes": 9 * 10**9},
        device={"name": "One GPU", "memory_bytes": 80 * 10**9, "kind": "cuda"},
        log_tail="\n".join(f"epoch {n}: as it should be" for n in range(40)),
    )  # fmt: skip
    return {"run": str(runs[0].pk), "other_run": str(runs[1].pk)}


def announce() -> None:
    """Have a training worker say what it can train, as it does every minute."""
    from challenge.services.training import workers

    workers.announce(
        "gpu@machine",
        device={"kind": "cuda", "name": "One GPU", "memory_bytes": 80 * 10**9, "count": 1},
        recipes=[{"name": "tiny-unet", "title": "Tiny U-Net", "published_miou": None}],
        data_roots=["toy"],
    )


def make_archives(found: dict[str, str]) -> dict[str, Path]:
    """A sound and an unsound zip for the practice phase."""
    from tests.web import archives

    ids = found["practice_ids"].split()
    return {
        "good": archives.make_zip(FOLDER / "good.zip", ids),
        "bad": archives.make_zip(
            FOLDER / "bad.zip", ids[:-2], shift=1, compression="tiff_adobe_deflate"
        ),
    }
