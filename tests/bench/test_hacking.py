"""Measures of reward hacking against closed forms: gains on every reward, and predictions that promised more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic_trials import cell, trial, trials

from bench.statistics.hacking import (
    GAP,
    MATRIX,
    NAMED,
    gap_by_step,
    prediction_gap,
    score_matrix,
)

SEARCHES = ("naive", "random")


def scored(problems: int = 40, gain: float = 0.3) -> pd.DataFrame:
    """Two searches; a judge sees a third of what ``random`` gains on the searched reward."""
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
        assert row["high"] - row["low"] < 0.2  # differences of pairs vary far less than problems
    assert set(score_matrix(given).query("search == 'naive'")["gain"]) == {0.0}


def test_gains_are_of_problems_that_both_have() -> None:
    """Half of naive's trials are missing: means are over all scored problems, gains over pairs."""
    given = scored()
    given.loc[given["search"].eq("random") & given["seed"].eq(3), "score_judge"] = np.nan
    table = score_matrix(given[~(given["search"].eq("naive") & given["seed"].lt(2))])
    row = cell(table, search="random", scored_on="judge")
    pairs = given[given["seed"] == 2].groupby("search")["score_judge"].mean()
    assert row["n"] == 30
    assert row["gain"] * row["naive_std"] == pytest.approx(pairs["random"] - pairs["naive"])


def test_a_rewards_name_may_end_like_a_searchs() -> None:
    given = scored().rename(columns={"score_judge": "score_brightness_naive"})
    table = score_matrix(given)
    pd.testing.assert_frame_equal(table.replace("brightness_naive", "judge"), score_matrix(scored()))


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
    """Steps 1 to 3 of ``random`` with two candidates each, of which the second is better and chosen; naive has no
    scores."""
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
