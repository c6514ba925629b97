"""P-values: scipy's permutation test, enumeration by hand, Holm by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import kstest, permutation_test

from bench.statistics.significance import effect, holm, sign_flip


def test_few_differences_try_all_signs() -> None:
    differences = np.array([0.3, -0.1, 0.4, 0.2, 0.0, 0.25])
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product([-1, 1], repeat=6)]
    expected = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12)
    scipys = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip([differences]) == [pytest.approx(expected)]
    assert scipys.pvalue == pytest.approx(expected)


def test_all_of_one_sign_are_the_least_likely_of_all() -> None:
    assert sign_flip([np.full(10, 0.1), np.full(10, -0.1)]) == [2 / 2**10] * 2
    assert sign_flip([np.full(300, 0.1)]) == [1 / 20001]


def test_many_differences_draw_signs() -> None:
    differences = np.random.default_rng(0).standard_normal(40) + 0.25
    expected = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1).pvalue
    assert sign_flip([differences])[0] == pytest.approx(expected, rel=0.2)


def test_without_a_difference_p_is_uniform() -> None:
    samples = list(np.random.default_rng(4).standard_t(3, (400, 25)))
    assert kstest(sign_flip(samples), "uniform").pvalue > 0.01


def test_ties_change_nothing_but_are_all_that_there_is_sometimes() -> None:
    some = np.array([0.1, 0.2, -0.05])
    assert sign_flip([np.concatenate([some, np.zeros(4)])]) == sign_flip([some])
    assert sign_flip([np.zeros(5), np.zeros(30)]) == [1, 1]
    assert np.isnan(sign_flip([np.array([])])).all()


def test_holm_by_hand() -> None:
    # in order 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1 are 0.04, 0.06, 0.06, 0.04; never less than before
    assert holm(np.array([0.03, 0.01, 0.04, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm(np.array([0.5, 0.001, 0.9])) == pytest.approx([1, 0.003, 1])
    assert holm(np.array([0.01, np.nan, 0.5])) == pytest.approx([0.02, np.nan, 0.5], nan_ok=True)
    assert len(holm(np.array([]))) == 0


def test_effect_is_the_mean_in_standard_deviations() -> None:
    assert effect(np.array([1.0, 2.0, 3.0])) == 2
    assert np.isnan(effect(np.array([0.1, 0.1])))
    assert np.isnan(effect(np.array([0.1])))
