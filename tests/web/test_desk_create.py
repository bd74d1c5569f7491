"""A challenge created on the desk: names, task from a sample, launch check, address, deletion."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from challenge.models import AuditEvent, Challenge, ChallengeRole, TaskSpec, User
from challenge.selectors import launch
from challenge.selectors.launch import State
from challenge.services.challenges import challenge_file, drafts
from challenge.services.challenges.description import Description
from challenge.services.challenges.toml_document import FileMistakes
from tests import factories
from tests.web.archives import make_tiff
from tests.web.conftest import Visit

pytestmark = pytest.mark.django_db

NAMES = {
    "title_en": "Burnt areas", "title_fr": "Surfaces brûlées", "slug": "burnt-2027",
    "tagline_en": "", "tagline_fr": "", "organiser": "ONF", "time_zone": "Europe/Paris",
}  # fmt: skip
CLASSES = "name_en,name_fr,color\nunburnt,intact,#194a26\nburnt,brûlé,#f80c00"
TASK = {
    "classes": CLASSES, "label_offset": "1", "patch_height_px": "256", "patch_width_px": "256",
    "prediction_name": "{id}.tif", "prediction_pattern": "(?P<id>[A-Za-z0-9_-]+)",
    "truth_pattern": "MSK_(?P<id>[A-Za-z0-9_-]+)", "ids": "SITE-A_r00_c00\nSITE-A_r00_c01",
    "absent_policy": "skip",
}  # fmt: skip


@pytest.fixture
def creator(db: None) -> User:
    """A person whom the operator lets create challenges."""
    user = factories.make_user("creator")
    user.user_permissions.add(Permission.objects.get(codename="add_challenge"))
    return User.objects.get(pk=user.pk)


@pytest.fixture
def client(creator: User, visit: Visit) -> Client:
    return visit(creator)


@pytest.fixture
def challenge(client: Client) -> Challenge:
    assert client.post(reverse("web:challenge-new"), NAMES).status_code == 302
    return Challenge.objects.get(slug="burnt-2027")


def sample_bytes(names: list[str], *, side_px: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, make_tiff(np.zeros((side_px, side_px), np.uint8)))
    return target.getvalue()


def sample(names: list[str], *, side_px: int = 256) -> SimpleUploadedFile:
    content = sample_bytes(names, side_px=side_px)
    return SimpleUploadedFile("sample.zip", content, content_type="application/zip")


def states(challenge: Challenge) -> dict[str, State]:
    return {one.code: one.state for one in launch.checks(challenge, now=timezone.now())}


def act(client: Client, challenge: Challenge, name: str, **fields: str) -> Any:
    url = reverse("web:desk-launch", args=[challenge.slug])
    return client.post(url, {"act": name} | fields, follow=True)


def test_who_may_create_makes_a_draft_and_owns_it(
    client: Client, creator: User, challenge: Challenge, visit: Visit
) -> None:
    assert not challenge.is_published
    assert challenge.time_zone == "Europe/Paris"
    assert ChallengeRole.objects.get(challenge=challenge).user == creator
    assert challenge.pages.count() == 6
    assert not challenge.phases.get().is_published
    assert AuditEvent.objects.filter(action="challenge.create", actor=creator).exists()
    for person in (None, factories.make_user()):
        page = visit(person).get(reverse("web:challenge", args=[challenge.slug]))
        assert page.status_code == 404
    for name in ("challenge", "desk", "desk-launch", "desk-task", "submissions"):
        assert client.get(reverse(f"web:{name}", args=[challenge.slug])).status_code == 200, name
    assert challenge.slug in client.get(reverse("web:organise")).content.decode()


def test_others_may_not_create(visit: Visit, db: None) -> None:
    organiser = factories.make_organiser(factories.make_challenge())
    for person in (factories.make_user(is_staff=True), organiser):
        client = visit(person)
        assert client.get(reverse("web:challenge-new")).status_code == 403
        assert client.post(reverse("web:challenge-new"), NAMES).status_code == 403
    assert Challenge.objects.count() == 1


@pytest.mark.parametrize("slug", ["new", "import", "Not one", "burnt-2027"])
def test_an_address_that_cannot_be_is_refused(
    client: Client, challenge: Challenge, slug: str
) -> None:
    answer = client.post(reverse("web:challenge-new"), NAMES | {"slug": slug})
    assert answer.status_code == 422
    assert "slug" in answer.context["form"].errors
    assert Challenge.objects.count() == 1


def test_a_sample_fills_the_form_and_the_task_is_saved(
    client: Client, challenge: Challenge
) -> None:
    url = reverse("web:desk-task", args=[challenge.slug])
    names = ["out/PRED_SITE-A_r00_c00.tif", "out/PRED_SITE-B_r10_c02.tif"]
    read = client.post(url, TASK | {"sample": sample(names, side_px=128)})
    assert read.status_code == 200, read.context["form"].errors
    form = read.context["form"]
    filled = {name: form[name].value() for name in TASK}
    assert filled["patch_height_px"] == 128
    assert filled["prediction_name"] == "PRED_{id}.tif"
    assert filled["ids"] == "domain,zone,patch\n,,SITE-A_r00_c00\n,,SITE-B_r10_c02\n"
    assert not TaskSpec.objects.exists()
    saved = client.post(url, filled)
    assert saved.status_code == 302, saved.context["form"].errors
    stored = TaskSpec.objects.get()
    assert stored.data["patch_width_px"] == 128
    assert [one["labels"] for one in stored.data["classes"]] == [[1], [2]]
    phase = challenge.phases.get()
    assert phase.task_spec == stored
    assert [row[0] for row in phase.public_patches] == ["SITE-A_r00_c00", "SITE-B_r10_c02"]
    challenge.refresh_from_db()
    assert [row["key"] for row in challenge.facts["nomenclature"]] == ["unburnt", "burnt"]
    again = client.get(url).context["form"]
    assert client.post(url, {name: again[name].value() for name in TASK}).status_code == 302
    assert TaskSpec.objects.count() == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"classes": "name_en,color\nburnt,red"}, "Line 2 of the classes"),
        ({"classes": "name_en\nburnt"}, "allowed are 2 to 32"),
        ({"ids": "one one"}, "listed twice"),
        ({"ids": ""}, "lists no patch"),
        ({"prediction_pattern": "("}, "prediction_pattern"),
        ({"prediction_name": "PRED.tif"}, "must contain {id} once"),
        ({"patch_height_px": ""}, "patch_height_px"),
    ],
)
def test_a_task_that_cannot_be_is_refused_by_the_file_reader(
    client: Client, challenge: Challenge, changed: dict[str, str], words: str
) -> None:
    url = reverse("web:desk-task", args=[challenge.slug])
    answer = client.post(url, TASK | changed)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not TaskSpec.objects.exists()


def test_a_damaged_sample_is_told_as_a_submission_would_be(
    client: Client, challenge: Challenge
) -> None:
    url = reverse("web:desk-task", args=[challenge.slug])
    for content, words in ((b"no zip", "zip"), (b"", "empty")):
        file = SimpleUploadedFile("sample.zip", content)
        answer = client.post(url, TASK | {"sample": file})
        assert answer.status_code == 422
        assert words in str(answer.context["form"].errors["sample"])


def test_of_a_task_in_use_classes_change_and_wait_for_a_re_score(
    client: Client, challenge: Challenge
) -> None:
    url = reverse("web:desk-task", args=[challenge.slug])
    client.post(url, TASK)
    phase = challenge.phases.get()
    first = phase.task_spec
    phase.ground_truth, phase.is_published = factories.make_truth(challenge), True
    phase.opens_at = timezone.now()
    phase.save()
    act(client, challenge, "publish")
    challenge.refresh_from_db()
    factories.submit(factories.make_team(challenge), phase, at=timezone.now())
    refused = client.post(url, TASK | {"patch_width_px": "512"})
    assert refused.status_code == 422
    assert "size, names and patterns of files cannot" in refused.content.decode()
    unscored = "name_en,name_fr,color,scored\nunburnt,intact,#194a26,no\nburnt,brûlé,#f80c00,yes"
    saved = client.post(url, TASK | {"classes": unscored, "ids": "OTHER"}, follow=True)
    assert "counts once a re-score under it is published" in saved.content.decode()
    assert saved.redirect_chain[-1][0] == reverse("web:desk-scores", args=[challenge.slug])
    phase.refresh_from_db()
    assert (phase.task_spec, TaskSpec.objects.count()) == (first, 2)
    assert phase.public_patches[0][0] == "SITE-A_r00_c00"


def test_the_launch_check_says_what_is_missing_until_it_is_published(
    client: Client, challenge: Challenge
) -> None:
    found = states(challenge)
    assert (found["pages"], found["task"], found["labels"]) == (State.GOOD, State.BAD, State.BAD)
    assert "The task is not written yet" in act(client, challenge, "publish").content.decode()
    client.post(reverse("web:desk-task", args=[challenge.slug]), TASK)
    assert states(challenge)["task"] is State.GOOD
    assert states(challenge)["phases"] is State.BAD
    assert "The challenge is published" in act(client, challenge, "publish").content.decode()
    challenge.refresh_from_db()
    assert challenge.is_published
    assert challenge.was_published
    body = act(client, challenge, "hide").content.decode()
    assert "The challenge is hidden" in body
    assert 'value="delete"' not in body


def test_a_drafts_address_changes_and_its_task_with_it(
    client: Client, challenge: Challenge
) -> None:
    client.post(reverse("web:desk-task", args=[challenge.slug]), TASK)
    act(client, challenge, "rename", slug="fires")
    challenge.refresh_from_db()
    assert challenge.slug == "fires"
    assert TaskSpec.objects.get().data["id"] == "fires"
    taken = factories.make_challenge("taken")
    assert "is taken" in act(client, challenge, "rename", slug=taken.slug).content.decode()
    act(client, challenge, "publish")
    assert "its address stays" in act(client, challenge, "rename", slug="x").content.decode()


def test_a_draft_is_deleted_once_its_address_is_typed(client: Client, challenge: Challenge) -> None:
    client.post(reverse("web:desk-task", args=[challenge.slug]), TASK)
    assert "Nothing was deleted" in act(client, challenge, "delete").content.decode()
    assert (
        "The draft is deleted"
        in act(client, challenge, "delete", typed=challenge.slug).content.decode()
    )
    assert not Challenge.objects.exists()
    assert AuditEvent.objects.filter(action="challenge.delete", target="burnt-2027").exists()


def test_what_was_published_or_submitted_to_is_not_deleted(visit: Visit) -> None:
    phase = factories.make_phase()
    factories.submit(factories.make_team(phase.challenge), phase)
    Challenge.objects.update(is_published=False)
    phase.refresh_from_db()
    client = visit(factories.make_organiser(phase.challenge))
    body = act(client, phase.challenge, "delete", typed=phase.challenge.slug).content.decode()
    assert "was published or has submissions" in body
    assert Challenge.objects.count() == 1


def test_a_folder_of_a_draft_may_leave_its_task_out_and_a_published_one_not(
    creator: User, tmp_path: Path
) -> None:
    head = {"slug": "later", "title": {"en": "Later", "fr": 'Plus "tard"\n'}}
    made = drafts.create(actor=creator, description=Description({"challenge": head}))
    assert made.title["fr"] == 'Plus "tard"\n'
    Description({"challenge": head | {"published": True}}).write(tmp_path)
    with pytest.raises(FileMistakes, match=r"the table \[task\] is missing"):
        challenge_file.read(tmp_path)


def test_a_challenge_in_french_alone_is_made_checked_and_read(client: Client, visit: Visit) -> None:
    french = NAMES | {"title_en": "", "languages": ["fr"]}
    assert client.post(reverse("web:challenge-new"), french | {"title_fr": ""}).status_code == 422
    assert client.post(reverse("web:challenge-new"), french).status_code == 302
    made = Challenge.objects.get(slug="burnt-2027")
    assert (made.required_languages, made.title) == (["fr"], {"fr": "Surfaces brûlées"})
    assert set(made.pages.values_list("language", flat=True)) == {"fr"}
    assert states(made)["pages"] is State.GOOD
    pages = reverse("web:desk-pages", args=[made.slug])
    assert client.post(pages, {"act": "languages"}).status_code == 422
    client.post(pages, {"act": "languages", "languages": ["en", "fr"]})
    made.refresh_from_db()
    found = {one.code: one for one in launch.checks(made, now=timezone.now())}
    assert found["pages"].state is State.BAD
    assert found["pages"].facts == {"list": "overview (en), rules (en)"}
    assert found["texts"].facts["list"].startswith("title (en)")
    shown = visit(made_by(made), language="en").get(reverse("web:challenge", args=[made.slug]))
    assert "Surfaces brûlées" in shown.content.decode()
    assert AuditEvent.objects.filter(action="challenge.languages", challenge=made).exists()


def made_by(challenge: Challenge) -> User:
    return ChallengeRole.objects.get(challenge=challenge).user
