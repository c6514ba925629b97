"""The cross-entropy method: normal distributions that follow the best of what was drawn from them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import fmean, pvariance
from typing import TypeAlias

Point: TypeAlias = tuple[float, ...]


class CrossEntropy:
    """A normal distribution for each coordinate, standard ones at first.

    Args:
        dimension: number of coordinates.
        coins: what is drawn from.
        smoothing: in (0, 1]; weight of the elites against what was believed before.
        least: standard deviation of a coordinate that is never undercut.
    """

    def __init__(self, dimension: int, coins: random.Random, smoothing: float = 0.7, least: float = 0.1) -> None:
        self.means, self.spreads = [0.0] * dimension, [1.0] * dimension
        self._coins, self._smoothing, self._least = coins, smoothing, least

    def draw(self) -> Point:
        """A point."""
        return tuple(self._coins.gauss(mean, spread) for mean, spread in zip(self.means, self.spreads, strict=True))

    def learn(self, elites: Sequence[Point]) -> None:
        """Draw means and variances towards those of the elites; without any they stay."""
        if not elites:
            return
        kept, share, columns = 1 - self._smoothing, self._smoothing, list(zip(*elites, strict=True))
        variances = [
            kept * spread**2 + share * pvariance(column) for spread, column in zip(self.spreads, columns, strict=True)
        ]
        self.means = [kept * mean + share * fmean(column) for mean, column in zip(self.means, columns, strict=True)]
        self.spreads = [max(self._least, math.sqrt(variance)) for variance in variances]
