"""Measures of reward hacking against brute force and closed forms."""

from __future__ import annotations

import json
import time
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from synthetic_trials import trial, trials

from bench.statistics.features import Features, reference_moments
from bench.statistics.hacking import (
    DIVERSITY,
    FRECHET,
    GAP,
    MATRIX,
    NAMED,
    diversity,
    frechet,
    gap_by_step,
    prediction_gap,
    score_matrix,
)
from tts.rewards.class_judge import ClassJudge
from tts.training.frechet import Moments, frechet_distance, moments

SEARCHES = ("naive", "random")


def scored(problems: int = 40, gain: float = 0.3) -> pd.DataFrame:
    """Two searches; what ``random`` gains on the searched reward, a judge sees a third of."""
    generator = np.random.default_rng(0)
    levels = generator.normal(0.5, 0.1, problems)
    rows = []
    for search in SEARCHES:
        for problem in range(problems):
            rise = gain + 0.02 * generator.normal() if search == "random" else 0.0
            value = levels[problem] + rise
            scores = {"score_brightness": value, "score_judge": levels[problem] + rise / 3}
            rows.append(trial(search=search, condition=problem % 10, seed=problem // 10, value=value, **scores))
    return pd.DataFrame(rows)


def cell(table: pd.DataFrame, **wanted: Any) -> pd.Series[Any]:
    """The one row that has these values."""
    for name, value in wanted.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_the_matrix_has_every_points_mean_of_every_score() -> None:
    given = scored()
    table = score_matrix(given)
    assert list(table.columns) == MATRIX
    assert len(table) == 4
    for row in table.to_dict("records"):
        scores = given.loc[given["search"] == row["search"], f"score_{row['scored_on']}"]
        assert (row["n"], row["mean"]) == (40, pytest.approx(scores.mean()))
    assert table.set_index("scored_on")["held_out"].to_dict() == {"brightness": False, "judge": True}


def test_a_gain_is_paired_and_in_naives_standard_deviations() -> None:
    given = scored()
    plain, found = (given[given["search"] == search] for search in SEARCHES)
    for name in ("brightness", "judge"):
        row = cell(score_matrix(given), search="random", scored_on=name)
        naive = plain[f"score_{name}"]
        assert row["naive_std"] == pytest.approx(naive.std())
        assert row["naive"] == pytest.approx(naive.mean())
        assert row["gain"] == pytest.approx((found[f"score_{name}"].mean() - naive.mean()) / naive.std())
        assert row["low"] < row["gain"] < row["high"]
        assert row["high"] - row["low"] < 0.2  # pairs agree far better than problems do
    assert set(score_matrix(given).query("search == 'naive'")["gain"]) == {0.0}


def test_gains_are_of_problems_that_both_have() -> None:
    """Half of naive is missing: means stay those of all scored problems, gains those of pairs."""
    given = scored()
    given.loc[given["search"].eq("random") & given["seed"].eq(3), "score_judge"] = np.nan
    table = score_matrix(given[~(given["search"].eq("naive") & given["seed"].lt(2))])
    row = cell(table, search="random", scored_on="judge")
    pairs = given[given["seed"] == 2].groupby("search")["score_judge"].mean()
    assert row["n"] == 30
    assert row["gain"] * row["naive_std"] == pytest.approx(pairs["random"] - pairs["naive"])


@pytest.mark.parametrize("kept", [["random"], ["naive", "random"]])
def test_without_naives_spread_there_is_no_gain(kept: list[str]) -> None:
    given = scored()
    table = score_matrix(given[given["search"].isin(kept) & given["seed"].eq(0) & given["condition"].eq("3")])
    assert table[["gain", "low", "high"]].isna().all(axis=None)
    assert table["mean"].notna().all()


def test_failed_and_unscored_trials_are_in_no_cell() -> None:
    given = scored().assign(error=None)
    failed = given.iloc[[-1]].assign(trial="f", error="out of memory", value=np.nan, score_judge=99.0)
    unscored = given.iloc[[-1]].assign(trial="u", value=np.nan, score_judge=np.nan, score_brightness=np.nan)
    with_both = score_matrix(pd.concat([given, failed, unscored.assign(seed=77)]))
    assert cell(with_both, search="random", scored_on="judge")["n"] == 40
    pd.testing.assert_frame_equal(with_both, score_matrix(given))


def test_every_budget_and_reward_has_a_row() -> None:
    given = trials(12)
    given = given.assign(**{f"score_{name}": given["value"] for name in ("brightness", "compressibility")})
    table = score_matrix(given)
    assert len(table) == given.groupby(["reward", "search", "settings"]).ngroups * 2
    assert set(table["curve"]) == set(given["search"])


def imaged(seeds: int = 4, conditions: int = 3, size: int = 5) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Trials of two searches with features, in no order."""
    rows = [
        trial(search=search, condition=condition, seed=seed)
        for search in SEARCHES
        for condition in range(conditions)
        for seed in range(seeds)
    ]
    frame = pd.DataFrame(rows).sample(frac=1, random_state=0, ignore_index=True)
    return frame, np.random.default_rng(0).normal(0.5, 1, (len(frame), size)).astype(np.float32)


def brute_force(frame: pd.DataFrame, features: NDArray[Any]) -> float:
    """Mean over conditions of the mean over pairs."""
    found: dict[str, list[float]] = {}
    for a, b in combinations(range(len(frame)), 2):
        if frame["condition"].iloc[a] == frame["condition"].iloc[b]:
            x, y = features[a].astype(float), features[b].astype(float)
            distance = 1 - x @ y / np.linalg.norm(x) / np.linalg.norm(y)
            found.setdefault(frame["condition"].iloc[a], []).append(distance)
    return float(np.mean([np.mean(distances) for distances in found.values()]))


def test_diversity_equals_brute_force_over_pairs() -> None:
    frame, features = imaged()
    table = diversity(frame, features)
    assert list(table.columns) == DIVERSITY
    for search in SEARCHES:
        mine = (frame["search"] == search).to_numpy()
        row = cell(table, search=search)
        assert row["distance"] == pytest.approx(brute_force(frame[mine], features[mine]), rel=1e-5)
        assert (row["images"], row["conditions"], row["pairs"]) == (12, 3, 18)
        assert row["low"] <= row["distance"] <= row["high"]
    naive, random = (cell(table, search=search) for search in SEARCHES)
    assert naive["relative"] == 1
    assert random["relative"] == pytest.approx(random["distance"] / naive["distance"])


def test_images_that_are_missing_or_alone_are_in_no_pair() -> None:
    frame, features = imaged()
    gone = ((frame["condition"] == "0") & (frame["seed"] > 0)).to_numpy()
    features[gone] = np.nan
    row = cell(diversity(frame, features), search="random")
    kept = ((frame["condition"] != "0") & (frame["search"] == "random")).to_numpy()
    assert (row["images"], row["conditions"], row["pairs"]) == (9, 2, 12)
    assert row["distance"] == pytest.approx(brute_force(frame[kept], features[kept]), rel=1e-5)


def test_one_image_of_each_condition_has_no_diversity() -> None:
    table = diversity(*imaged(seeds=1))
    assert set(table["pairs"]) == {0}
    assert table[["distance", "low", "high", "relative"]].isna().all(axis=None)


def test_equal_images_have_distance_0_and_opposite_ones_2() -> None:
    frame, _ = imaged(seeds=2)
    same, turned = np.ones((len(frame), 4), np.float32), np.ones((len(frame), 4), np.float32)
    turned[(frame["seed"] == 1).to_numpy()] = -1
    assert diversity(frame, same)["distance"].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert diversity(frame, turned)["distance"].tolist() == pytest.approx([2, 2])


def reference(size: int = 5) -> Moments:
    draws = np.random.default_rng(1).normal(0.5, 1, (5000, size))
    return moments(draws)


def test_frechet_is_each_points_distance_with_its_n() -> None:
    frame, features = imaged()
    table = frechet(frame, features, reference())
    assert list(table.columns) == FRECHET
    for search in SEARCHES:
        mine = (frame["search"] == search).to_numpy()
        row = cell(table, search=search)
        assert row["n"] == 12
        assert row["distance"] == pytest.approx(frechet_distance(moments(features[mine]), reference()))


@pytest.mark.parametrize(("images", "warned"), [(9, True), (10, False)])
def test_too_few_images_always_warn(images: int, warned: bool) -> None:
    frame, features = imaged(seeds=images, conditions=1)
    table = frechet(frame, features, reference())
    assert table["warning"].notna().tolist() == [warned] * 2
    if warned:
        assert table["warning"][0].startswith("9 images are too few for 5 features")


def test_the_floor_is_what_the_reference_itself_would_have() -> None:
    """It falls with n, and draws from the reference lie about on it."""
    frame, features = imaged(seeds=200)
    few, many = (frechet(frame[keep], features[keep], reference()) for keep in (frame["seed"] < 5, frame["seed"] >= 0))
    assert few["floor"].min() > 5 * many["floor"].max() > 0
    assert many["distance"].tolist() == pytest.approx(many["floor"].tolist(), rel=0.5)


def test_one_image_has_no_frechet_distance() -> None:
    frame, features = imaged(seeds=1, conditions=1)
    table = frechet(frame, features, reference())
    assert table[["distance", "floor"]].isna().all(axis=None)
    assert table["warning"].notna().all()


def test_the_shipped_reference_is_of_the_shipped_judges_features() -> None:
    digest = ClassJudge().identity()["weights"]
    found = reference_moments(Features(np.empty((0, 192), np.float32), "the judge's", digest))
    assert found is not None
    assert (found.n, found.mean.shape) == (50_000, (192,))
    assert np.linalg.eigvalsh(found.covariance).min() > -1e-6
    assert frechet_distance(found, found) == pytest.approx(0, abs=1e-3)


def evaluation(**given: Any) -> dict[str, Any]:
    row = {
        "trial": "",
        "round": 0,
        "candidate": 0,
        "first": 0,
        "stop": 1,
        "kind": "global",
        "reward": 0.5,
        "chosen": True,
    }
    return {**row, **given}


def traced() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Steps 1 to 3 of ``random`` with two candidates each, the second better and chosen; naive is not scored."""
    frame = pd.DataFrame([trial(search=search, seed=seed, value=0.6) for search in SEARCHES for seed in range(8)])
    rows = []
    for key, search, seed in frame[["trial", "search", "seed"]].itertuples(index=False):
        if search == "naive":
            rows.append(evaluation(trial=key, stop=3, reward=None))
            continue
        for step in range(3):
            best = 0.6 + (2 - step) * (0.1 + 0.01 * seed)
            for place in range(2):
                level = best - 0.2 * (1 - place)
                rows.append(
                    evaluation(
                        trial=key,
                        round=step,
                        candidate=place,
                        first=step,
                        stop=step + 1,
                        reward=level,
                        chosen=place == 1,
                    )
                )
    return frame, pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_the_gap_is_the_last_chosen_prediction_less_the_final_image() -> None:
    table = prediction_gap(*traced())
    assert list(table.columns) == [*NAMED, *GAP]
    assert table["search"].tolist() == ["random"]
    row = table.iloc[0]
    assert row["n"] == 8
    assert row["gap"] == pytest.approx(0.1 + 0.01 * 3.5) == row["size"]
    assert (row["predicted"], row["final"]) == (pytest.approx(0.6 + row["gap"]), pytest.approx(0.6))
    assert row["low"] < row["gap"] < row["high"]


def test_the_gap_shrinks_from_step_to_step() -> None:
    table = gap_by_step(*traced())
    assert table["stop"].tolist() == [1, 2]
    assert table["gap"].tolist() == pytest.approx([0.27, 0.135])


def test_of_several_chosen_the_best_counts_and_unscored_ones_do_not() -> None:
    frame, rows = traced()
    frame = frame[frame["search"] == "random"]
    beside = rows[(rows["candidate"] == 1) & (rows["stop"] == 2)].assign(candidate=2)
    better = pd.concat([rows, beside.assign(reward=0.9), beside.assign(candidate=3, reward=None)])
    assert prediction_gap(frame, better)["gap"].tolist() == pytest.approx([0.3])


def test_a_run_without_predictions_has_an_empty_table_with_its_columns() -> None:
    frame, rows = traced()
    naive = frame[frame["search"] == "naive"]
    assert list(prediction_gap(naive, rows).columns) == [*NAMED, *GAP]
    assert prediction_gap(naive, rows).empty
    assert gap_by_step(naive, rows.iloc[:0]).empty


def test_final_images_without_a_value_have_no_gap() -> None:
    frame, rows = traced()
    frame.loc[(frame["search"] == "random") & (frame["seed"] < 3), "value"] = np.nan
    assert prediction_gap(frame, rows)["n"].tolist() == [5]


@pytest.mark.slow
def test_a_hundred_thousand_images_take_seconds() -> None:
    """16 points with 6250 images of 250 conditions each, 256 features."""
    n, size = 100_000, 256
    place = np.arange(n)
    settings = [json.dumps({"N": k}) for k in range(16)]
    columns = {"search": "random", "budget": "N", "reward": "brightness", "error": None, "value": 0.5}
    frame = pd.DataFrame({"trial": place.astype(str), "seed": place % 25, **columns})
    frame["settings"] = np.array(settings)[place % 16]
    frame["budget_value"] = (place % 16).astype(float)
    frame["condition"] = (place // 16 % 250).astype(str)
    features = np.random.default_rng(0).standard_normal((n, size), np.float32)
    begun = time.process_time()
    table = diversity(frame, features)
    distances = frechet(frame, features, Moments(n, np.zeros(size), np.eye(size)))
    assert time.process_time() - begun < 30
    assert table["pairs"].tolist() == [250 * 25 * 24 // 2] * 16
    assert distances["warning"].isna().all()
    assert distances["distance"].to_numpy() == pytest.approx(distances["floor"].to_numpy(), rel=0.1)
