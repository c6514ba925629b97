"""An interval for a statistic of a whole set, by leaving groups of it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from tts.metrics.base import MetricValue

GROUPS = 20
FEWEST = 5
"""Fewer groups than this give no interval."""


def with_interval(features: NDArray[Any], statistic: Callable[[NDArray[Any]], float]) -> MetricValue:
    """A statistic with its 95 % interval by the delete-a-group jackknife (Kott 2001, J. Official Statistics 17).

    With g groups, ``se^2 = (g - 1)/g * sum (t_i - mean t)^2``, t_i being the statistic without group i; the interval
    is symmetric, of Student's t with g - 1 degrees of freedom. Row k is in group k mod g. A bias that depends on N
    only, as a Frechet distance has, is in the value and in no interval.

    Args:
        features: ``[N, F]``; groups need two rows each, else there is no interval.
        statistic: of some of the rows.
    """
    groups = min(GROUPS, len(features) // 2)
    value = statistic(features)
    if groups < FEWEST:
        return MetricValue(value)
    mine = np.arange(len(features)) % groups
    without = np.array([statistic(features[mine != group]) for group in range(groups)])
    error = np.sqrt((groups - 1) / groups * np.square(without - without.mean()).sum())
    half = float(stdtrit(groups - 1, 0.975) * error)
    return MetricValue(value, value - half, value + half)
