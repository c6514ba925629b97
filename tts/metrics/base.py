"""The interface of every metric of a set of images.

A metric looks at features of images, a vector each. Engines compute them for final images, beside rewards, and a run
stores them; a metric's value comes of the stored features of all images of a point, when they are all there. So a
metric's settings do what needs no network, and what :meth:`MetricSettings.load` returns does the rest.
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
    """A metric of some images, with a 95 % interval; NaN: cannot be said."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


class Metric(Protocol):
    """A loaded metric's view of images. A row must not depend on the rows beside it.

    Attributes:
        host: computed by the CPU beside the device, from images in its memory; else on the model's device, in batches
            that the engine pads to one fixed size.
    """

    host: bool

    def features(self, images: Tensor) -> Tensor:
        """Features ``[B, F]`` float32 of images ``[B, 3, H, W]`` uint8, F being always the same."""
        ...


class MetricSettings(Settings):
    """What a configuration says of a metric. Everything but :meth:`load` works without torch."""

    dtype: ClassVar[Literal["float32", "float16"]] = "float32"
    """Type in which features are stored; they are computed and handed back in float32."""

    tells: ClassVar[Literal["quality", "diversity", "both"]] = "both"
    """What a value tells of: how good images are, how different they are, or both in one number."""

    @property
    @abstractmethod
    def extractor(self) -> str:
        """What the features are, in words and digests of weights; metrics with the same one share them."""

    @property
    def enough(self) -> int:
        """With fewer images than this, a value comes with a warning."""
        return 2

    def check(self) -> None:
        """Find what can be wrong before anything is started or written; raises a ``TTSError``."""

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model whose images this metric cannot judge; raises a ``SettingError``."""

    def identity(self) -> dict[str, Any]:
        """All that changes the features or the value, as plain JSON values."""
        return {**self.record(), "extractor": self.extractor}

    def reference(self) -> Any:
        """What :meth:`aggregate` compares with, for example moments of real images; None: nothing."""
        return None

    @abstractmethod
    def load(self, device: str = "cpu") -> Metric:
        """The extractor, ready to look at images.

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
