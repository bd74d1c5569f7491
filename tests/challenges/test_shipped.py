"""The shipped challenges: valid, complete in both languages, and their figures hold together."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from challenge.rules import page_blocks
from challenge.services.challenges import challenge_file
from challenge.services.challenges.challenge_file import ChallengeFile
from scoring.engine.task import specification as task_spec
from tests.shared_data import shared_data

ROOT = Path(__file__).resolve().parents[2] / "challenges"
NBSP, NARROW = "\u00a0", "\u202f"


@pytest.fixture(scope="module", params=["flair-1", "flair-2"])
def shipped(request: pytest.FixtureRequest) -> ChallengeFile:
    return challenge_file.read(ROOT / request.param)


@pytest.fixture(scope="module")
def flair_1() -> ChallengeFile:
    return challenge_file.read(ROOT / "flair-1")


@pytest.mark.parametrize("folder", sorted(p.parent.name for p in ROOT.glob("*/challenge.toml")))
def test_every_shipped_folder_is_valid(folder: str) -> None:
    assert challenge_file.read(ROOT / folder).slug == folder


@pytest.mark.parametrize(
    ("slug", "count", "first", "last"),
    [("flair-1", 15_700, "061713", "077412"), ("flair-2", 16_050, "077413", "093462")],
)
def test_the_test_ids_are_the_published_ones(slug: str, count: int, first: str, last: str) -> None:
    ids = [p.id for p in task_spec.load(slug).expected]
    assert (len(ids), min(ids), max(ids)) == (count, first, last)
    assert len(set(ids)) == count


def test_the_domains_of_flair_1_have_the_published_sizes(flair_1: ChallengeFile) -> None:
    (test,) = [p for p in flair_1.phases if p.slug == "test"]
    counted = Counter(p.domain for p in test.patches)
    published = {d["id"]: d["patches"] for d in flair_1.facts["domains"]["test"]}
    assert counted == published
    zones = Counter((p.domain, p.zone) for p in test.patches)
    assert len(zones) == 193
    assert all(size % 25 == 0 for size in zones.values())


def test_the_list_is_the_official_one(flair_1: ChallengeFile) -> None:
    shared = shared_data()
    if shared is None:
        pytest.skip("the official list lies beside the checkout in shared/data; it is not there")
    with (shared / "flair-1-test-patches.csv").open(newline="") as file:
        official = [(r["patch"], r["domain"], r["zone"]) for r in csv.DictReader(file)]
    (test,) = [p for p in flair_1.phases if p.slug == "test"]
    assert [(p.id, p.domain, p.zone) for p in test.patches] == official


def test_practice_covers_every_validation_domain_and_many_zones(shipped: ChallengeFile) -> None:
    (practice,) = [p for p in shipped.phases if p.slug == "practice"]
    assert practice.table.labels_public
    assert len(practice.patches) == 43
    assert len({(p.domain, p.zone) for p in practice.patches}) == 38
    domains = {p.domain for p in practice.patches}
    assert domains == {d["id"] for d in shipped.facts["domains"]["val"]}


def test_no_patch_with_public_labels_is_hidden_in_any_shipped_challenge() -> None:
    """FLAIR #1 and #2 number their patches together: an id is one place on the ground."""
    phases = [
        phase
        for path in sorted(ROOT.glob("*/challenge.toml"))
        for phase in challenge_file.read(path).phases
    ]
    public = {p.id for phase in phases if phase.table.labels_public for p in phase.patches}
    hidden = {p.id for phase in phases if not phase.table.labels_public for p in phase.patches}
    assert public
    assert hidden
    assert not public & hidden
    assert all(phase.table.labels_public for phase in phases if phase.slug == "practice")


def test_the_practice_patches_are_real_ones(shipped: ChallengeFile) -> None:
    """Ids, domains and zones as in IGN's own metadata of its toy data set."""
    shared = shared_data()
    if shared is None:
        pytest.skip("the official metadata lie beside the checkout in shared/data; not there")
    path = shared / "official_sample" / "flair-one_TOY_metadata.json"
    places = {
        name.removeprefix("IMG_"): (row["domain"], row["zone"])
        for name, row in json.loads(path.read_text()).items()
    }
    (practice,) = [p for p in shipped.phases if p.slug == "practice"]
    validation = {d["id"] for d in shipped.facts["domains"]["val"]}
    listed = {p.id: (p.domain, p.zone) for p in practice.patches}
    assert listed == {i: place for i, place in places.items() if place[0] in validation}


def test_both_challenges_reduce_alike(shipped: ChallengeFile) -> None:
    spec = shipped.spec
    assert spec.scored_ids == tuple(range(12))
    assert [list(c.labels) for c in spec.classes[:12]] == [[i] for i in range(1, 13)]
    assert spec.classes[12].labels == tuple(range(13, 20))
    assert (spec.unscored_policy, spec.absent_policy, spec.label_offset) == (
        "full-matrix",
        "skip",
        1,
    )


