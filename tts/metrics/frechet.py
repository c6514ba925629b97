"""The Frechet distance of many sets of features to one reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts.metrics.base import MetricValue
from tts.metrics.jackknife import count, groups, jackknife
from tts.metrics.sums import sums
from tts.training.frechet import Moments


class FrechetTo:
    """Squared Frechet distances of normal distributions to one of them (Heusel et al. 2017, arXiv 1706.08500).

    ``|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^{1/2})``. With R the symmetric root of C_b, ``C_a C_b`` has the
    eigenvalues of the symmetric ``R C_a R``, which cost a tenth of those of the product; R is found once.

    Args:
        reference: moments of the features of real images.
    """

    def __init__(self, reference: Moments) -> None:
        self.reference = reference
        values, vectors = np.linalg.eigh(reference.covariance)
        self.root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
        self.trace = float(np.trace(reference.covariance))

    def __call__(self, found: Moments) -> float:
        """The distance of other features of the same kind."""
        way = found.mean - self.reference.mean
        shared = np.linalg.eigvalsh(self.root @ found.covariance @ self.root)
        roots = np.sqrt(np.clip(shared, 0, None)).sum()
        return float(way @ way + np.trace(found.covariance) + self.trace - 2 * roots)


def frechet_with_interval(features: NDArray[Any], reference: Moments) -> MetricValue:
    """The distance with its jackknife interval; NaN of a single image.

    Args:
        features: ``[N, F]``; besides them, memory for a few matrices ``[F, F]`` is used.
        reference: of the same kind of features.
    """
    if len(features) < 2:
        return MetricValue(float("nan"))
    distance, whole, mine = FrechetTo(reference), sums([features]), groups(len(features))
    without = (distance(whole.without(features[mine == group]).moments) for group in range(count(mine)))
    return jackknife(distance(whole.moments), without)


def frechet_at_infinity(features: NDArray[Any], distance: FrechetTo, points: int) -> float:
    """The distance that infinitely many images would have (Chong and Forsyth 2020, arXiv 1911.07023, Sec. 4).

    Its expectation is linear in 1/n to first order; a line through the distances of the first n images, for ``points``
    values of n equally spaced from N/10 (two at least) to N, is read at 1/n = 0. There the subsets are drawn anew.

    Args:
        features: ``[N, F]``, in an order of chance.
        distance: to the reference.
        points: two at least.
    """
    sizes = np.unique(np.linspace(max(2, len(features) // 10), len(features), points).astype(int))
    if len(features) < 2 or len(sizes) < 2:
        return float("nan")
    found = []
    running = sums([features[: sizes[0]]])
    for start, end in zip(sizes, [*sizes[1:], sizes[-1]], strict=True):
        found.append(distance(running.moments))
        running = running.plus(features[start:end]) if end > start else running
    _, intercept = np.polyfit(1 / sizes, found, 1)
    return float(intercept)
