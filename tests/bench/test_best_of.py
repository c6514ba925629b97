"""Best of k against all subsets and simulation, and the points of its curve."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from synthetic_trials import naive

from bench.statistics.best_of import best_of_k
from bench.statistics.observations import COLUMNS, observations


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_it_is_the_mean_over_all_subsets(n: int) -> None:
    samples = np.random.default_rng(n).normal(size=n)
    expected = [np.mean([max(chosen) for chosen in itertools.combinations(samples, k)]) for k in range(1, n + 1)]
    assert best_of_k(samples) == pytest.approx(expected)


def test_equal_samples_and_both_ends() -> None:
    samples = np.array([0.2, 0.9, 0.2, 0.5])
    assert best_of_k(samples, [1, 4]) == pytest.approx([0.45, 0.9])
    assert best_of_k(np.full(7, 0.3)) == pytest.approx(np.full(7, 0.3))


def test_unscored_samples_are_left_out() -> None:
    assert best_of_k([0.1, None, 0.4, float("nan")]) == pytest.approx([0.25, 0.4, np.nan, np.nan], nan_ok=True)
    assert np.isnan(best_of_k([None, None])).all()


def test_thousands_of_samples_keep_their_digits() -> None:
    samples = np.random.default_rng(0).uniform(size=3000)
    ordered = np.sort(samples)
    for k in (2, 700, 2999):
        total = math.comb(3000, k)
        exact = sum(math.comb(i - 1, k - 1) / total * r for i, r in enumerate(ordered, 1))
        assert best_of_k(samples, [k])[0] == pytest.approx(exact, rel=1e-12)
    # the best of n uniform samples is n / (n + 1) on average
    assert best_of_k(np.arange(1, 3001) / 3001, [2, 9]) == pytest.approx([2 / 3, 9 / 10])


def test_it_is_unbiased() -> None:
    runs = np.random.default_rng(1).exponential(size=(4000, 8))
    found = np.array([best_of_k(run) for run in runs])
    expected = np.cumsum(1 / np.arange(1, 9))  # the best of k exponential samples: 1 + 1/2 + ... + 1/k
    error = found.std(0) / math.sqrt(len(runs))
    assert (np.abs(found.mean(0) - expected) < 4 * error).all()


def best_of_n(n: int, samples: list[list[float | None]], first: int = 0) -> pd.DataFrame:
    values = [max(one for one in some if one is not None) for some in samples]
    run = naive(values, search="best_of_n", settings={"N": n}, budget="N", budget_value=float(n), nfe=35 * n)
    return run.assign(samples=samples, seed=first)


def test_points_that_were_run_are_not_derived() -> None:
    run = pd.concat([best_of_n(2, [[0.1, 0.3]]), best_of_n(4, [[0.1, 0.3, 0.2, 0.2]])])
    frame = observations(run).sort_values("budget_value")
    assert list(frame.columns) == COLUMNS
    assert list(frame["budget_value"]) == [1, 2, 4]
    assert list(frame["derived"]) == [True, False, False]
    assert list(frame["value"]) == pytest.approx([0.2, 0.3, 0.3])
    assert list(frame["nfe"]) == [35, 70, 140]
    assert frame["trial"].is_unique


def test_each_problem_uses_its_largest_trial() -> None:
    """A problem may lack its largest trial, as in an unfinished run."""
    run = pd.concat([best_of_n(8, [[0.1] * 7 + [0.9]]), best_of_n(2, [[0.3, 0.5]], first=1)])
    frame = observations(run, best_of=[1, 4])
    values = frame.set_index(["seed", "budget_value"])["value"].to_dict()
    assert values == pytest.approx({(0, 1): 0.2, (0, 4): 0.5, (0, 8): 0.9, (1, 1): 0.4, (1, 2): 0.5})


def test_rewards_and_other_settings_stay_apart_and_others_are_untouched() -> None:
    run = pd.concat(
        [
            best_of_n(2, [[0.1, 0.3]]),
            best_of_n(4, [[0.1, 0.3, 0.2, 0.2]]).assign(reward="compressibility", trial="c"),
            naive([0.2]).assign(samples=None),
            naive([0.2], search="best_of_n", settings={"N": 4}).assign(samples=[[0.2] * 4]),  # no budget: no curve
        ]
    )
    frame = observations(run)
    made = frame[frame["derived"]]
    assert sorted(zip(made["reward"], made["budget_value"], strict=True)) == [
        ("brightness", 1),
        ("compressibility", 1),
        ("compressibility", 2),
    ]
    assert set(made["settings"]) == {'{"N":1}', '{"N":2}'}
    assert len(frame) == 4 + 3


def test_nothing_to_derive_and_twice_is_once() -> None:
    run = naive([0.2, 0.4])
    assert not observations(run)["derived"].any()
    assert not observations(run.assign(samples=None))["derived"].any()
    assert not observations(best_of_n(1, [[0.5]]))["derived"].any()
    once = observations(best_of_n(4, [[0.1, 0.3, 0.2, 0.2]]))
    assert observations(once) is once
