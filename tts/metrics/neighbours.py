"""Nearest neighbours among features, and what follows from them, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from tts.metrics.base import MetricValue

HELD = 1 << 23
"""Distances that are held at once."""


class Manifold:
    """Features of one set of images, and balls around them that reach to their k-th nearest neighbours.

    Args:
        rows: ``[N, F]``.
    """

    def __init__(self, rows: NDArray[Any]) -> None:
        self.rows = rows
        self._radii: dict[int, NDArray[np.float64]] = {}
        self._known: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def once(self, name: str, of: Callable[[NDArray[Any]], float]) -> float:
        """A number of these rows, computed when it is first asked for: a reference serves every point of a run."""
        if name not in self._known:
            self._known[name] = of(self.rows)
        return self._known[name]

    def radii(self, k: int) -> NDArray[np.float64]:
        """Squared distances to the k-th nearest other row, ``[N]``; k < N."""
        if k not in self._radii:
            found = [np.partition(near, k, axis=1)[:, k] for near in squared_distances(self.rows, self.rows)]
            self._radii[k] = np.concatenate(found)  # the nearest is the row itself
        return self._radii[k]

    def holding(self, others: NDArray[Any], k: int) -> NDArray[np.int64]:
        """In how many of the balls each of other rows lies, ``[M]``."""
        found = [(near <= self.radii(k)).sum(axis=1) for near in squared_distances(others, self.rows)]
        return np.concatenate(found)

    def reached(self, others: NDArray[Any], k: int) -> NDArray[np.bool_]:
        """Whether each of the balls holds one of other rows at least, ``[N]``."""
        nearest = [near.min(axis=1) for near in squared_distances(self.rows, others)]
        found: NDArray[np.bool_] = np.concatenate(nearest) <= self.radii(k)
        return found


def squared_distances(a: NDArray[Any], b: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """Squared distances from some rows of ``a`` at a time to all of ``b``, ``[n, len(b)]``."""
    step = max(1, HELD // max(1, len(b)))
    centre = b.mean(axis=0, dtype=float)  # far from 0, differences of squares lose digits
    for start in range(0, len(a), step):
        x = a[start : start + step] - centre
        found = np.empty((len(x), len(b)))
        for left in range(0, len(b), 4096):
            y = b[left : left + 4096] - centre
            found[:, left : left + 4096] = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
        if a is b:
            found[np.arange(len(x)), np.arange(start, start + len(x))] = 0
        yield np.maximum(found, 0)


def share(hits: NDArray[np.bool_]) -> MetricValue:
    """The share of rows for which something holds, with Wilson's 95 % interval (1927, J. Am. Stat. Assoc. 22)."""
    n, z = len(hits), 1.959963984540054
    p = float(hits.mean())
    middle, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n)
    half *= float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return MetricValue(p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half)))


def mean(values: NDArray[np.float64]) -> MetricValue:
    """A mean over rows, with its 95 % interval by Student's t."""
    if len(values) < 2:
        return MetricValue(float(values.mean()))
    half = float(stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values)))
    return MetricValue(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)
