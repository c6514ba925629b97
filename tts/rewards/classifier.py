"""How sure a classifier of ImageNet is that an image shows the class that was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts import downloads, imagenet, tensors
from tts.digests import sha256
from tts.errors import SettingError, WeightsError
from tts.models.base import ModelSettings
from tts.plan import Condition
from tts.precision import Precision, dtype
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.preprocess import by_row
from tts.settings import nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

GUIDED = "guided-diffusion-64"
GUIDED_SIZE = 64
GUIDED_WEIGHTS = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/64x64_classifier.pt"
DEFAULT = "DEFAULT"


class Classifier(RewardSettings):
    """Softmax probability of the wanted class of ImageNet, by a torchvision model or guided diffusion's classifier."""

    model: str = Field("resnet50", description=f"a classification model of torchvision, or {GUIDED} (the study's)")
    weights: str = Field(
        DEFAULT, description="name of published weights, or a file (.safetensors, .pth) or address of a state_dict"
    )
    classes: int = Field(imagenet.CLASSES, ge=2, description="classes of the weights")
    precision: Precision = Field("fp32", description="of the network")

    def suits(self, model: ModelSettings) -> None:
        """Models that draw as many classes only."""
        drawn = len(model.conditions())
        if drawn != self.classes:
            what = f"{drawn} classes" if drawn else "no classes but prompts"
            raise SettingError(
                f"reward classifier: knows {self.classes} classes, and the model draws {what}; for prompts use clip"
            )

    def check(self) -> None:
        """Read the weights whole, and build the network that they fill."""
        self._network()

    def identity(self) -> dict[str, Any]:
        """The settings, and the digest of the weights wherever they lie."""
        return {**self.record(), "weights": sha256(self._path(), "weights")}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """See :class:`RewardSettings`."""
        network, prepare = self._network()
        network.to(device, dtype(self.precision)).eval().requires_grad_(False)
        return ClassifierReward(network, prepare, device)

    def _network(self) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
        """The network, and what makes its input of ``[B, 3, H, W]`` uint8 images."""
        path = self._path()
        found = tensors.read(path, "weights")
        try:
            return self._guided(found) if self.model == GUIDED else self._torchvision(found)
        except WeightsError as error:
            raise WeightsError(f"weights {path}: {error}") from None

    def _guided(self, found: dict[str, Tensor]) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
        from tts.models.adm_classifier import ADMClassifier, CleanImages, shape_of

        shape = shape_of(found, GUIDED_SIZE)
        if shape.classes != self.classes:
            raise WeightsError(f"knows {shape.classes} classes, but the setting 'classes' says {self.classes}")
        network = ADMClassifier(shape, GUIDED_SIZE)
        tensors.fill(network, found, "is no classifier of guided diffusion")
        return CleanImages(network), _to_signed

    def _torchvision(self, found: dict[str, Tensor]) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
        from torchvision.models import get_model, get_model_weights

        network = get_model(self.model, weights=None, num_classes=self.classes)
        tensors.fill(network, found, f"is not of a {self.model} with {self.classes} classes")
        entries: Any = get_model_weights(self.model)
        entry = entries[self.weights] if self.weights in entries.__members__ else entries.DEFAULT
        return network, entry.transforms(antialias=True)

    def _path(self) -> Path:
        """The weights' file, fetched first if need be."""
        address, known = self.weights, None
        if self.model == GUIDED:
            address = GUIDED_WEIGHTS if self.weights == DEFAULT else self.weights
        else:
            address, known = self._published()
        return downloads.fetch(address, "weights", known) if "://" in address else Path(address).expanduser()

    def _published(self) -> tuple[str, str | None]:
        """Where torchvision's weights are and what their digest begins with; another file as it is named."""
        from torchvision import models

        known = [*models.list_models(module=models), GUIDED]
        if self.model not in known:
            raise SettingError(f"reward classifier: unknown model '{self.model}'; {nearest(self.model, known)}")
        entries: Any = models.get_model_weights(self.model)
        if self.weights in entries.__members__:
            url = entries[self.weights].url
            digest = re.search(r"-([0-9a-f]{8,})\.pth$", url)
            return url, digest[1] if digest else None
        if not Path(self.weights).suffix:
            raise SettingError(
                f"reward classifier: unknown weights '{self.weights}' of {self.model}; "
                f"{nearest(self.weights, entries.__members__)}, or name a file"
            )
        return self.weights, None


class ClassifierReward:
    """Probability in [0, 1] of each row's own class index."""

    host = False

    def __init__(self, network: nn.Module, prepare: Callable[[Tensor], Tensor], device: str) -> None:
        self.network, self.prepare, self.device = network, prepare, device
        self.dtype = next(network.parameters()).dtype

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """See :class:`tts.rewards.base.Reward`."""
        import torch

        logits = by_row(self.network, self.prepare(images.to(self.device)).to(self.dtype))
        probability = logits.double().softmax(dim=1)
        labels = torch.tensor([int(condition) for condition in conditions], device=self.device)
        values: list[Score] = probability[torch.arange(len(labels)), labels].tolist()
        return values


def _to_signed(images: Tensor) -> Tensor:
    """8-bit images of any size to [-1, 1] (not [0, 1]) at the classifier's size."""
    from torchvision.transforms.v2.functional import resize

    if images.shape[2:] != (GUIDED_SIZE, GUIDED_SIZE):
        images = resize(images, [GUIDED_SIZE, GUIDED_SIZE], antialias=True)
    return images.float() / 127.5 - 1
