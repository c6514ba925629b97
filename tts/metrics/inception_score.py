"""How sure a classifier is of each image, and how many classes it sees in all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.special import log_softmax

from tts.metrics.base import MetricValue
from tts.metrics.extractors.base import LOGITS
from tts.metrics.jackknife import count, groups, jackknife
from tts.metrics.on_features import OnFeatures
from tts.metrics.sums import chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray


class InceptionScore(OnFeatures):
    """Inception score (Salimans et al. 2016, arXiv 1606.03498); higher is better. It knows no real images.

    The mean over splits of ``exp(mean KL(p(y|x) || p(y)))``. Rewards that judge images one by one raise it, whatever
    becomes of diversity (Ma et al. 2025, arXiv 2501.09732): read it beside recall, coverage or the Vendi score.
    """

    layer: ClassVar = LOGITS
    tells: ClassVar = "quality"

    splits: int = Field(10, ge=1, description="parts that are averaged; published values are of 10")

    @property
    def enough(self) -> int:
        """A split needs images of every class."""
        return 5 * self.size

    def aggregate(self, features: NDArray[np.float32], reference: None) -> MetricValue:
        """The score, with a jackknife interval; NaN of fewer images than splits."""
        if len(features) < self.splits:
            return MetricValue(float("nan"))
        mine = groups(len(features))
        sums = _sums(features, self.splits, mine)
        whole = tuple(each.sum(axis=1) for each in sums)
        without = (
            _score(*(all_ - each[:, group] for all_, each in zip(whole, sums, strict=True)))
            for group in range(count(mine))
        )
        return jackknife(_score(*whole), without)


def _sums(logits: NDArray[Any], splits: int, mine: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """By split and group: images, sums of ``p log p`` over classes, and of p for each class."""
    number = max(1, count(mine))
    images, known = np.zeros((splits, number)), np.zeros((splits, number))
    seen = np.zeros((splits, number, logits.shape[1]))
    start = 0
    ends = np.arange(1, splits + 1) * len(logits) // splits
    for rows in chunks(logits):
        log_p = log_softmax(rows, axis=1)
        p = np.exp(log_p)
        places = np.arange(start, start + len(rows))
        at = np.searchsorted(ends, places, side="right"), mine[places]
        np.add.at(images, at, 1)
        np.add.at(known, at, (p * log_p).sum(axis=1))
        np.add.at(seen, at, p)
        start += len(rows)
    return images, known, seen


def _score(images: NDArray[Any], known: NDArray[Any], seen: NDArray[Any]) -> float:
    """Of splits: images ``[S]``, sums of ``p log p`` ``[S]`` and of p ``[S, classes]``."""
    there = images > 0
    images, known, seen = images[there], known[there], seen[there]
    q = seen / images[:, None]
    mixed = np.where(q > 0, q * np.log(np.maximum(q, np.finfo(float).tiny)), 0).sum(axis=1)
    return float(np.exp(known / images - mixed).mean())
