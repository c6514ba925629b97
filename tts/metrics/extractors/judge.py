"""The shipped judge of CIFAR-10's images as an extractor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tts.errors import SettingError
from tts.files import weights_file
from tts.metrics.extractors.base import LOGITS, POOLED, ExtractorSettings, Look
from tts.models.base import ModelSettings
from tts.models.cifar10 import CLASSES

if TYPE_CHECKING:
    from torch import Tensor


class Judge(ExtractorSettings):
    """The judge of the embedded model: 192 pooled features, or its logits of ten classes."""

    layers: ClassVar = {POOLED: 192, LOGITS: 10}
    family: ClassVar = "cifar10-judge"
    weights: ClassVar = weights_file.SHIPPED / "cifar10-judge.safetensors"
    moments: ClassVar = weights_file.SHIPPED / "cifar10-judge-moments.safetensors"
    rows: ClassVar = weights_file.SHIPPED / "cifar10-judge-features.safetensors"

    name: Literal["judge"] = Field("judge", description="the embedded model's judge")

    def about(self) -> str:
        """The judge's weights."""
        return f"{self.family} {weights_file.digest(self.weights)}"

    def suits(self, model: ModelSettings) -> None:
        """CIFAR-10's ten classes only."""
        if tuple(model.label(condition) for condition in model.conditions()) != CLASSES:
            raise SettingError("features judge: it knows CIFAR-10's images, not this model's; set features: inception")

    def look(self, device: str) -> Look:
        """The judge on a device."""
        from tts.rewards.class_judge import ClassJudge

        judge: Any = ClassJudge().classifier(device)

        def look(images: Tensor) -> Mapping[str, Tensor]:
            import torch

            x = (images.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
            pooled = judge.features(x)
            return {POOLED: pooled, LOGITS: judge.head(pooled)}

        return look
