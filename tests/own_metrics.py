"""A metric of sets as a user would write it: how far the mean colours of images spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tts.metrics.base import Metric, MetricSettings, MetricValue
from tts.metrics.jackknife import with_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class MeanColour:
    """Mean red, green and blue of each image, in [0, 1]."""

    host = True

    def features(self, images: Tensor) -> Tensor:
        """Mean colours, ``[B, 3]``."""
        return images.double().mean(dim=(2, 3)).float() / 255


class ColourSpread(MetricSettings):
    """Variance of the mean colours of images, summed over red, green and blue."""

    dtype: ClassVar = "float16"

    @property
    def extractor(self) -> str:
        """Name of the extractor: mean colours."""
        return "mean colour"

    @property
    def enough(self) -> int:
        """Fewest images: a variance of less says little."""
        return 4

    def load(self, device: str = "cpu") -> Metric:
        """The extractor; it has no weights."""
        return MeanColour()

    def aggregate(self, features: NDArray[np.float32], reference: Any) -> MetricValue:
        """The biased variance, so that one image gives 0."""
        return with_interval(features, lambda rows: float(rows.var(axis=0, dtype=float).sum()))
