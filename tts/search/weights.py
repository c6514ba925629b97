"""Weights of candidates by their rewards, in log space, and resampling by weights."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import accumulate
from statistics import fmean, pstdev
from typing import TypeAlias

Resampling: TypeAlias = Callable[[Sequence[float], int, random.Random], list[int]]
"""A function from weights and a number of particles to the number of copies of each."""


def softmax(values: Sequence[float], scale: float = 1.0) -> list[float]:
    """Weights in proportion to ``exp(scale value)``, which sum to 1.

    A value of -inf (a failed reward) weighs nothing; where all are, all weigh the same.

    Args:
        values: finite or -inf.
        scale: at least 0; of any size, as only differences to the greatest value are taken.
    """
    highest = max(values)
    if highest == -math.inf:
        return [1 / len(values)] * len(values)
    powers = [0.0 if value == -math.inf else math.exp(scale * (value - highest)) for value in values]
    total = math.fsum(powers)
    return [power / total for power in powers]


def log_mean_exp(values: Sequence[float], scale: float) -> float:
    """``log(mean exp(scale value)) / scale``: near the mean for a small scale, the greatest value for a large one."""
    highest = max(values)
    if highest == -math.inf:
        return highest
    return highest + math.log1p(fmean(math.expm1(scale * (value - highest)) for value in values)) / scale


def effective(weights: Sequence[float]) -> float:
    """Effective sample size ``1 / sum w^2``, between 1 and their number."""
    return 1 / math.fsum(weight * weight for weight in weights)


def drawn(weights: Sequence[float], chance: float) -> int:
    """The index at which the cumulated weights first exceed ``chance`` in [0, 1)."""
    last = max(k for k, weight in enumerate(weights) if weight > 0)
    return next((k for k, level in enumerate(accumulate(weights)) if chance < level), last)


def standardised(values: Sequence[float]) -> list[float]:
    """Differences to the mean over the standard deviation, of the values that are finite; the others get 0.

    Where all finite values are equal, all are 0.
    """
    known = [value for value in values if value != -math.inf]
    spread = pstdev(known) if known else 0.0
    if spread <= 1e-12 * max((abs(value) for value in known), default=0.0):
        return [0.0] * len(values)
    mean = fmean(known)
    return [0.0 if value == -math.inf else (value - mean) / spread for value in values]


def multinomial(weights: Sequence[float], k: int, coins: random.Random) -> list[int]:
    """k independent draws."""
    counts = [0] * len(weights)
    for _ in range(k):
        counts[drawn(weights, coins.random())] += 1
    return counts


def systematic(weights: Sequence[float], k: int, coins: random.Random) -> list[int]:
    """One uniform number u, and the points ``(u + i) / k``: each count is ``k w`` rounded down or up."""
    counts, first = [0] * len(weights), coins.random()
    for i in range(k):
        counts[drawn(weights, (first + i) / k)] += 1
    return counts


def ssp(weights: Sequence[float], k: int, coins: random.Random) -> list[int]:
    """Srinivasan's sampling process (Gerber et al. 2017, arXiv 1706.02348): fractional parts, two at a time.

    Of two, one gives to the other until one of them is whole; each count is ``k w`` rounded down or up.
    """
    counts = [math.floor(k * weight + 1e-9) for weight in weights]
    parts = {n: k * weight - count for n, (weight, count) in enumerate(zip(weights, counts, strict=True))}
    held: int | None = None  # the one whose part is not decided
    for n, part in parts.items():
        if part <= 1e-9:
            continue
        if held is None:
            held = n
            continue
        up, down = min(1 - parts[held], part), min(parts[held], 1 - part)
        if coins.random() * (up + down) < down:
            parts[held], parts[n] = parts[held] + up, part - up
        else:
            parts[held], parts[n] = parts[held] - down, part + down
        held = _settled(parts, counts, held, n)
    if held is not None and sum(counts) < k:  # what rounding has left
        counts[held] += 1
    return counts


def _settled(parts: dict[int, float], counts: list[int], *pair: int) -> int | None:
    """Count a pair's whole copies; return the one whose part is still undecided, if any."""
    left = None
    for n in pair:
        if parts[n] >= 1 - 1e-9:
            counts[n] += 1
        elif parts[n] > 1e-9:
            left = n
    return left


RESAMPLING: dict[str, Resampling] = {"systematic": systematic, "multinomial": multinomial, "ssp": ssp}
"""By the names that settings use."""


def ancestors(counts: Sequence[int]) -> list[int]:
    """The indices, each as often as its count says, in order."""
    return [n for n, count in enumerate(counts) for _ in range(count)]
