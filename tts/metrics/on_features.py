"""What the shipped metrics share: an extractor's layer, and a reference of the same one."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from tts.metrics.base import Metric, MetricSettings
from tts.metrics.extractors.base import POOLED
from tts.metrics.extractors.choice import Extractor
from tts.metrics.extractors.inception import Inception
from tts.models.base import ModelSettings


class OnFeatures(MetricSettings):
    """A metric of one layer's features.

    Attributes:
        layer: which.
    """

    layer: ClassVar[str] = POOLED

    features: Extractor = Field(
        default_factory=Inception,
        description="the feature extractor: inception, dinov2, clip or judge, or its settings",
    )

    @property
    def extractor(self) -> str:
        """The network with its weights' digest, and the layer but the pooled one."""
        about = self.features.about()
        return about if self.layer == POOLED else f"{about} {self.layer}"

    @property
    def size(self) -> int:
        """How many features there are."""
        return self.features.size(self.layer)

    def check(self) -> None:
        """The extractor is there and has the layer."""
        self.features.check()
        self.features.size(self.layer)

    def suits(self, model: ModelSettings) -> None:
        """What the extractor knows."""
        self.features.suits(model)

    def identity(self) -> dict[str, Any]:
        """The settings, with the digests of weights and reference in place of their names."""
        given = {name: value for name, value in self.record().items() if name not in ("features", "reference")}
        return {**given, "extractor": self.extractor}

    def load(self, device: str = "cpu") -> Metric:
        """The extractor's layer."""
        from tts.metrics.extractors.shared import layer_features

        return layer_features(self.features, self.layer, device)
