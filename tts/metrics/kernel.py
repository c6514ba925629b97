"""The kernel distance of two sets of features, exact over all pairs, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts.metrics.base import MetricValue
from tts.metrics.jackknife import count, groups, jackknife
from tts.metrics.sums import chunks

ROWS = 1024
"""Rows of a block of the kernel's matrix; so many squared numbers are held at once."""


def cubic(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The polynomial kernel ``(x.y / F + 1)^3`` of rows ``[n, F]`` and ``[m, F]``, as ``[n, m]``."""
    found: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1) ** 3
    return found


def mean_of_pairs(rows: NDArray[Any]) -> float:
    """The mean of the kernel over all pairs of different rows ``[n, F]``; NaN of a single one."""
    n = len(rows)
    return float(_among(rows, np.zeros(n, int)).sum()) / (n * (n - 1)) if n > 1 else float("nan")


def kernel_with_interval(features: NDArray[Any], reference: NDArray[Any], real: float | None = None) -> MetricValue:
    r"""Unbiased squared maximum mean discrepancy (Binkowski et al. 2018, arXiv 1801.01401; Gretton et al. 2012, Eq. 3).

    ``sum_{i != j} k(x_i, x_j) / n(n-1) + sum_{i != j} k(y_i, y_j) / m(m-1) - 2 sum k(x_i, y_j) / nm`` over all pairs;
    its expectation does not depend on n, and it may fall below 0. Published code averages subsets of 1,000, which
    estimates the same with more variance. The interval is a jackknife over the images.

    Args:
        features: ``[n, F]``; NaN of a single one.
        reference: ``[m, F]``, of real images, m > 1.
        real: :func:`mean_of_pairs` of the reference, where it is known already.
    """
    n, m, mine = len(features), len(reference), groups(len(features))
    if n < 2 or m < 2:
        return MetricValue(float("nan"))
    among, across = _among(features, mine), _across(features, reference, mine)
    known = mean_of_pairs(reference) if real is None else real

    def value(own: float, cross: float, rows: int) -> float:
        return own / (rows * (rows - 1)) + known - 2 * cross / (rows * m)

    whole = value(float(among.sum()), float(across.sum()), n)
    without = []
    for group in range(count(mine)):
        own = among.sum() - among[group].sum() - among[:, group].sum() + among[group, group]
        without.append(value(float(own), float(across.sum() - across[group]), n - int((mine == group).sum())))
    return jackknife(whole, without)


def _among(rows: NDArray[Any], mine: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of the kernel over pairs of different rows, by the groups of the two, ``[G, G]``."""
    number = int(mine.max(initial=0)) + 1
    found = np.zeros((number, number))
    for i, x in enumerate(chunks(rows, ROWS)):
        of_x = _members(mine[i * ROWS : i * ROWS + len(x)], number)
        for j, y in enumerate(chunks(rows[: i * ROWS + len(x)], ROWS)):
            kernel = cubic(x, y)
            if i == j:
                np.fill_diagonal(kernel, 0)
            block = of_x.T @ kernel @ _members(mine[j * ROWS : j * ROWS + len(y)], number)
            found += block if i == j else block + block.T
    return found


def _across(rows: NDArray[Any], others: NDArray[Any], mine: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of the kernel over pairs of one of the rows and one of the others, by the row's group, ``[G]``."""
    number = int(mine.max(initial=0)) + 1
    found = np.zeros(number)
    for i, x in enumerate(chunks(rows, ROWS)):
        of_x = _members(mine[i * ROWS : i * ROWS + len(x)], number)
        for y in chunks(others, ROWS):
            found += of_x.T @ cubic(x, y).sum(axis=1)
    return found


def _members(mine: NDArray[np.int64], number: int) -> NDArray[np.float64]:
    """The group of each row, ``[n, G]`` of 0 and 1."""
    found: NDArray[np.float64] = (mine[:, None] == np.arange(number)).astype(float)
    return found
