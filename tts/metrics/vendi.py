"""How many different images there are among many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tts.metrics.base import MetricValue
from tts.metrics.jackknife import count, groups, jackknife
from tts.metrics.on_features import OnFeatures
from tts.metrics.sums import Sums, chunks, sums

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Vendi(OnFeatures):
    """Vendi score (Friedman and Dieng 2023, arXiv 2210.02410, Def. 3.1): the effective number of different images.

    ``exp(-sum l log l)``, l being the eigenvalues of K/n with K the cosines between features: from 1, all being alike,
    to the smaller of n and F. It knows no real images; higher is more diverse.
    """

    tells: ClassVar = "diversity"

    @property
    def enough(self) -> int:
        """It cannot be more than the number of images, and of few images is near it."""
        return 5 * self.size

    def aggregate(self, features: NDArray[np.float32], reference: None) -> MetricValue:
        """The score, with a jackknife interval."""
        unit, mine = _unit(features), groups(len(features))
        whole = sums([unit], np.zeros(features.shape[1]))
        without = (_score(whole.without(unit[mine == group])) for group in range(count(mine)))
        return jackknife(_score(whole), without)


def _score(found: Sums) -> float:
    """The eigenvalues of ``X X^T / n`` that are not 0 are those of ``X^T X / n``, ``[F, F]`` whatever n is."""
    values = np.linalg.eigvalsh(found.second / found.n)
    values = values[values > 0]
    return float(np.exp(-(values * np.log(values)).sum()))


def _unit(features: NDArray[Any]) -> NDArray[np.float32]:
    """Rows scaled to unit length, float32; rows of zeros stay."""
    found = np.empty(features.shape, np.float32)
    start = 0
    for rows in chunks(features):
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        found[start : start + len(rows)] = rows / np.where(length > 0, length, 1)
        start += len(rows)
    return found
