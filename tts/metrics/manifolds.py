"""Quality apart from diversity: whether generated images lie among real ones, and real ones among generated."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tts.metrics.base import MetricValue
from tts.metrics.compared import ComparedByImages
from tts.metrics.neighbours import Manifold, mean, share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _Balls(ComparedByImages):
    """A metric of balls that reach to the k-th nearest neighbours.

    Its interval takes the balls as given, and is over the images that lie in them or not.
    """

    fewest: ClassVar = 10_000

    @property
    def enough(self) -> int:
        """Shares of balls depend on how many images span them."""
        return self.fewest

    def few(self, features: NDArray[np.float32], reference: Manifold, k: int) -> bool:
        """Whether some row has fewer than k neighbours."""
        return min(len(features), len(reference)) <= k


class Precision(_Balls):
    """Share of images that lie among real ones (Kynkaanniemi et al. 2019, arXiv 1904.06991, Eq. 1): quality."""

    tells: ClassVar = "quality"

    k: int = Field(3, ge=1, description="nearest neighbours that a ball reaches to")

    def aggregate(self, features: NDArray[np.float32], reference: Manifold) -> MetricValue:
        """In [0, 1]; higher is better."""
        if self.few(features, reference, self.k):
            return MetricValue(float("nan"))
        return share(reference.holding(features, self.k) > 0)


class Recall(_Balls):
    """Share of real images that lie among these (Kynkaanniemi et al. 2019, arXiv 1904.06991, Eq. 1): diversity."""

    tells: ClassVar = "diversity"

    k: int = Field(3, ge=1, description="nearest neighbours that a ball reaches to")

    def aggregate(self, features: NDArray[np.float32], reference: Manifold) -> MetricValue:
        """In [0, 1]; higher is better."""
        if self.few(features, reference, self.k):
            return MetricValue(float("nan"))
        return share(Manifold(features).holding(reference.rows, self.k) > 0)


class Density(_Balls):
    """In how many balls of real images an image lies (Naeem et al. 2020, arXiv 2002.09797, Eq. 4): quality.

    Unlike precision, a lone real image with a large ball counts for little.
    """

    tells: ClassVar = "quality"

    k: int = Field(5, ge=1, description="nearest neighbours that a ball reaches to")

    def aggregate(self, features: NDArray[np.float32], reference: Manifold) -> MetricValue:
        """From 0; about 1 for real images, and it may be more; higher is better."""
        if self.few(features, reference, self.k):
            return MetricValue(float("nan"))
        return mean(reference.holding(features, self.k) / self.k)


class Coverage(_Balls):
    """Share of real images whose balls hold one of these (Naeem et al. 2020, arXiv 2002.09797, Eq. 5): diversity."""

    tells: ClassVar = "diversity"

    k: int = Field(5, ge=1, description="nearest neighbours that a ball reaches to")

    def aggregate(self, features: NDArray[np.float32], reference: Manifold) -> MetricValue:
        """In [0, 1]; higher is better."""
        if self.few(features, reference, self.k):
            return MetricValue(float("nan"))
        return share(reference.reached(features, self.k))
