"""The benchmarks measure what they say; their small forms run here."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")

from baselines import cli, train  # noqa: E402
from baselines.bench import learning, loader, site, step, strong  # noqa: E402
from baselines.data import layout, samples  # noqa: E402
from baselines.train import recipe as recipes  # noqa: E402
from scoring.engine.scorer import child  # noqa: E402
from scoring.engine.scorer.verdicts import Scored  # noqa: E402
from scoring.engine.task import specification as specs  # noqa: E402
from scoring.engine.truth import store  # noqa: E402


def test_the_plain_reader_reads_what_ours_reads(tree: Path) -> None:
    """Else the loader's benchmark would compare two different things."""
    import numpy as np

    class _Still:
        def random(self) -> float:
            return 1.0

        def integers(self, low: int, high: int) -> int:
            return 0

    patch = layout.index(tree, part="train").patches[2]
    image, mask, series = loader._read_plainly(patch, _Still())  # type: ignore[arg-type]
    ours = samples.read(patch, options=loader.OPTIONS)
    assert ours.aerial is not None
    assert ours.series is not None
    assert np.allclose(image, ours.aerial / 255.0)
    assert np.array_equal(mask, ours.mask)  # type: ignore[arg-type]
    assert np.allclose(series, ours.series / 10_000.0, atol=6e-5)


def test_saved_memory_counts_each_storage_once() -> None:
    weight = torch.randn(256, 256, requires_grad=True)

    def square() -> Any:
        return (weight * weight).sum()

    assert step._saved_mib(square) == pytest.approx(256 * 256 * 4 / 2**20)


def test_a_run_goes_through_the_site_to_the_leaderboard(tree: Path, tmp_path: Path) -> None:
    """The learning bench's chain with one epoch: predict, package, submit over HTTP, read back."""
    torch.set_num_threads(1)
    recipe = recipes.changed(recipes.load("tiny-utt"), {"training.epochs": 1})
    run_dir = tmp_path / "run"
    train.run(recipe, data_root=tree, out_dir=run_dir, cache_dir=tmp_path / "cache")
    learning.shuffle_series(tree, out=tmp_path / "shuffled")
    spec = learning.small_spec(tree)
    challenge = site.write_challenge(tmp_path / "small-bench", spec=spec)
    assert specs.load(challenge / "challenge.toml").expected == spec.expected
    labels = tree / "flair_2_labels_test"
    teams = {"as-it-is": tree, "shuffled": tmp_path / "shuffled"}
    with site.serve(
        tmp_path / "site", challenge=challenge, labels=labels, teams=list(teams)
    ) as served:
        for team, root in teams.items():
            learning.submit_run(run_dir, site=served, tree=root, spec=spec, team=team)
        rows = {row["team"]: row for row in served.leaderboard()}
    assert set(rows) == set(teams)
    store.pack(labels, tmp_path / "truth.store", spec=spec)
    verdict = child.run(
        spec=spec, truth_path=tmp_path / "truth.store", archive_path=run_dir / "as-it-is.zip",
        evidence_path=tmp_path / "evidence", timeout_s=300, on_progress=lambda progress: None,
    )  # fmt: skip
    assert isinstance(verdict, Scored)
    assert rows["as-it-is"]["miou"] == pytest.approx(verdict.card["miou"], abs=5e-5)
    assert rows["shuffled"]["miou"] != rows["as-it-is"]["miou"]


def test_a_site_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with (
        pytest.raises(site.SiteError, match=r"challenge\.toml"),
        site.serve(
            tmp_path / "site", challenge=tmp_path / "nothing", labels=tmp_path, teams=["one"]
        ),
    ):
        pass


def test_the_claims_are_those_of_the_results() -> None:
    def row(miou: float, earth: float) -> learning.Row:
        return learning.Row(miou, {"pervious_surface": earth, "bare_soil": earth, "water": 1.0})

    rows = {
        ("utt", 1): row(0.8, 0.8), ("unet", 1): row(0.6, 0.3), ("utae", 1): row(0.4, 0.3),
        ("utt_shuffled", 1): row(0.5, 0.3), ("utt_misaligned", 1): row(0.7, 0.5),
        ("near_utt", 1): row(0.7, 0.6), ("near_utt_without_collapsed", 1): row(0.65, 0.3),
    }  # fmt: skip
    assert all(learning.summarise(rows)["claims"].values())
    rows |= {("unet", 1): row(0.66, 0.3), ("near_utt_without_collapsed", 1): row(0.65, 0.5)}
    failed = [name for name, holds in learning.summarise(rows)["claims"].items() if not holds]
    assert failed == [
        "utt_beats_unet_by_15", "utt_beats_unet_by_15_for_every_seed",
        "surroundings_need_the_collapsed_branch",
    ]  # fmt: skip


def test_each_strong_recipe_is_held_against_the_published_one() -> None:
    rows = {name: {"miou": 0.3} for name in (*strong.STRONG, strong.ENSEMBLE)}
    rows |= {strong.PUBLISHED: {"miou": 0.2}, "strong-maxvit": {"miou": 0.2}}
    claims = strong.summarise(rows, allowed_s=1.0)["claims"]
    assert [name for name, holds in claims.items() if not holds] == [
        "strong_maxvit_beats_the_published_utt"
    ]


def test_a_claim_that_does_not_hold_is_named() -> None:
    results = {"loader": {"ratio": 44.0}, "learning": {"claims": {"sure": True, "bold": False}}}
    assert cli._failed_claims(results) == ["bold"]


def test_shuffled_series_are_those_of_another_zone(tree: Path, tmp_path: Path) -> None:
    import numpy as np

    learning.shuffle_series(tree, out=tmp_path)
    options = dataclasses.replace(loader.OPTIONS, metadata=None, masks=False)
    own, shuffled = (
        samples.Files(layout.index(root, part="test").patches, options=options).gather([0, 2])
        for root in (tree, tmp_path)
    )
    assert np.array_equal(shuffled.aerial, own.aerial)  # type: ignore[arg-type]
    assert own.days is not None
    assert shuffled.days is not None
    real = [
        batch.days[row][~batch.padding[row]].tolist()  # type: ignore[index]
        for batch in (own, shuffled)
        for row in range(2)
    ]
    assert real[2:] == [real[1], real[0]]
