"""Intervals: BCa against scipy, coverage of a known mean, clusters of conditions, effective n by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap, norm, t

from bench.benchmarks.coverage import BOUNDED, covered
from bench.statistics.intervals import RESAMPLES, effective_n, estimate, estimates, tail

REPETITIONS = 1000


@pytest.mark.parametrize("n", [3, 7, 40])
def test_the_interval_is_scipys_bca_with_expanded_tails(n: int) -> None:
    values = np.random.default_rng(n).beta(5, 2, n)
    expected = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=1 - 2 * tail(n),
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    found = estimate(values)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.mean == pytest.approx(values.mean())


def test_the_expanded_level_is_hesterbergs() -> None:
    assert tail(10) == pytest.approx(norm.cdf(-math.sqrt(10 / 9) * t.ppf(0.975, 9)))
    assert tail(10) == pytest.approx(0.00856, abs=1e-5)
    assert tail(10**6) == pytest.approx(0.025, abs=1e-6)


@pytest.mark.parametrize("n", [10, 36, 300])
@pytest.mark.parametrize("name", BOUNDED)
def test_ninety_three_to_ninety_seven_of_a_hundred_intervals_hold_the_mean(name: str, n: int) -> None:
    """With a true coverage of 0.93 or 0.97, the count would miss these bounds with probability 1 in 1000."""
    low, high = (0.93, 0.97) + norm.ppf([0.001, 0.999]) * np.sqrt(np.array([0.93 * 0.07, 0.97 * 0.03]) / REPETITIONS)
    assert low < covered(name, n, REPETITIONS, seed=3).share < high


def test_many_estimates_are_those_of_one_each() -> None:
    generator = np.random.default_rng(2)
    samples = [generator.uniform(size=n) for n in (5, 8, 5, 1, 0, 8)]
    together = estimates(samples)
    for one, sample in zip(together, samples, strict=True):
        assert one == pytest.approx(estimate(sample), nan_ok=True)


def test_equal_values_have_an_interval_without_width_and_one_value_has_none() -> None:
    same = estimate(np.full(5, 0.1))
    assert same == (5, 0.1, 0.1, 0.1)
    assert estimate(np.array([0.1 + 0.2, 0.3, 0.3])) == pytest.approx((3, 0.3, 0.3, 0.3))  # equal up to rounding
    alone = estimate(np.array([0.3]))
    assert alone[:2] == (1, 0.3)
    assert np.isnan(alone[2:]).all()
    none = estimate(np.array([]))
    assert none.n == 0
    assert np.isnan(none[1:]).all()


def test_conditions_are_drawn_whole() -> None:
    means = np.array([0.1, 0.5, 0.3, 0.8, 0.4])
    values = np.repeat(means, 3) + np.tile([-0.1, 0, 0.1], 5)
    conditions = np.repeat(["a", "b", "c", "d", "e"], 3)
    over = estimate(values, conditions)
    assert over == pytest.approx((15, *estimate(means)[1:]))
    problems = estimate(values)
    assert problems.high - problems.low < over.high - over.low


def test_conditions_of_unequal_size_count_by_their_problems() -> None:
    values, conditions = np.array([0.1, 0.2, 0.9, 0.8, 0.7]), np.array([0, 0, 1, 1, 1])
    found = estimate(values, conditions)
    assert (found.n, found.mean) == (5, pytest.approx(0.54))
    assert (found.low, found.high) == pytest.approx((0.15, 0.8))  # the range: a resample may hold one condition
    assert np.isnan(estimate(values, np.zeros(5))[2:]).all()


def test_effective_n_by_hand() -> None:
    # means 2 and 6; between: 2 (2^2 + 2^2) / 1 = 16, within: 4 (1^2) / 2 = 2; ICC = 14 / 18
    values, conditions = np.array([1.0, 3.0, 5.0, 7.0]), np.array([0, 0, 1, 1])
    assert effective_n(values, conditions) == pytest.approx(4 / (1 + 14 / 18))


def test_effective_n_of_conditions_of_unequal_size_by_hand() -> None:
    # sizes 1 and 3, means 0 and 4, all 3; between: 9 + 3 = 12, within: 2 / 2 = 1, m_0 = 4 - 10 / 4 = 1.5, m = 2.5
    values, conditions = np.array([0.0, 3.0, 4.0, 5.0]), np.array([0, 1, 1, 1])
    icc = (12 - 1) / (12 + 0.5 * 1)
    assert effective_n(values, conditions) == pytest.approx(4 / (1 + 1.5 * icc))


def test_effective_n_at_its_limits() -> None:
    one_each = np.array([0.1, 0.5, 0.2])
    assert effective_n(one_each, np.arange(3)) == 3
    assert effective_n(np.array([0.0, 1, 0, 1]), np.array([0, 0, 1, 1])) == 4  # clipped: less alike than by chance
    assert effective_n(np.array([0.0, 0, 1, 1]), np.array([0, 0, 1, 1])) == 2  # no variance within conditions
    assert effective_n(np.full(4, 0.3), np.array([0, 0, 1, 1])) == 4
    assert math.isnan(effective_n(one_each, np.zeros(3)))
    assert effective_n(np.array([]), np.array([])) == 0
