"""The interface of every extractor: a network with layers, of which a metric asks for one."""

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
"""From images ``[B, 3, H, W]`` uint8 to every layer, ``[B, F]`` float32. No row depends on the rows beside it."""

POOLED, SPATIAL, LOGITS = "pooled", "spatial", "logits"


class ExtractorSettings(Settings):
    """What a configuration says of an extractor. Everything but :meth:`look` works without torch.

    Attributes:
        layers: how many numbers each layer has.
        family: what published references call it; references of another family are refused.
    """

    layers: ClassVar[Mapping[str, int]]
    family: ClassVar[str]

    @abstractmethod
    def about(self) -> str:
        """What it is, in words and digests of weights.

        Raises:
            WeightsError: the weights are not there.
        """

    def check(self) -> None:
        """Find what can be wrong before anything is started or written; raises a ``TTSError``."""
        self.about()

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model whose images it cannot look at; raises a ``SettingError``."""

    @abstractmethod
    def look(self, device: str) -> Look:
        """The network, ready to look at images."""

    def size(self, layer: str) -> int:
        """How many numbers a layer has.

        Raises:
            SettingError: there is no such layer.
        """
        if layer not in self.layers:
            raise SettingError(f"features: {self.family} has no {layer} features; it has {', '.join(self.layers)}")
        return self.layers[layer]
