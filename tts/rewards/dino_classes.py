"""DINOv2 with its authors' linear classifier of ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tts import imagenet
from tts.errors import SettingError, WeightsError
from tts.files import tensors
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.metrics.extractors.dinov2 import MEAN, SIDE, SIZES, STD, DINOv2
from tts.models.base import ModelSettings
from tts.plan import Condition
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.class_logits import of_classes
from tts.rewards.preprocess import Preprocess, by_row

if TYPE_CHECKING:
    from torch import Tensor, nn

HEAD = "https://dl.fbaipublicfiles.com/dinov2/dinov2_{name}14/dinov2_{name}14_linear_head.pth"
EDGE = 256
"""Length of an image's shortest side before it is cropped, as in the authors' program."""


class DinoClasses(RewardSettings):
    """Logit of the class of ImageNet by DINOv2's linear head (Oquab et al. 2023; a verifier of Ma et al. 2025).

    The head reads the class token and the mean of all patch tokens, concatenated.
    """

    model: Literal["vit-s-14", "vit-b-14", "vit-l-14"] = Field("vit-l-14", description="which network")
    weights: str | None = Field(
        None, description="file (.safetensors, .pth) or address of the network's weights; default: the authors'"
    )
    head: str | None = Field(None, description="file or address of the linear head; default: the authors'")
    value: Literal["logit", "probability"] = Field(
        "logit", description="value of the wanted class: its logit, or its softmax probability among all classes"
    )

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model whose classes are not ImageNet's."""
        if len(model.conditions()) != imagenet.CLASSES:
            raise SettingError("reward dino_classes: knows ImageNet's classes only; for prompts use clip")

    def check(self) -> None:
        """Read all weights; raises a ``WeightsError`` if they are missing, damaged or for another network."""
        self._network()
        self._head()

    def identity(self) -> dict[str, Any]:
        """The settings, with digests in place of names and addresses."""
        found = {"weights": sha256(self._backbone().path(), "weights"), "head": sha256(self._head_path(), "head")}
        return {**self.record(), **found}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The network and its head."""
        from tts.networks.placing import place

        network, head = (place(each, device) for each in (self._network(), self._head()))
        return DinoClassesReward(network, head, device, self.value == "probability")

    def _backbone(self) -> DINOv2:
        return DINOv2(model=self.model, weights=self.weights)

    def _network(self) -> Any:
        return self._backbone().network()

    def _head_path(self) -> Path:
        name = self.model.removesuffix("-14").replace("-", "")
        return locate(self.head or HEAD.format(name=name), "head")

    def _head(self) -> nn.Module:
        import torch

        path = self._head_path()
        with torch.device("meta"):
            head = torch.nn.Linear(2 * SIZES[self.model], imagenet.CLASSES)
        found = tensors.read(path, "head")
        if set(found) != {"weight", "bias"}:
            raise WeightsError(f"head {path}: is not a linear head (weight and bias)")
        tensors.fill(head, found, f"head {path}")
        return head.requires_grad_(False).eval()


class DinoClassesReward:
    """Logit or probability of each row's own class."""

    host = False

    def __init__(self, network: Any, head: nn.Module, device: str, probability: bool) -> None:
        self.network, self.head, self.device, self.probability = network, head, device, probability
        self.prepare = Preprocess(SIDE, MEAN, STD, edge=EDGE)

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """Each image's logit or probability of its own class."""
        logits = by_row(self._logits, self.prepare(images.to(self.device)))
        return of_classes(logits, conditions, self.probability)

    def _logits(self, images: Tensor) -> Tensor:
        import torch

        tokens = self.network.forward_features(images)
        found: Tensor = self.head(torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1))
        return found
