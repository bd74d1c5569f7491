"""Task specifications: what is read, what is refused and under which key."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from scoring.engine.task import specification as specs
from scoring.engine.task.examples import abc_spec
from scoring.engine.task.specification import Patch, SpecError

TASK: dict[str, Any] = {
    "id": "abc",
    "patch_height_px": 3,
    "patch_width_px": 4,
    "label_offset": 1,
    "unscored_policy": "full-matrix",
    "absent_policy": "skip",
    "prediction_pattern": "PRED_(?P<id>[0-9]{3})",
    "truth_pattern": "MSK_(?P<id>[0-9]{3})",
    "prediction_name": "PRED_{id}.tif",
    "id_ranges": [["008", "011"]],
    "classes": [
        {"id": 0, "key": "a", "name": {"en": "A", "fr": "Á"}, "color": "#DB0E9A"},
        {"id": 1, "key": "b"},
        {"id": 2, "key": "other", "labels": [3, 4], "scored": False},
    ],
    "elsewhere": [{"name": "abc 2", "id_ranges": [["012", "020"]]}],
}


def _parse(**changes: Any) -> specs.TaskSpec:
    return specs.parse({"task": {**copy.deepcopy(TASK), **changes}}, folder=Path())


def test_it_works() -> None:
    spec = _parse()
    assert spec.scored_ids == (0, 1)
    assert [c.labels for c in spec.classes] == [(1,), (2,), (3, 4)]
    assert spec.label_values == (1, 2, 3, 4)
    assert spec.label_table[:6].tolist() == [255, 0, 1, 2, 2, 255]
    assert [p.id for p in spec.expected] == ["008", "009", "010", "011"]
    assert spec.classes[0].color == "#db0e9a"
    assert dict(spec.classes[1].name) == {"en": "b"}


def test_json_round_trip_gives_an_equal_specification() -> None:
    spec = _parse()
    again = specs.from_json(spec.to_json())
    assert again == spec
    assert again.digest == spec.digest


def test_the_digest_follows_what_can_change_a_score() -> None:
    base = _parse().digest
    renamed = copy.deepcopy(TASK["classes"])
    renamed[0] |= {"name": {"en": "Alpha"}, "color": "#000000"}
    assert _parse(classes=renamed, elsewhere=[]).digest == base
    scored = copy.deepcopy(TASK["classes"])
    scored[2]["scored"] = True
    others = [
        _parse(classes=scored),
        _parse(absent_policy="zero"),
        _parse(unscored_policy="delete-first"),
        _parse(id_ranges=[["008", "012"]]),
        _parse(patch_width_px=5),
    ]
    assert base not in {spec.digest for spec in others}


def test_a_foreign_id_says_where_it_belongs() -> None:
    elsewhere = _parse().elsewhere[0]
    assert [elsewhere.has(i) for i in ("012", "020", "021", "0012", "12")] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stem", "patch_id"),
    [
        ("PRED_061946", "061946"),
        ("PRED_IMG_077413", "077413"),
        ("PRED_61946", None),
        ("PRED_061946 ", None),
        ("PRED_061946\n", None),
        ("XPRED_061946", None),
        ("PRED_٠٦١٩٤٦", None),
    ],
)
def test_ids_match_whole_ascii_names(stem: str, patch_id: str | None) -> None:
    assert specs.load("flair-1").prediction_id(stem) == patch_id


def _classes(position: int, **changes: Any) -> list[dict[str, Any]]:
    classes: list[dict[str, Any]] = copy.deepcopy(TASK["classes"])
    classes[position] |= changes
    return classes


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"id": "Flair 1"}, "task.id", "not of the form"),
        ({"patch_height_px": 0}, "task.patch_height_px", "is 0; allowed are 1 to"),
        ({"patch_height_px": "512"}, "task.patch_height_px", "not int"),
        ({"patch_height_px": True}, "task.patch_height_px", "not int"),
        ({"unscored_policy": "ignore"}, "task.unscored_policy", "allowed are"),
        ({"absent_policy": "nan"}, "task.absent_policy", "allowed are"),
        ({"prediction_pattern": "PRED_([0-9]+)"}, "task.prediction_pattern", "no group"),
        ({"prediction_pattern": "("}, "task.prediction_pattern", "regular expression"),
        ({"prediction_pattern": "P_(?P<id>.*)"}, "task.prediction_pattern", "does not find"),
        ({"prediction_name": "PRED.tif"}, "task.prediction_name", "must contain {id}"),
        ({"label_ofset": 1}, "task.label_ofset", "unknown key"),
        ({"classes": []}, "task.classes", "0 classes found"),
        ({"classes": _classes(1, id=5)}, "task.classes[1].id", "row is number 1"),
        ({"classes": _classes(1, labels=[1])}, "task.classes[1].labels", "already belongs"),
        ({"classes": _classes(1, labels=[255])}, "task.classes[1].labels", "0 to 254"),
        ({"classes": _classes(1, labels=[])}, "task.classes[1].labels", "must list"),
        ({"classes": _classes(1, labels=[True])}, "task.classes[1].labels", "must list"),
        ({"classes": _classes(1, key="a")}, "task.classes", "same key"),
        ({"classes": _classes(1, color="red")}, "task.classes[1].color", "not of the form"),
        ({"classes": _classes(1, name={"fr": "B"})}, "task.classes[1].name", "English"),
        ({"id_ranges": [["9", "011"]]}, "task.id_ranges", "not a pair"),
        ({"id_ranges": [["011", "009"]]}, "task.id_ranges", "not a pair"),
        ({"id_ranges": [["001", "003"], ["002", "005"]]}, "task.ids_csv", "listed twice"),
        ({"ids_csv": "x.csv"}, "task.ids_csv", "not both"),
        ({"limits": {"member_byte": 1}}, "task.limits.member_byte", "unknown key"),
        ({"limits": {"member_bytes": 0}}, "task.limits.member_bytes", "allowed are"),
    ],
)
def test_a_mistake_is_named_by_its_key(changes: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        _parse(**changes)
    assert caught.value.key_path == where
    assert message in caught.value.message


@pytest.mark.parametrize("key", [k for k in TASK if k not in ("id_ranges", "elsewhere")])
def test_what_is_missing_is_named_or_has_a_default(key: str) -> None:
    task = {k: v for k, v in TASK.items() if k != key}
    defaults = {"label_offset", "unscored_policy", "absent_policy"}
    if key in defaults:
        assert specs.parse({"task": task}, folder=Path()).id == "abc"
        return
    with pytest.raises(SpecError) as caught:
        specs.parse({"task": task}, folder=Path())
    assert caught.value.key_path == f"task.{key}"


def test_no_scored_class_is_refused() -> None:
    classes = [dict(c, scored=False) for c in TASK["classes"]]
    with pytest.raises(SpecError, match="no class is scored"):
        _parse(classes=classes)


def test_ids_from_a_csv_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("domain,zone,patch\nD001_2020,Z1_UN,001\nD002_2021,,002\n")
    task = {k: v for k, v in TASK.items() if k != "id_ranges"} | {"ids_csv": "ids.csv"}
    spec = specs.parse({"task": task}, folder=tmp_path)
    assert spec.expected == (Patch("001", "D001_2020", "Z1_UN"), Patch("002", "D002_2021", ""))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\n001\n", "no column 'patch'"),
        ("patch\n../x\n", "not a legal"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_csv_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "ids.csv").write_text(text)
    task = {k: v for k, v in TASK.items() if k != "id_ranges"} | {"ids_csv": "ids.csv"}
    with pytest.raises(SpecError, match=message):
        specs.parse({"task": task}, folder=tmp_path)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SpecError, match=r"no specification 'flair-9'.*flair-1"):
        specs.load("flair-9")


@pytest.mark.parametrize(
    ("name", "patches", "first", "last"),
    [("flair-1", 15_700, "061713", "077412"), ("flair-2", 16_050, "077413", "093462")],
)
def test_the_shipped_challenges(name: str, patches: int, first: str, last: str) -> None:
    spec = specs.load(name)
    ids = [p.id for p in spec.expected]
    assert (len(ids), ids[0], ids[-1]) == (patches, first, last)
    assert (spec.n_classes, spec.scored_ids) == (13, tuple(range(12)))
    assert spec.label_table[1:20].tolist() == [*range(12), *[12] * 7]
    assert (spec.unscored_policy, spec.absent_policy) == ("full-matrix", "skip")


def test_the_shipped_folder_may_be_given_as_a_path() -> None:
    assert specs.load(specs.SHIPPED / "flair-1") == specs.load("flair-1")


def test_the_example_is_a_legal_specification() -> None:
    assert abc_spec().n_classes == 3
