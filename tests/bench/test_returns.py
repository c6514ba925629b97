"""Diminishing returns: gains per doubling by hand, fits of known curves, and refusals to fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit
from synthetic_trials import naive, trials

from bench.statistics.intervals import estimate
from bench.statistics.returns import COLUMNS, returns
from bench.statistics.saturation import COLUMNS as SATURATION
from bench.statistics.saturation import fit, saturation

COSTS = np.array([35.0, 70, 140, 280, 560, 1120])


def study(means: np.ndarray, problems: int = 60, noise: float = 0.02, seed: int = 0) -> pd.DataFrame:
    """A curve with these means, over problems whose spread is much larger than the curve's rise."""
    generator = np.random.default_rng(seed)
    base = 0.3 * generator.standard_normal(problems)
    return pd.concat(
        naive(
            [*(mean + base + noise * generator.standard_normal(problems))],
            search="random",
            settings={"N": n},
            budget="N",
            budget_value=float(n),
            nfe=int(cost),
        )
        for n, (mean, cost) in enumerate(zip(means, COSTS, strict=False), 1)
    )


def test_gain_per_doubling_by_hand() -> None:
    first, gains = np.array([0.1, 0.5, 0.2, 0.3, 0.6]), np.array([0.2, 0.4, 0.3, 0.1, 0.2])
    run = pd.concat(
        naive([*values], search="beam", settings={"N": n}, budget="N", budget_value=float(n), nfe=nfe)
        for n, nfe, values in ((8, 400, first + gains), (2, 100, first))
    )
    [row] = returns(run).to_dict("records")
    assert list(returns(run).columns) == COLUMNS
    assert (row["from_value"], row["to_value"], row["from_cost"], row["to_cost"]) == (2, 8, 100, 400)
    assert (row["doublings"], row["n"]) == (2, 5)
    low, high = estimate(gains)[2:]
    assert (row["gain"], row["gain_low"], row["gain_high"]) == pytest.approx((0.24, low, high))
    assert (row["per_doubling"], row["low"], row["high"]) == pytest.approx((0.12, low / 2, high / 2))
    assert not row["derived"]


def test_every_two_neighbours_of_every_curve_have_a_row() -> None:
    frame = returns(trials())
    assert len(frame) == 3 * (3 + 3 + 2 + 2 + 4 + 4)
    assert returns(naive([0.1, 0.2])).empty
    assert returns(trials(), axis="flops").empty
    seconds = returns(trials(), axis="device_seconds")
    assert seconds.empty  # all points cost the same


def test_derived_points_are_steps_too() -> None:
    run = naive([0.4, 0.7], search="best_of_n", settings={"N": 2}, budget="N", budget_value=2.0, nfe=70)
    [row] = returns(run.assign(samples=[[0.2, 0.4], [0.7, 0.6]])).to_dict("records")
    assert (row["from_value"], row["to_value"], row["derived"]) == (1, 2, True)
    assert row["per_doubling"] == pytest.approx((0.1 + 0.05) / 2)


def test_the_fit_is_scipys_least_squares() -> None:
    means = 0.9 - 0.6 * (COSTS / 35) ** -0.7 + 0.01 * np.random.default_rng(0).standard_normal(6)

    def curve(u: np.ndarray, a: float, b: float, k: float) -> np.ndarray:
        return a - b * u**-k

    expected, _ = curve_fit(curve, COSTS / 35, means, [1, 1, 1])
    found = fit(means[None], COSTS)
    assert [found.a[0], found.b[0], found.k[0]] == pytest.approx(expected, rel=1e-4)
    assert found.residuals[0] == pytest.approx(means - curve(COSTS / 35, *expected), abs=1e-6)


def test_a_saturating_curve_is_found_with_an_interval_around_the_truth() -> None:
    means = 0.9 - 2.0 * COSTS**-0.5
    hits, fits = 0, 0
    for seed in range(24):
        [row] = saturation(study(means, seed=seed)).to_dict("records")
        fits += row["fits"]
        offset = row["a"] - 0.9 - _base(seed)  # the mean of the problems is not an error of the curve
        hits += row["a_low"] - row["a"] <= -offset <= row["a_high"] - row["a"]
        assert row["k_low"] < row["k"] < row["k_high"]
    assert fits >= 21
    assert hits >= 20


def _base(seed: int) -> float:
    return float(0.3 * np.random.default_rng(seed).standard_normal(60).mean())


def test_without_noise_the_parameters_are_exact() -> None:
    [row] = saturation(study(0.9 - 2.0 * COSTS**-0.5, noise=0.0)).to_dict("records")
    assert list(saturation(study(COSTS)).columns) == SATURATION
    assert (row["points"], row["n"], row["fits"], row["reason"]) == (6, 60, True, "")
    assert (row["a"] - _base(0), row["b"], row["k"]) == pytest.approx((0.9, 2.0, 0.5), rel=1e-4)


@pytest.mark.parametrize(
    ("means", "reason"),
    [
        ([0.1, 0.2, 0.3], "too few points (3 of at least 4)"),
        ([0.5, 0.4, 0.3, 0.2, 0.1], "the means do not rise with compute"),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "it still rises with every doubling, no ceiling is in sight"),
        ([0.1, 0.5, 0.5, 0.5, 0.5, 0.5], "all of the gain comes with the first step"),
        ([0.1, 0.4, 0.35, 0.6, 0.55, 0.65], "point 3 lies 0.10"),
        ([0.1, 0.118, 0.13, 0.138], "the ceiling is uncertain by"),
    ],
)
def test_what_does_not_fit_is_said_plainly(means: list[float], reason: str) -> None:
    [row] = saturation(study(np.array(means))).to_dict("records")
    assert not row["fits"]
    assert row["reason"].startswith("does not fit: ")
    assert reason in row["reason"]


def test_few_problems_and_unscored_ones() -> None:
    run = study(0.9 - 2.0 * COSTS**-0.5, problems=6)
    run.loc[(run["nfe"] == 70) & run["condition"].isin(["0", "1"]), "value"] = None
    [row] = saturation(run).to_dict("records")
    assert (row["n"], row["reason"]) == (4, "does not fit: too few problems (4 of at least 5)")
    assert np.isnan(row["a"])


def test_one_point_is_no_curve() -> None:
    assert saturation(naive([0.1, 0.2])).empty
    assert list(saturation(trials().iloc[:0]).columns) == SATURATION
