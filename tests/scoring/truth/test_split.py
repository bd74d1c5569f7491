"""Public and private zones of a ground truth: drawn, kept in a file, committed to."""

from __future__ import annotations

import stat
from collections import Counter
from pathlib import Path

import pytest

from scoring.engine.metrics import card_builder, evidence
from scoring.engine.scorer import child
from scoring.engine.scorer.verdicts import Scored, ScorerFailure
from scoring.engine.truth import split as splits
from scoring.engine.truth.split import CountedZones, Split, SplitError, SplitFile
from tests.scoring import builders

ZONES = {
    **{f"D001_2020/Z{n}_UU": "D001_2020" for n in range(10)},
    **{f"D002_2020/Z{n}_UU": "D002_2020" for n in range(2)},
    **{f"D{n:03}_2021/Z1_UU": f"D{n:03}_2021" for n in range(3, 13)},
}
NONCE = "ab" * 32


def public_by_domain(split: Split) -> Counter[str]:
    return Counter(ZONES[zone] for zone in split.public_zones)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.99])
def test_every_domain_of_two_zones_has_one_on_each_side(share: float) -> None:
    for seed in range(20):
        public = public_by_domain(splits.draw(ZONES, share=share, seed=str(seed)))
        assert 1 <= public["D001_2020"] <= 9
        assert public["D002_2020"] == 1


def test_the_share_is_met_within_each_domain_and_among_the_small_ones() -> None:
    split = splits.draw(ZONES, share=0.3, seed="7")
    public = public_by_domain(split)
    assert public["D001_2020"] == 3
    small = splits.small_domains(ZONES)
    assert len(small) == 10
    assert sum(public[name] for name in small) == 3
    assert len(split.public_zones) == 7


def test_the_seed_decides_the_list_and_never_the_nonce() -> None:
    first, again = (splits.draw(ZONES, share=0.3, seed="7") for _ in range(2))
    assert first.public_zones == again.public_zones
    assert first.nonce != again.nonce
    assert first.commitment != again.commitment
    assert {splits.draw(ZONES, share=0.3).public_zones for _ in range(9)} != {first.public_zones}


@pytest.mark.parametrize(
    ("zones", "share", "said"),
    [
        (ZONES, 0.0, "public share of 0"),
        (ZONES, 1.0, "public share of 1"),
        ({"D001_2020/Z1_UU": "D001_2020"}, 0.5, "at least two"),
        ({"": "", "D001_2020/Z1_UU": "D001_2020"}, 0.5, "without a zone"),
    ],
)
def test_what_cannot_be_drawn_is_refused(zones: dict[str, str], share: float, said: str) -> None:
    with pytest.raises(SplitError, match=said):
        splits.draw(zones, share=share)


@pytest.mark.parametrize(
    ("public", "said"),
    [
        (["D009_2020/Z1_UU"], "1 public zones that the labels do not have: D009_2020/Z1_UU"),
        ([], "2 domains"),
        (list(ZONES), "2 domains"),
        (["D002_2020/Z0_UU"], "1 domains"),
    ],
)
def test_a_list_that_is_no_split_is_refused(public: list[str], said: str) -> None:
    with pytest.raises(SplitError, match=said):
        splits.chosen(ZONES, public)


