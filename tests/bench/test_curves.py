"""Curves: numbers against scipy and by hand, labels, order, the file."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from synthetic_trials import naive, trial, trials

from bench.statistics.curves import COLUMNS, count_text, curves, parquet
from bench.statistics.intervals import estimate


def test_a_point_is_the_mean_of_its_problems() -> None:
    values = [0.1, 0.5, 0.2, 0.9, 0.4, 0.45, 0.3]
    [row] = curves(naive(values)).to_dict("records")
    expected = estimate(np.array(values))
    assert (row["low"], row["high"]) == (expected.low, expected.high)
    assert row["low"] < row["mean"] < row["high"]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["std"] == pytest.approx(np.std(values, ddof=1))
    assert (row["n"], row["effective_n"], row["unscored"]) == (7, 7, 0)


def test_nothing_scored_is_nan_and_never_zero() -> None:
    [row] = curves(naive([None, None])).to_dict("records")
    assert (row["n"], row["unscored"]) == (0, 2)
    assert np.isnan([row["mean"], row["low"], row["high"], row["std"]]).all()


def test_the_order_of_the_trials_changes_nothing() -> None:
    run = trials()
    expected = curves(run)
    for seed in range(3):
        assert_frame_equal(curves(run.sample(frac=1, random_state=seed)), expected, check_exact=True)


@pytest.mark.slow
def test_another_process_finds_the_same_numbers() -> None:
    program = (
        "from synthetic_trials import trials; from bench.statistics.curves import curves; "
        "print(curves(trials(5)).to_json(double_precision=15))"
    )
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "7"}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert found.stdout.decode().strip() == curves(trials(5)).to_json(double_precision=15)


def test_unscored_trials_are_left_out_and_counted_with_their_cost() -> None:
    run = naive([0.2, None, 0.4, float("nan")])
    run["nfe"] = [10, 20, 30, 40]
    [row] = curves(run).to_dict("records")
    assert (row["n"], row["unscored"]) == (2, 2)
    assert row["mean"] == pytest.approx(0.3)
    assert row["nfe"] == 25


def test_a_trial_that_was_stored_twice_counts_once() -> None:
    run = naive([0.2, 0.4])
    assert_frame_equal(curves(pd.concat([run, run])), curves(run))


def test_a_trial_on_two_curves_is_a_point_of_both() -> None:
    settings = {"K": 20, "N": 4}
    run = pd.concat(
        [naive([0.2, 0.4], search="zero_order", settings=settings, budget=b, budget_value=settings[b]) for b in "KN"]
    )
    assert list(curves(run)["budget"]) == ["N", "K"]
    assert list(curves(run)["curve"]) == ["zero_order K=20", "zero_order N=4"]


def test_one_row_a_point_sorted_by_reward_curve_and_nfe() -> None:
    frame = curves(trials())
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 3 * 25
    expected = frame.sort_values(["reward", "curve", "nfe"], ignore_index=True)
    assert_frame_equal(frame, expected)
    assert set(frame["curve"]) == set(frame["search"])  # each search has one curve, so its name is the label


def test_labels_name_only_the_settings_that_differ() -> None:
    run = pd.concat(
        naive(
            [0.2, 0.3],
            search="eps_greedy",
            settings={"N": 4, "K": k, "lambda": radius, "keep_best": keep},
            budget="K",
            budget_value=float(k),
        )
        for k in (1, 2)
        for radius, keep in ((0.15, True), (0.3, True), (0.3, False))
    )
    assert sorted(set(curves(run)["curve"])) == [
        "eps_greedy keep_best=false lambda=0.3",
        "eps_greedy keep_best=true lambda=0.15",
        "eps_greedy keep_best=true lambda=0.3",
    ]


def test_settings_without_a_budget_are_told_apart_too() -> None:
    run = pd.concat(naive([0.1, 0.2], search="best_of_n", settings={"N": n}) for n in (2, 4))
    assert list(curves(run)["curve"]) == ["best_of_n N=2", "best_of_n N=4"]


def test_no_trials_make_no_rows() -> None:
    empty = curves(trials().iloc[:0])
    assert list(empty.columns) == COLUMNS
    assert empty.empty


def test_count_text_gives_the_range() -> None:
    assert count_text(curves(naive([0.1, 0.2]))) == "n = 2 problems"
    run = pd.concat([naive([0.1, 0.2]), naive([0.1, None], reward="compressibility")])
    assert count_text(curves(run)) == "n = 1 to 2 problems"
    assert count_text(curves(naive([0.1]))) == "n = 1 problem"
    assert count_text(curves(naive([0.1, 0.2])), "win") == "n = 2 wins"


def test_costs_are_means_and_unknown_ones_are_nan() -> None:
    run = naive([0.2, 0.4]).assign(nfe=[10, 30], wall_seconds=[1.0, 2.0])
    [row] = curves(run).to_dict("records")
    assert (row["nfe"], row["wall_seconds"], row["device_seconds"]) == (20, 1.5, 0.5)
    assert np.isnan(row["flops"])
    [row] = curves(run, flops=1e9).to_dict("records")
    assert row["flops"] == 20e9
    [row] = curves(naive([0.2, 0.4])).to_dict("records")  # a table of an older version
    assert np.isnan(row["wall_seconds"])


def test_seeds_of_one_condition_make_effective_n_smaller_and_an_interval_over_conditions_wider() -> None:
    run = pd.DataFrame(
        [trial(condition=c, seed=s, value=0.1 * c + 0.01 * (s + c) % 0.03) for c in range(6) for s in range(5)]
    )
    [row] = curves(run).to_dict("records")
    assert row["n"] == 30
    assert 6 < row["effective_n"] < 7
    [over] = curves(run, over="conditions").to_dict("records")
    assert (over["n"], over["mean"]) == (30, pytest.approx(row["mean"]))
    assert over["high"] - over["low"] > 1.5 * (row["high"] - row["low"])


def test_best_of_n_brings_its_smaller_points_with_it() -> None:
    samples = [[0.1, 0.4, 0.2, 0.3], [0.5, None, 0.7, 0.6]]
    run = naive(
        [0.4, 0.7],
        search="best_of_n",
        settings={"N": 4},
        budget="N",
        budget_value=4.0,
        nfe=140,
        device_seconds=2.0,
    ).assign(samples=samples)
    frame = curves(run, flops=10.0)
    assert list(frame["budget_value"]) == [1, 2, 4]
    assert list(frame["derived"]) == [True, True, False]
    assert list(frame["nfe"]) == [35, 70, 140]
    assert list(frame["flops"]) == [350, 700, 1400]
    assert list(frame["device_seconds"]) == [0.5, 1, 2]
    assert list(frame["left_out"]) == [1, 1, 0]
    assert set(frame["curve"]) == {"best_of_n"}
    # pairs of the first: (0.4 * 3 + 0.3 * 2 + 0.2) / 6; of the second: (0.7 * 2 + 0.6) / 3
    assert list(frame["mean"]) == pytest.approx([(0.25 + 0.6) / 2, (2 / 6 + 2 / 3) / 2, 0.55])
    assert list(curves(run, best_of=())["budget_value"]) == [4]
    assert list(curves(run, best_of=[3, 4, 9])["budget_value"]) == [3, 4]


def test_parquet_round_trip() -> None:
    frame = curves(trials())
    assert_frame_equal(pd.read_parquet(io.BytesIO(parquet(frame))), frame, check_exact=True)


def test_a_failed_trial_is_in_no_curve() -> None:
    whole = naive([0.1, 0.5, 0.2]).assign(error=None)
    failed = naive([0.1, 0.5, 0.2, None]).assign(error=[None, None, None, "an engine died"])
    assert_frame_equal(curves(failed), curves(whole))


@pytest.mark.slow
def test_needs_neither_torch_nor_ray_nor_pyplots_global_state() -> None:
    program = (
        "import sys, bench.statistics.curves, bench.report.table, bench.report.plots; "
        "print({'torch', 'ray', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, check=True
    )
    assert found.stdout.decode().strip() == "set()"
