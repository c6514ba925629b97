"""Class judge: a second opinion on class probability, from a classifier of another architecture and training."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tts.files import weights_file
from tts.rewards.class_probability import ClassProbability

if TYPE_CHECKING:
    from tts.networks.small_vgg import SmallVGG


class ClassJudge(ClassProbability):
    """Softmax probability of the wanted class under a second shipped CIFAR-10 classifier: a judge to hold out."""

    name: ClassVar = "class_judge"
    shipped: ClassVar = weights_file.SHIPPED / "cifar10-judge.safetensors"

    def network(self) -> SmallVGG:
        """The judge before its weights are loaded."""
        from tts.networks.small_vgg import SmallVGG

        return SmallVGG()
