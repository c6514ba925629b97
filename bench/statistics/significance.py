"""Whether a mean difference could be chance: p-values of paired differences, corrected for many comparisons."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.statistics.intervals import CELLS, ROUNDING, SEED, Labels, Vector

EXACT = 14
"""Differences up to which all 2^n assignments of signs are tried."""
FLIPS = 20_000
LEAST = 1 / (FLIPS + 1)
"""The least p of drawn signs."""


def sign_flip(samples: Sequence[Vector]) -> list[float]:
    """Two-sided p-values of mean differences by flipping their signs (Fisher's randomisation test).

    If neither search is better, each problem's difference could as well have had the other sign: p is the share of
    assignments of signs whose mean lies as far from 0. This asks about the mean, as the interval beside it does, where
    Wilcoxon's test asks about ranks and may point the other way for skewed rewards; and problems that tie, as many do
    where one search contains the other, add nothing and need no convention.

    All assignments are tried for n <= 14. For more, 20,000 drawn ones and the found one (Phipson and Smyth 2010): the
    least possible p is then 1/20001, and never 0.

    Args:
        samples: for each test, the differences, [n], without NaN.

    Returns:
        For each test p in (0, 1]; NaN without differences.
    """
    found = [math.nan] * len(samples)
    for size in sorted({len(sample) for sample in samples} - {0}):
        places = [k for k, sample in enumerate(samples) if len(sample) == size]
        differences = np.stack([samples[k] for k in places])
        for k, p in zip(places, _two_sided(differences), strict=True):
            found[k] = float(p)
    return found


def totals(differences: Vector, conditions: Labels) -> Vector:
    """Each condition's sum of differences: its problems share a sign where signs of whole conditions are flipped."""
    places = np.unique(conditions, return_inverse=True)[1]
    sums: Vector = np.bincount(places, weights=differences).astype(np.float64)
    return sums


def holm(p: Vector) -> Vector:
    """P-values corrected for their number by Holm's step-down method (Holm 1979); valid whatever their dependence.

    The smallest of m is multiplied by m, the next by m - 1, ...; none becomes less than one before it, or more than 1.

    Args:
        p: [m]; NaN is no test, counts for nothing and stays.
    """
    corrected = np.full(len(p), np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def effect(differences: Vector) -> float:
    """Cohen's d_z: the mean of paired differences over their standard deviation (n - 1); NaN where they are equal."""
    if len(differences) < 2 or np.ptp(differences) <= ROUNDING * np.abs(differences).max():
        return math.nan
    return float(differences.mean() / differences.std(ddof=1))


def _two_sided(differences: Vector) -> Vector:
    """P-values, [tests], of differences, [tests, n]."""
    n = differences.shape[1]
    found = np.abs(differences.sum(1, keepdims=True))
    bar = found - ROUNDING * np.abs(differences).sum(1, keepdims=True)  # sums equal but for rounding count
    farther = np.zeros(len(differences))
    for signs in _signs(n):
        farther += (np.abs(differences @ signs.T) >= bar).sum(1)
    return farther / 2**n if n <= EXACT else (farther + 1) / (FLIPS + 1)


def _signs(n: int) -> Iterator[Vector]:
    """All assignments of -1 and 1 to n differences, or random ones, by and by: [portion, n]."""
    if n <= EXACT:
        yield _as_signs((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return
    generator = np.random.default_rng(SEED)
    portion = max(1, CELLS // n)
    for start in range(0, FLIPS, portion):
        rows = min(portion, FLIPS - start)
        bits = np.unpackbits(np.frombuffer(generator.bytes(-(-rows * n // 8)), np.uint8), count=rows * n)
        yield _as_signs(bits.reshape(rows, n))


def _as_signs(bits: NDArray[np.integer[Any]]) -> Vector:
    return 2 * bits.astype(np.float64) - 1
