"""Frechet distances to real images, of Inception's features or others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.metrics.base import MetricValue
from tts.metrics.compared import ComparedByMoments
from tts.metrics.extractors.base import SPATIAL
from tts.metrics.extractors.choice import Extractor
from tts.metrics.extractors.dinov2 import DINOv2
from tts.metrics.frechet import FrechetTo, frechet_at_infinity, frechet_with_interval
from tts.metrics.jackknife import with_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tts.training.frechet import Moments


class FID(ComparedByMoments):
    """Frechet distance (Heusel et al. 2017), of Inception's pooled features if no others are named; lower is better.

    A bias that grows as 1/N is in every value; compare values of as many images only. Published ones are of 50,000.
    """

    @property
    def enough(self) -> int:
        """Five images for each feature; with fewer, the covariance is not known and the distance far too large."""
        return 5 * self.size

    def aggregate(self, features: NDArray[np.float32], reference: Moments) -> MetricValue:
        """The distance, with a jackknife interval."""
        return frechet_with_interval(features, reference)


class SFID(FID):
    """FID of spatial features (Nash et al. 2021, arXiv 2103.03841): sees where things are; lower is better."""

    layer: ClassVar = SPATIAL


class FDDINOv2(FID):
    """FID of DINOv2's features (Stein et al. 2023, arXiv 2306.04675), which people agree with more; lower is better."""

    features: Extractor = Field(default_factory=DINOv2, description="the feature extractor: dinov2, or its settings")


class FIDInfinity(FID):
    """FID extrapolated to infinitely many images (Chong and Forsyth 2020, arXiv 1911.07023); lower is better.

    It has no bias to first order in 1/N, and so can be compared between numbers of images; its interval is wider.
    """

    groups: ClassVar = 10

    points: int = Field(10, ge=2, description="numbers of images through whose distances the line is drawn")

    def aggregate(self, features: NDArray[np.float32], reference: Moments) -> MetricValue:
        """The line's value at 1/N = 0, with a jackknife interval of ten groups."""
        distance = FrechetTo(reference)

        def value(rows: NDArray[Any]) -> float:
            return frechet_at_infinity(rows, distance, self.points)

        return with_interval(features, value, self.groups)
