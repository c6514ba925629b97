"""The kernel distance to real images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tts.metrics.base import MetricValue
from tts.metrics.compared import ComparedByImages
from tts.metrics.kernel import kernel_with_interval, mean_of_pairs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tts.metrics.neighbours import Manifold


class KID(ComparedByImages):
    """Kernel distance (Binkowski et al. 2018, arXiv 1801.01401), unbiased: the one to read of few images.

    Lower is better, and it may be below 0. Published values are often multiplied by 1,000.
    """

    @property
    def enough(self) -> int:
        """It has no bias; of fewer images its jackknife says little."""
        return 100

    def aggregate(self, features: NDArray[np.float32], reference: Manifold) -> MetricValue:
        """The distance over all pairs, with a jackknife interval."""
        return kernel_with_interval(features, reference.rows, reference.once("kernel", mean_of_pairs))
