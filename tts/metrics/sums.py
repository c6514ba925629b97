"""Sums over the features of many images, from which those of a group can be taken away again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tts.training.frechet import Moments

ROWS = 2048
"""Rows that are taken to float64 at once."""


class Sums(NamedTuple):
    """Of ``n`` rows about a centre: their sum ``[F]`` and the sum of their outer products ``[F, F]``, float64."""

    n: int
    centre: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]

    def without(self, rows: NDArray[Any]) -> Sums:
        """The sums of the others, of rows that are part of these."""
        gone = sums([rows], self.centre)
        return Sums(self.n - gone.n, self.centre, self.first - gone.first, self.second - gone.second)

    def plus(self, rows: NDArray[Any]) -> Sums:
        """The sums of these rows and more."""
        more = sums([rows], self.centre)
        return Sums(self.n + more.n, self.centre, self.first + more.first, self.second + more.second)

    @property
    def moments(self) -> Moments:
        """Mean and covariance (n - 1) of more than one row."""
        mean = self.first / self.n
        covariance = (self.second - np.outer(mean, self.first)) / (self.n - 1)
        return Moments(self.n, self.centre + mean, covariance)


def sums(parts: Iterable[NDArray[Any]], centre: NDArray[np.float64] | None = None) -> Sums:
    """Sums of rows that come in parts ``[n, F]``, of which there is one with rows at least.

    Args:
        centre: what is taken from each row first, so that nothing cancels; left out: the first part's mean.
    """
    found: Sums | None = None
    for rows in (chunk for part in parts for chunk in chunks(part)):
        if found is None:
            centre = rows.mean(axis=0) if centre is None else centre
            size = len(centre)
            found = Sums(0, centre, np.zeros(size), np.zeros((size, size)))
        about = rows - found.centre
        found = Sums(found.n + len(rows), found.centre, found.first + about.sum(axis=0), found.second + about.T @ about)
    if found is None:
        raise ValueError("sums of no rows")
    return found


def chunks(rows: NDArray[Any], size: int = ROWS) -> Iterator[NDArray[np.float64]]:
    """Rows as float64, some at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size].astype(np.float64)
