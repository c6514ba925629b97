"""CLIP as a zero-shot classifier: how sure it is of the wanted class among the names of all classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from tts import imagenet
from tts.errors import SettingError
from tts.models.base import ModelSettings
from tts.plan import Condition
from tts.rewards.base import Caption, Reward, Score
from tts.rewards.class_logits import of_classes
from tts.rewards.contrastive import ContrastiveSettings
from tts.rewards.encoders import Encoders

if TYPE_CHECKING:
    from torch import Tensor


class ClipClasses(ContrastiveSettings):
    """Zero-shot logit of the class of ImageNet (Radford et al. 2021, arXiv 2103.00020, Sec. 3.1.2; used by Ma et al.).

    The logit of a class is CLIP's scale times the cosine between the image and a sentence with the class's name.
    """

    reads_prompts: ClassVar[bool] = False

    template: str = Field("a photo of a {name}.", description="sentence for a class, with {name} in it")
    value: Literal["logit", "probability"] = Field(
        "logit", description="value of the wanted class: its logit, or its softmax probability among all classes"
    )

    @field_validator("template")
    @classmethod
    def _holds_a_name(cls, value: str) -> str:
        if value.replace("{name}", "", 1).count("{") or "{name}" not in value:
            raise ValueError("needs {name} once, and no other braces")
        return value

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model whose classes are not ImageNet's."""
        if len(model.conditions()) != imagenet.CLASSES:
            raise SettingError("reward clip_classes: knows ImageNet's classes only; for prompts use clip")

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The encoders, and the embeddings of all classes, computed once."""
        encoders = self.encoders(device)
        texts = [self.template.replace("{name}", name) for name in imagenet.names()]
        return ClipClassesReward(encoders, encoders.texts(texts), self.value == "probability")


class ClipClassesReward:
    """Logit or probability of each row's own class.

    Args:
        encoders: the image encoder.
        classes: unit embeddings of all classes, ``[C, D]``.
        probability: whether logits become probabilities.
    """

    host = False

    def __init__(self, encoders: Encoders, classes: Tensor, probability: bool) -> None:
        self.encoders, self.classes, self.probability = encoders, classes.double(), probability
        self.scale = float(encoders.model.logit_scale.exp())

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """Each image's logit or probability of its own class, from its cosines with the texts of all classes."""
        cosines = (self.encoders.images(images).double()[:, None, :] * self.classes).sum(dim=2)  # row by row
        return of_classes(self.scale * cosines, conditions, self.probability)
