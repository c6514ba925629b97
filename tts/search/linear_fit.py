"""Fit a linear reward to few candidates of many dimensions, in plain floats: the same bits on every machine."""

from __future__ import annotations

import math
from collections.abc import Sequence

RIDGE = 1e-2
"""Variance of what is not linear, relative to a candidate's of unit length."""
FLAT = 1e-12
"""Relative spread of the values below which there is no slope."""


def slope_of(candidates: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """The slope at unit length of ``value = level + slope . candidate``: the least that fits the finite values.

    For orthogonal candidates it is the sum of each times its value's difference from the mean.

    Args:
        candidates: vectors of one length.
        values: of each of them; -inf where there is none.

    Returns:
        As many numbers as a candidate has; none where fewer than two values are finite, or all are equal.
    """
    known = [(row, value) for row, value in zip(candidates, values, strict=True) if value != -math.inf]
    found = [value for _, value in known]
    if len(known) < 2 or max(found) - min(found) <= FLAT * max(map(abs, found)):
        return []
    rows = [row for row, _ in known]
    kernel = [[_dot(a, b) + RIDGE * (i == j) for j, b in enumerate(rows)] for i, a in enumerate(rows)]
    ones, fitted = solved(kernel, [1.0] * len(rows)), solved(kernel, found)
    level = math.fsum(fitted) / math.fsum(ones)
    shares = [value - level * one for value, one in zip(fitted, ones, strict=True)]
    return unit([_dot(shares, column) for column in zip(*rows, strict=True)])


def solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """x of ``matrix x = right``, for a symmetric positive definite matrix, by Cholesky's factors."""
    size, factor = len(right), list[list[float]]()
    for i in range(size):
        row = list[float]()
        for j in range(i + 1):
            rest = matrix[i][j] - _dot(row[:j], factor[j][:j] if j < i else row[:j])
            row.append(rest / factor[j][j] if j < i else math.sqrt(rest))
        factor.append(row)
    forward = list[float]()
    for i in range(size):
        forward.append((right[i] - _dot(factor[i][:i], forward)) / factor[i][i])
    found = [0.0] * size
    for i in reversed(range(size)):
        after = math.fsum(factor[k][i] * found[k] for k in range(i + 1, size))
        found[i] = (forward[i] - after) / factor[i][i]
    return found


def unit(vector: Sequence[float]) -> list[float]:
    """The vector scaled to length 1; empty for a vector of length 0."""
    length = math.sqrt(_dot(vector, vector))
    return [value / length for value in vector] if length else []


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))
