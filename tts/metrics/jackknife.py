"""An interval for a statistic of a whole set, by leaving groups of it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from tts.metrics.base import MetricValue

GROUPS = 20
FEWEST = 5
"""Fewer groups than this give no interval."""


def with_interval(
    features: NDArray[Any], statistic: Callable[[NDArray[Any]], float], most: int = GROUPS
) -> MetricValue:
    """A statistic with its 95 % interval by the delete-a-group jackknife (Kott 2001, J. Official Statistics 17).

    With g groups, ``se^2 = (g - 1)/g * sum (t_i - mean t)^2``, t_i being the statistic without group i; the interval
    is symmetric, of Student's t with g - 1 degrees of freedom. Row k is in group k mod g. A bias that depends on N
    only, as a Frechet distance has, is in the value and in no interval.

    Args:
        features: ``[N, F]``; groups need two rows each, else there is no interval.
        statistic: of some of the rows.
        most: groups at most; fewer of them cost less and widen the interval a little.
    """
    value, mine = statistic(features), groups(len(features), most)
    return jackknife(value, (statistic(features[mine != group]) for group in range(count(mine))))


def groups(rows: int, most: int = GROUPS) -> NDArray[np.int64]:
    """The group of each of some rows; all are in group 0 where they are too few for an interval."""
    number = min(most, rows // 2)
    return np.arange(rows) % (number if number >= FEWEST else 1)


def count(mine: NDArray[np.int64]) -> int:
    """How many groups there are to leave out; none where all rows are in one."""
    number = int(mine.max(initial=0)) + 1
    return number if number > 1 else 0


def jackknife(value: float, without: Iterable[float]) -> MetricValue:
    """A value with the interval that comes of it without each of the groups; see :func:`with_interval`."""
    found = np.array(list(without))
    if len(found) == 0:
        return MetricValue(value)
    error = np.sqrt((len(found) - 1) / len(found) * np.square(found - found.mean()).sum())
    half = float(stdtrit(len(found) - 1, 0.975) * error)
    return MetricValue(value, value - half, value + half)
