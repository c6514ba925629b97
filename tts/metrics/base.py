"""The interface of every metric of a set of images.

A metric works on features of images, one vector for each image. Engines compute features of final images beside
rewards, and a run stores them. Once all images of a point are there, the metric's value is computed from their stored
features. So a metric's settings do everything that needs no network, and :meth:`MetricSettings.load` returns the rest.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from tts.models.base import ModelSettings
from tts.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class MetricValue(NamedTuple):
    """The value of a metric for some images, with a 95 % interval; NaN where it is unknown."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


class Metric(Protocol):
    """Computes the features of a loaded metric. A row must not depend on the rows beside it.

    Attributes:
        host: whether the CPU computes, from images in host memory; if not, the model's device does, in batches that
            the engine pads to one fixed size.
    """

    host: bool

    def features(self, images: Tensor) -> Tensor:
        """Features ``[B, F]`` float32 of images ``[B, 3, H, W]`` uint8; F is always the same."""
        ...


class MetricSettings(Settings):
    """Settings of a metric. All methods but :meth:`load` work without torch."""

    dtype: ClassVar[Literal["float32", "float16"]] = "float32"
    """Type in which features are stored; they are computed and read in float32."""

    tells: ClassVar[Literal["quality", "diversity", "both"]] = "both"
    """What the value measures: quality of images, their diversity, or both in one number."""

    @property
    @abstractmethod
    def extractor(self) -> str:
        """Description of the features, with digests of weights; metrics with equal descriptions share features."""

    @property
    def enough(self) -> int:
        """Number of images below which a value comes with a warning."""
        return 2

    def check(self) -> None:
        """Check all that can be checked before anything is started or written; raises a ``TTSError``."""

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model whose images this metric cannot judge; raises a ``SettingError``."""

    def identity(self) -> dict[str, Any]:
        """Everything that changes the features or the value, as plain JSON values."""
        return {**self.record(), "extractor": self.extractor}

    def reference(self) -> Any:
        """The reference for :meth:`aggregate`, for example moments of real images; None if it needs none."""
        return None

    @abstractmethod
    def load(self, device: str = "cpu") -> Metric:
        """The extractor, ready to compute features.

        Args:
            device: where it computes, if it needs a device.
        """

    @abstractmethod
    def aggregate(self, features: NDArray[np.float32], reference: Any) -> MetricValue:
        """The metric of some images.

        Args:
            features: ``[N, F]``, finite, N > 0, ordered by the trials' identities (that is, by chance).
            reference: what :meth:`reference` returned.
        """
