"""Measure how often 95 % intervals contain a known mean."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.statistics.intervals import Vector, estimates

Draw = Callable[[np.random.Generator, tuple[int, int]], Vector]

REWARDS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda generator, shape: generator.standard_normal(shape), 0.0),
    "uniform": (lambda generator, shape: generator.uniform(size=shape), 0.5),
    "beta(5, 2)": (lambda generator, shape: generator.beta(5, 2, shape), 5 / 7),
    "lognormal": (lambda generator, shape: generator.lognormal(size=shape), math.exp(0.5)),
}
"""Simulated rewards and their means."""
BOUNDED = ["normal", "uniform", "beta(5, 2)"]
"""Those whose intervals must keep what they promise; a lognormal's tail is seldom seen in a sample."""
SIZES = (10, 36, 300)


@dataclass(frozen=True)
class Coverage:
    """Coverage of the intervals of one kind.

    Args:
        reward: distribution of a problem's reward.
        n: problems of each repetition.
        repetitions: intervals made.
        share: of them, those that held the mean.
        below, above: shares of intervals wholly below the mean, and wholly above.
        width: their mean width.
        seconds: to make all of them.
    """

    reward: str
    n: int
    repetitions: int
    share: float
    below: float
    above: float
    width: float
    seconds: float


def covered(reward: str, n: int, repetitions: int, seed: int = 0) -> Coverage:
    """Intervals of repeated simulations of n problems against the mean that they were drawn with."""
    draw, mean = REWARDS[reward]
    samples = draw(np.random.default_rng(seed), (repetitions, n))
    start = time.perf_counter()
    found = np.array([(one.low, one.high) for one in estimates(list(samples))])
    seconds = time.perf_counter() - start
    below, above = float((found[:, 1] < mean).mean()), float((found[:, 0] > mean).mean())
    width = float((found[:, 1] - found[:, 0]).mean())
    return Coverage(reward, n, repetitions, 1 - below - above, below, above, width, seconds)
