"""What best-of-k would have found for every k up to N, from the N samples of one best-of-N trial."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bench.statistics.intervals import Vector
from tts.settings import canonical

BUDGET = "N"
CURVE = ["reward", "search", "rest"]


def best_of_k(samples: ArrayLike, k: Sequence[int] | None = None) -> Vector:
    """Unbiased estimate of the best reward of k samples, for each k.

    The mean over all subsets of k of the n scored samples, r_(1) <= ... <= r_(n), without going through them:
    E[max of k] = sum_i C(i - 1, k - 1) / C(n, k) r_(i), since r_(i) is the best of C(i - 1, k - 1) subsets.

    Args:
        samples: rewards, [N]; NaN or None is unscored and left out.
        k: sizes of the subsets, each at least 1; None: 1 to N.

    Returns:
        One number for each k; NaN where k is more than the scored samples.
    """
    given = np.asarray(samples, np.float64)
    scored = np.sort(given[~np.isnan(given)])
    sizes = np.arange(1, len(given) + 1) if k is None else np.asarray(k, int)
    expected = np.full(len(sizes), np.nan)
    known = sizes <= len(scored)
    if known.any():
        expected[known] = _weights(len(scored), sizes[known]) @ scored
    return expected


def _weights(n: int, sizes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Vector:
    """C(i - 1, k - 1) / C(n, k) for i = 1, ..., n and each k, [sizes, n].

    From the top down, k / n and then (i - k) / (i - 1) from one to the next: no binomial is formed, none overflows.
    """
    k = sizes[:, None]
    i = np.arange(n, 1, -1)
    steps = np.maximum(i - k, 0) / (i - 1)
    downwards = np.concatenate([k / n, steps], axis=1).cumprod(axis=1)
    return downwards[:, ::-1]


def derived(trials: pd.DataFrame, k: Sequence[int] | None, costs: Sequence[str]) -> pd.DataFrame:
    """Rows as if best-of-k had been run on every problem on which best-of-N was.

    Of each problem, the trial with the most samples is used. A row costs k / N of its trial.

    Args:
        trials: one row per trial, with the column ``samples``.
        k: the points to derive; None: the powers of two below a curve's largest N. Never one that was run.
        costs: columns of what a trial costs.

    Returns:
        The rows of the trials used, once for each k, with another trial, settings, budget_value, value and costs;
        ``left_out`` counts the samples that could not be scored.
    """
    usable = trials[trials["samples"].notna() & (trials["budget"] == BUDGET)]
    if usable.empty:
        return usable.assign(left_out=0)
    usable = usable.assign(rest=usable["settings"].map(_without_budget), size=usable["samples"].map(len))
    portions = [_derived_curve(curve, k, list(costs)) for _, curve in usable.groupby(CURVE, sort=False)]
    return pd.concat(portions, ignore_index=True).drop(columns=["rest", "size"])


def _derived_curve(curve: pd.DataFrame, k: Sequence[int] | None, costs: list[str]) -> pd.DataFrame:
    most = int(curve["size"].max())
    asked = [2**power for power in range(most.bit_length())] if k is None else sorted(set(k))
    points = [size for size in asked if size < most and size not in set(curve["budget_value"])]
    largest = curve.sort_values("size", kind="stable").drop_duplicates(["condition", "seed"], keep="last")
    values = np.stack([best_of_k(samples, points) for samples in largest["samples"]])
    left_out = largest["samples"].map(lambda samples: int(np.isnan(np.asarray(samples, np.float64)).sum()))
    largest = largest.assign(left_out=left_out)
    rows = [_point(largest.assign(value=values[:, place]), size, costs) for place, size in enumerate(points)]
    return pd.concat(rows) if rows else largest.iloc[:0]


def _point(largest: pd.DataFrame, size: int, costs: list[str]) -> pd.DataFrame:
    """The rows of one k, of those problems that have as many samples, scored or not."""
    largest = largest[largest["size"] >= size]
    return largest.assign(
        trial=largest["trial"] + f"/{size}",
        settings=largest["rest"].map(lambda rest: canonical({**json.loads(rest), BUDGET: size})),
        budget_value=float(size),
        **{cost: largest[cost] * size / largest["size"] for cost in costs},
    )


def _without_budget(settings: str) -> str:
    return canonical({name: value for name, value in json.loads(settings).items() if name != BUDGET})