def test_the_file_is_its_owners_alone_and_opens_the_commitment(tmp_path: Path) -> None:
    split = splits.chosen(ZONES, ["D001_2020/Z1_UU", "D002_2020/Z0_UU"])
    path = splits.save(split, tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert splits.load(path, committed=split.commitment) == split
    assert splits.opens(
        split.commitment, public_zones=reversed(split.public_zones), nonce=split.nonce
    )
    assert [other.name for other in tmp_path.iterdir()] == [path.name]


def test_a_file_of_another_split_is_refused(tmp_path: Path) -> None:
    path = splits.save(Split.of(["a/b"]), tmp_path)
    with pytest.raises(SplitError, match="not the split that was committed to"):
        splits.load(path, committed=Split.of(["a/b"]).commitment)
    path.write_text("[]")
    with pytest.raises(SplitError, match="is not the file of a split"):
        splits.load(path, committed="00" * 32)


@pytest.mark.parametrize("zones", [["a/b", "a/d"], ["a/b"], ["a/b", "a/c", "a/d"]])
def test_another_list_does_not_open_the_commitment(zones: list[str]) -> None:
    committed = splits.commitment(["a/b", "a/c"], nonce=NONCE)
    assert splits.opens(committed, public_zones=["a/c", "a/b"], nonce=NONCE)
    assert not splits.opens(committed, public_zones=zones, nonce=NONCE)
    assert not splits.opens(committed, public_zones=["a/b", "a/c"], nonce="ac" * 32)


@pytest.mark.parametrize("nonce", ["", "ab", "no hexadecimal"])
def test_a_nonce_that_is_none_is_refused(nonce: str) -> None:
    with pytest.raises(SplitError, match="found a nonce"):
        splits.commitment([], nonce=nonce)


def test_neither_list_nor_nonce_shows_in_a_message() -> None:
    split = Split(("D001_2020/Z1_UU",), NONCE)
    assert "Z1_UU" not in repr(split)
    assert NONCE not in repr(split)


def test_the_card_of_public_zones_does_not_say_which_they_are(tmp_path: Path) -> None:
    spec = builders.task()
    truth = builders.masks(spec, count=12)
    found = builders.build_evidence(tmp_path, spec, truth, builders.predictions(spec, truth))
    split = Split.of({"D001_2020/Z1_UN", "D002_2020/Z2_UN"})
    ids = split.ids(dict(zip(found.ids, found.zones, strict=True)), zones=CountedZones.PUBLIC)
    assert ids == ["001", "002", "003", "010", "011", "012"]

    whole = card_builder.build(found)
    plain = card_builder.build(found, ids=ids)
    public = card_builder.build_counted(found, split, zones=CountedZones.PUBLIC)
    for key in ("miou", "overall_accuracy", "mean_f1", "patches", "pixels", "intervals"):
        assert public[key] == plain[key]  # type: ignore[literal-required]
    assert (public["zones"], public["domains"], public["confusion"]) == ({}, {}, [])
    assert public["predicted_frequencies"] == whole["predicted_frequencies"]
    assert [line["predicted_pixels"] for line in public["classes"]] == [
        line["predicted_pixels"] for line in whole["classes"]
    ]
    assert [line["iou"] for line in public["classes"]] == [line["iou"] for line in plain["classes"]]


def test_public_and_private_zones_add_up_to_all(tmp_path: Path) -> None:
    spec = builders.task()
    truth = builders.masks(spec, count=12)
    found = builders.build_evidence(tmp_path, spec, truth, builders.predictions(spec, truth))
    split = Split.of({"D001_2020/Z1_UN", "D002_2020/Z2_UN"})
    whole, public, private = (
        card_builder.build_counted(found, split, zones=zones) for zones in CountedZones
    )
    assert public["patches"] + private["patches"] == whole["patches"] == 12
    assert set(private["zones"]) == {"D001_2020/Z2_UN", "D002_2020/Z1_UN"}
    assert [line["truth_pixels"] for line in whole["classes"]] == [
        a["truth_pixels"] + b["truth_pixels"]
        for a, b in zip(public["classes"], private["classes"], strict=True)
    ]


def run(tmp_path: Path, split_file: SplitFile) -> Scored | ScorerFailure:
    spec = builders.task()
    truth = builders.masks(spec, count=12)
    builders.pack_truth(tmp_path / "truth", spec, truth)
    for patch_id, classes in builders.predictions(spec, truth).items():
        builders.write_tiff(tmp_path / "predictions" / f"PRED_{patch_id}.tif", classes)
    verdict = child.run(
        spec=spec,
        truth_path=tmp_path / "truth",
        archive_path=tmp_path / "predictions",
        evidence_path=tmp_path / "evidence",
        split_file=split_file,
        timeout_s=600,
    )
    assert isinstance(verdict, Scored | ScorerFailure)
    return verdict


@pytest.mark.parametrize("zones", CountedZones)
def test_the_scorer_counts_the_zones_it_was_told_and_keeps_evidence_of_all(
    tmp_path: Path, zones: CountedZones
) -> None:
    split = Split.of({"D001_2020/Z1_UN", "D002_2020/Z2_UN"})
    path = splits.save(split, tmp_path)
    verdict = run(tmp_path, SplitFile(path, split.commitment, zones))
    assert isinstance(verdict, Scored)
    kept = evidence.load(tmp_path / "evidence")
    assert len(kept.ids) == 12
    wanted = card_builder.build_counted(kept, split, zones=zones)
    assert verdict.card == {**wanted, "seconds": verdict.card["seconds"]}


def test_the_scorer_scores_nothing_by_a_split_of_another_commitment(tmp_path: Path) -> None:
    path = splits.save(Split.of({"D001_2020/Z1_UN"}), tmp_path)
    verdict = run(tmp_path, SplitFile(path, "00" * 32, CountedZones.PUBLIC))
    assert isinstance(verdict, ScorerFailure)
    assert verdict.code == "scorer-error"
    assert "Z1_UN" not in verdict.detail
