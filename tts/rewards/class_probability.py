"""Class probability: how sure a classifier is that the image shows the wanted class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.errors import SettingError
from tts.files import weights_file
from tts.models.base import ModelSettings
from tts.models.cifar10 import CLASSES
from tts.plan import Condition
from tts.rewards.base import Caption, Reward, RewardSettings, Score

if TYPE_CHECKING:
    from torch import Tensor

    from tts.networks.small_resnet import SmallResNet
    from tts.networks.small_vgg import SmallVGG


class ClassProbability(RewardSettings):
    """Softmax probability of the wanted class under the shipped CIFAR-10 classifier."""

    name: ClassVar = "class_probability"
    shipped: ClassVar = weights_file.SHIPPED / "cifar10-classifier.safetensors"

    weights: Path | None = Field(None, description="safetensors file; default: the shipped one")

    @property
    def path(self) -> Path:
        """The weights file in use."""
        return self.weights or self.shipped

    def check(self) -> None:
        """Check the classifier's weights against their digest."""
        weights_file.digest(self.path)

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model whose classes are not CIFAR-10's ten."""
        labels = tuple(model.label(condition) for condition in model.conditions())
        if labels != CLASSES:
            raise SettingError(f"reward {self.name}: its classifier knows CIFAR-10's classes, not this model's")

    def identity(self) -> dict[str, Any]:
        """The digest of the weights, not their path."""
        return {"weights": weights_file.digest(self.path)}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The classifier on a device."""
        return ClassProbabilityReward(self.classifier(device), device)

    def classifier(self, device: str = "cpu") -> SmallResNet | SmallVGG:
        """The classifier for images in [-1, 1], in evaluation mode.

        Raises:
            WeightsError: the file is missing, damaged or for another network.
        """
        from tts.networks.placing import place

        found = self.network()
        weights_file.load(found, self.path)
        return place(found, device, channels_last=True)

    def network(self) -> SmallResNet | SmallVGG:
        """The classifier before its weights are loaded."""
        from tts.networks.small_resnet import SmallResNet

        return SmallResNet()


class ClassProbabilityReward:
    """Probability in [0, 1] of each row's own class index."""

    host = False

    def __init__(self, classifier: SmallResNet | SmallVGG, device: str) -> None:
        self.classifier, self.device = classifier, device

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        import torch

        x = (images.to(self.device).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        probability = self.classifier(x).double().softmax(dim=1)
        labels = torch.tensor([int(condition) for condition in conditions], device=self.device)
        values: list[Score] = probability[torch.arange(len(labels)), labels].tolist()
        return values