@pytest.mark.parametrize(
    "stem", ["PRED_061946", "PRED_IMG_077413", "pred_061946", "PRED_61946", "PRED_٠٦١٩٤٦", "x"]
)
def test_names_that_participants_used_are_read(shipped: ChallengeFile, stem: str) -> None:
    legal = re.fullmatch(r"PRED_(IMG_)?[0-9]{6}", stem, re.ASCII) is not None
    assert (shipped.spec.prediction_id(stem) is not None) == legal


def test_the_nomenclature_is_complete(shipped: ChallengeFile) -> None:
    rows = shipped.facts["nomenclature"]
    assert [r["label"] for r in rows] == list(range(1, 20))
    assert len({r["color"] for r in rows}) == 19
    for split in ("train_percent", "test_percent"):
        assert sum(r.get(split, 0) for r in rows) == pytest.approx(100, abs=0.3)
    by_key = {c.key: c for c in shipped.spec.classes}
    for row in rows[:12]:
        cls = by_key[row["class"]]
        assert (cls.labels, cls.color, dict(cls.name)) == (
            (row["label"],),
            row["color"],
            row["name"],
        )


def test_published_class_results_agree_with_their_mean() -> None:
    file = challenge_file.read(ROOT / "flair-2")
    detailed = [r for r in file.results if r.ious]
    assert len(detailed) == 2
    for result in detailed:
        assert len(result.ious) == 12
        assert float(np.mean(list(result.ious.values()))) == pytest.approx(result.miou, abs=6e-4)


def test_the_podium_stands_in_order(shipped: ChallengeFile) -> None:
    podium = [r.miou for r in shipped.results if r.kind == "podium"]
    assert len(podium) == 3
    assert podium == sorted(podium, reverse=True)
    assert all(r.miou < podium[-1] for r in shipped.results if r.kind == "baseline")


def test_official_splits_do_not_overlap(shipped: ChallengeFile) -> None:
    domains = shipped.facts["domains"]
    assert [len(domains[split]) for split in ("train", "val", "test")] == [32, 8, 10]
    for rows in domains.values():
        for row in rows:
            assert row["id"] == f"D0{row['department']}_{row['year']}"


def test_every_page_says_the_same_in_both_languages(shipped: ChallengeFile) -> None:
    pages = {(p.slug, p.language): p.markdown for p in shipped.pages}
    for slug in {p.slug for p in shipped.pages}:
        shapes = [_shape(pages[slug, language]) for language in ("en", "fr")]
        assert shapes[0] == shapes[1], slug


def _shape(markdown: str) -> list[str]:
    """Headings' levels, list items, table rows, blocks, code: what a translation must keep."""
    prose = re.sub(r"```.*?```", "```", markdown, flags=re.DOTALL)
    starts = re.findall(r"^(#+ |- |\d\. |\||\[\[\w+\]\]|```)", prose, flags=re.MULTILINE)
    numbers = sorted(re.findall(r"\b0?\d{5,6}\b", prose))
    return starts + numbers


def test_pages_use_every_block_but_only_where_it_belongs(shipped: ChallengeFile) -> None:
    used = {
        page.slug: [p.block for p in page_blocks.split(page.markdown) if p.block]
        for page in shipped.pages
    }
    assert used == {
        "overview": ["figures"],
        "data": ["downloads", "classes", "domains"],
        "evaluation": [],
        "submission": [],
        "baselines": ["results"],
        "rules": ["phases"],
        "citation": [],
    }


def test_french_is_set_as_french(shipped: ChallengeFile) -> None:
    for page in (p for p in shipped.pages if p.language == "fr"):
        prose = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", page.markdown, flags=re.DOTALL)
        for number, line in enumerate(prose.splitlines(), start=1):
            where = f"{page.slug} {number}: {line}"
            assert "'" not in line, where
            assert not re.search(r"\w [;!?](\s|$)", line), where
            assert not re.search(r"\w[;!?](\s|$)", line), where
            assert not re.search(r"[\w)»] ?:(\s|$)", line.replace("---:", "")), where
            assert not re.search(r"« |[^\u00a0]»|\d \d{3}\b", line), where


def test_the_worked_example_on_the_page_is_what_the_metric_gives(shipped: ChallengeFile) -> None:
    page = next(p.markdown for p in shipped.pages if (p.slug, p.language) == ("evaluation", "en"))
    rows = {
        name: [int(c) for c in re.findall(r"\d+", line)]
        for name, line in re.findall(r"^\| (Truth|Prediction) \|(.*)\|$", page, re.MULTILINE)
    }
    matrix = np.zeros((3, 3), dtype=np.int64)
    np.add.at(matrix, (rows["Truth"], rows["Prediction"]), 1)
    shown = re.findall(r"^\| (?:A|B|other) \|(.*)\|$", page, re.MULTILINE)
    assert [[int(c) for c in re.findall(r"\d+", r)][:3] for r in shown] == matrix.tolist()
    union = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    full = (matrix.diagonal() / union)[:2].mean()
    part = matrix[:2, :2]
    deleted = (part.diagonal() / (part.sum(0) + part.sum(1) - part.diagonal())).mean()
    for value in (full, deleted, (matrix.diagonal() / union).mean()):
        assert f"{value:.4f}" in page
