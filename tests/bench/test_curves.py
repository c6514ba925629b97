"""Curves: numbers against scipy and by hand, labels, order, file."""

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
from scipy.stats import bootstrap
from synthetic_trials import trial, trials

from bench.curves import COLUMNS, count_text, curves, estimate, paired_difference, parquet
from tts.errors import SettingError


def naive(values: list[float | None], **given: object) -> pd.DataFrame:
    return pd.DataFrame([trial(condition=k, value=value, **given) for k, value in enumerate(values)])


def test_the_interval_is_scipys_bca() -> None:
    values = [0.1, 0.5, 0.2, 0.9, 0.4, 0.45, 0.3]
    [row] = curves(naive(values)).to_dict("records")
    expected = bootstrap((values,), np.mean, n_resamples=2000, method="BCa", rng=np.random.default_rng(0))
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval))
    assert row["low"] < row["mean"] < row["high"]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["std"] == pytest.approx(np.std(values, ddof=1))
    assert (row["n"], row["unscored"]) == (7, 0)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    found = [estimate(generator.standard_normal(40)) for _ in range(200)]
    assert 0.89 <= np.mean([one.low <= 0 <= one.high for one in found]) <= 0.99


def test_equal_values_have_an_interval_without_width_and_one_value_has_none() -> None:
    same = estimate(np.full(5, 0.1))
    assert same == (5, 0.1, 0.1, 0.1)
    alone = estimate(np.array([0.3]))
    assert alone[:2] == (1, 0.3)
    assert np.isnan(alone[2:]).all()


def test_nothing_scored_is_nan_and_never_zero() -> None:
    [row] = curves(naive([None, None])).to_dict("records")
    assert (row["n"], row["unscored"]) == (0, 2)
    assert np.isnan([row["mean"], row["low"], row["high"], row["std"]]).all()


def test_the_order_of_the_trials_changes_nothing() -> None:
    run = trials()
    expected = curves(run)
    for seed in range(3):
        assert_frame_equal(curves(run.sample(frac=1, random_state=seed)), expected, check_exact=True)


def test_another_process_finds_the_same_numbers() -> None:
    program = (
        "from synthetic_trials import trials; from bench.curves import curves; "
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
    assert set(frame["curve"]) == set(frame["search"])  # one curve a search: nothing to tell apart


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


def test_paired_difference_matches_problems_not_rows() -> None:
    base = np.array([0.1, 0.9, 0.4, 0.6, 0.2])
    gains = np.array([0.1, 0.12, 0.08, 0.1, 0.11])
    run = pd.concat([naive([*base, 0.7]), naive([*(base + gains), None], search="beam").iloc[::-1]], ignore_index=True)
    found = paired_difference(run, "brightness", ("beam", "{}"), ("naive", "{}"))
    assert found.n == 5  # the sixth problem is unscored on one side
    assert found == pytest.approx(estimate(gains))
    assert found.low > 0  # while the unpaired intervals overlap widely
    assert paired_difference(run, "brightness", ("naive", "{}"), ("beam", "{}")).mean == pytest.approx(-found.mean)


def test_paired_difference_without_common_problems_is_nan() -> None:
    run = pd.concat([naive([0.1, 0.2], seed=0), naive([0.1, 0.2], search="beam", seed=1)])
    n, *numbers = paired_difference(run, "brightness", ("beam", "{}"), ("naive", "{}"))
    assert n == 0
    assert np.isnan(numbers).all()


def test_paired_difference_refuses_what_it_cannot_pair() -> None:
    run = naive([0.1, 0.2])
    with pytest.raises(SettingError, match="no trials of search 'beam'"):
        paired_difference(run, "brightness", ("beam", "{}"), ("naive", "{}"))
    twice = pd.concat([run, run.assign(trial=["a", "b"])])
    with pytest.raises(SettingError, match="several trials of one problem"):
        paired_difference(twice, "brightness", ("naive", "{}"), ("naive", "{}"))


def test_parquet_round_trip() -> None:
    frame = curves(trials())
    assert_frame_equal(pd.read_parquet(io.BytesIO(parquet(frame))), frame, check_exact=True)


def test_a_failed_trial_is_in_no_curve() -> None:
    whole = naive([0.1, 0.5, 0.2]).assign(error=None)
    failed = naive([0.1, 0.5, 0.2, None]).assign(error=[None, None, None, "an engine died"])
    assert_frame_equal(curves(failed), curves(whole))


def test_needs_neither_torch_nor_ray_nor_pyplots_global_state() -> None:
    program = (
        "import sys, bench.curves, bench.table, bench.plots; "
        "print({'torch', 'ray', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, check=True
    )
    assert found.stdout.decode().strip() == "set()"
