"""The Frechet distance to real CIFAR-10 images, by features of the shipped judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tts.errors import SettingError
from tts.files import weights_file
from tts.metrics.base import Metric, MetricSettings, MetricValue
from tts.models.base import ModelSettings
from tts.models.cifar10 import CLASSES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from tts.networks.small_vgg import SmallVGG
    from tts.training.frechet import Moments


class FrechetJudge(MetricSettings):
    """Squared Frechet distance to 50,000 real CIFAR-10 images, of 192 features of the judge's; lower is better.

    It is no FID, whose features are Inception's; compare it with values of this metric only, of as many images.
    """

    weights: ClassVar = weights_file.SHIPPED / "cifar10-judge.safetensors"
    moments: ClassVar = weights_file.SHIPPED / "cifar10-judge-moments.safetensors"
    size: ClassVar = 192

    @property
    def extractor(self) -> str:
        """The judge's pooled features."""
        return f"cifar10-judge {weights_file.digest(self.weights)}"

    @property
    def enough(self) -> int:
        """Fewer images make the distance too large by more than it says."""
        return 2 * self.size

    def check(self) -> None:
        """The weights and the moments are there."""
        weights_file.digest(self.weights)
        weights_file.digest(self.moments)

    def suits(self, model: ModelSettings) -> None:
        """CIFAR-10's ten classes only."""
        if tuple(model.label(condition) for condition in model.conditions()) != CLASSES:
            raise SettingError("metric frechet_judge: its judge knows CIFAR-10's images, not this model's")

    def identity(self) -> dict[str, Any]:
        """The digests of weights and moments."""
        return {"extractor": self.extractor, "moments": weights_file.digest(self.moments)}

    def reference(self) -> Moments:
        """Moments of the judge's features of the training images."""
        from tts.training.frechet import load

        return load(self.moments, weights_file.digest(self.weights))

    def load(self, device: str = "cpu") -> Metric:
        """The judge."""
        from tts.rewards.class_judge import ClassJudge

        judge: Any = ClassJudge().classifier(device)
        return JudgeFeatures(judge, device)

    def aggregate(self, features: NDArray[np.float32], reference: Moments) -> MetricValue:
        """The distance; NaN of a single image."""
        from tts.metrics.jackknife import with_interval
        from tts.training.frechet import frechet_distance, moments

        if len(features) < 2:
            return MetricValue(float("nan"))
        return with_interval(features, lambda rows: frechet_distance(moments(rows), reference))


class JudgeFeatures:
    """Pooled features of the layer before the judge's logits, ``[B, 192]``."""

    host = False

    def __init__(self, judge: SmallVGG, device: str) -> None:
        self.judge, self.device = judge, device

    def features(self, images: Tensor) -> Tensor:
        """Of each image by itself."""
        import torch

        x = images.to(self.device).float() / 127.5 - 1
        return self.judge.features(x.contiguous(memory_format=torch.channels_last))
