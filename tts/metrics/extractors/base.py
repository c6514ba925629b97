"""The interface of every extractor: a network with layers; a metric uses one of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from tts.errors import SettingError
from tts.models.base import ModelSettings
from tts.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

Look: TypeAlias = "Callable[[Tensor], Mapping[str, Tensor]]"
"""Function from images ``[B, 3, H, W]`` uint8 to all layers, ``[B, F]`` float32 each; rows are independent."""

POOLED, SPATIAL, LOGITS = "pooled", "spatial", "logits"


class ExtractorSettings(Settings):
    """Settings of an extractor. All methods but :meth:`look` work without torch.

    Attributes:
        layers: number of features of each layer, by its name.
        family: its name in published references; references of another family are refused.
    """

    layers: ClassVar[Mapping[str, int]]
    family: ClassVar[str]

    @abstractmethod
    def about(self) -> str:
        """Description of the extractor, with digests of weights.

        Raises:
            WeightsError: the weights are missing.
        """

    def check(self) -> None:
        """Check all that can be checked before anything is started or written; raises a ``TTSError``."""
        self.about()

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model whose images the extractor cannot read; raises a ``SettingError``."""

    @abstractmethod
    def look(self, device: str) -> Look:
        """The network on a device, ready to compute features."""

    def size(self, layer: str) -> int:
        """Number of features of a layer.

        Raises:
            SettingError: there is no such layer.
        """
        if layer not in self.layers:
            raise SettingError(f"features: {self.family} has no {layer} features; it has {', '.join(self.layers)}")
        return self.layers[layer]
