"""How sure an ImageNet classifier is that an image shows the wanted class."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts import imagenet
from tts.errors import SettingError, WeightsError
from tts.files import tensors
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.models.base import ModelSettings
from tts.networks import torchvision_classifier as torchvisions
from tts.plan import Condition
from tts.precision import Precision, dtype
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.preprocess import by_row
from tts.settings import nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

DEFAULT = torchvisions.DEFAULT
GUIDED = "guided-diffusion-64"
GUIDED_SIZE = 64
GUIDED_WEIGHTS = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/64x64_classifier.pt"


class Classifier(RewardSettings):
    """Softmax probability of the wanted ImageNet class, from a torchvision model or guided diffusion's classifier.

    Images are prepared by the transforms that torchvision publishes with the weights. A published file is recognised by
    its digest; for any other file, images are prepared as for the weights that ``preprocessing`` names.
    """

    model: str = Field("resnet50", description=f"a classification model of torchvision, or {GUIDED} (the paper's)")
    weights: str = Field(
        DEFAULT,
        description="name of published weights, or a file (.safetensors, .pth) or address of a state_dict",
    )
    preprocessing: str | None = Field(
        None,
        description="torchvision's published weights whose image preparation is used; default: that of the "
        "weights themselves if they are published ones, else that of DEFAULT",
    )
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-fA-F]{8,64}$",
        description="SHA-256 of weights at an address, or its first digits; torchvision's own are known",
    )
    classes: int = Field(imagenet.CLASSES, ge=2, description="classes of the weights")
    precision: Precision = Field("fp32", description="of the network")

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model whose number of classes differs from the classifier's; raises a ``SettingError``."""
        drawn = len(model.conditions())
        if drawn != self.classes:
            what = f"{drawn} classes" if drawn else "no classes but prompts"
            raise SettingError(
                f"reward classifier: knows {self.classes} classes, and the model draws {what}; for prompts use clip"
            )

    def check(self) -> None:
        """Read all weights and fit them into the network.

        Raises:
            SettingError: the settings do not say how images are prepared.
            WeightsError: the file is missing, damaged or for another network.
        """
        self._network()

    def record(self) -> dict[str, Any]:
        """The settings without the digest that a download is checked against: it changes no result.

        ``preprocessing`` is left out unless it is set, as old runs were stored without it.
        """
        found = {name: value for name, value in super().record().items() if name != "sha256"}
        return {name: value for name, value in found.items() if (name, value) != ("preprocessing", None)}

    def notes(self, conditions: Sequence[Condition], caption: Caption = str) -> list[str]:
        """How images are prepared for weights that torchvision does not publish."""
        if self.model == GUIDED or self.preprocessing is not None or self._named():
            return []
        entry = self._entry(self._path())
        if torchvisions.is_entry(entry, sha256(self._path(), "weights")):
            return []
        return [
            f"weights {self.weights} are not published ones of {self.model}: images are prepared as for "
            f"{entry.name}; set preprocessing to change that"
        ]

    def identity(self) -> dict[str, Any]:
        """The settings, the digest of the weights instead of their path, and the name of the preprocessing."""
        path = self._path()
        prepared = GUIDED if self.model == GUIDED else self._entry(path).name
        return {**self.record(), "weights": sha256(path, "weights"), "preprocessing": prepared}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The classifier on a device."""
        from tts.networks.placing import place

        network, prepare = self._network()
        place(network, device, dtype(self.precision))
        return ClassifierReward(network, prepare, device)

    def _network(self) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
        """The network, and the function from ``[B, 3, H, W]`` uint8 images to its input."""
        path = self._path()
        found = tensors.read(path, "weights")
        try:
            if self.model == GUIDED:
                return self._guided(found)
            entry = self._entry(path)
            return torchvisions.network(self.model, self.classes, entry, found), entry.transforms(antialias=True)
        except WeightsError as error:
            raise WeightsError(f"weights {path}: {error}") from None

    def _guided(self, found: dict[str, Tensor]) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
        import torch

        from tts.networks.adm_classifier import ADMClassifier, CleanImages, shape_of

        shape = shape_of(found, GUIDED_SIZE)
        if shape.classes != self.classes:
            raise WeightsError(f"knows {shape.classes} classes, but the setting 'classes' says {self.classes}")
        with torch.device("meta"):  # no random weights that would be replaced at once
            classifier = ADMClassifier(shape, GUIDED_SIZE)
        tensors.fill(classifier, found, "is not a classifier of guided diffusion")
        return CleanImages(classifier), _to_signed

    def _path(self) -> Path:
        """The weights' file; it is downloaded if it is not on this machine."""
        address, known = self.weights, None
        if self.model == GUIDED:
            if self.preprocessing is not None:
                raise SettingError(
                    f"reward classifier: {GUIDED} prepares images in its own way; leave preprocessing out"
                )
            address = GUIDED_WEIGHTS if self.weights == DEFAULT else self.weights
        elif entry := self._named():
            address, known = entry.url, torchvisions.digits(entry) or None
        return locate(address, "weights", self.sha256 or known)

    def _entry(self, path: Path) -> Any:
        """The entry of published weights whose image preparation is used: the named one, or by the file's digest."""
        if self.preprocessing is not None:
            known = torchvisions.entries(self.model)
            if self.preprocessing in known:
                return known[self.preprocessing]
            raise SettingError(
                f"reward classifier: preprocessing = {self.preprocessing}: no published weights of {self.model}; "
                f"{nearest(self.preprocessing, known)}"
            )
        return self._named() or torchvisions.entry_of(self.model, sha256(path, "weights"))

    def _named(self) -> Any:
        """The entry of published weights that the setting names; None if it names a file or an address."""
        models = [*torchvisions.models(), GUIDED]
        if self.model not in models:
            raise SettingError(f"reward classifier: unknown model '{self.model}'; {nearest(self.model, models)}")
        known, name = torchvisions.entries(self.model), torchvisions.short(self.model, self.weights)
        if name in known or Path(name).suffix or os.sep in name:
            return known.get(name)
        raise SettingError(
            f"reward classifier: unknown weights '{self.weights}' of {self.model}; {nearest(self.weights, known)}, or "
            "name a file"
        )


class ClassifierReward:
    """Probability in [0, 1] of each row's own class index."""

    host = False

    def __init__(self, network: nn.Module, prepare: Callable[[Tensor], Tensor], device: str) -> None:
        self.network, self.prepare, self.device = network, prepare, device
        self.dtype = next(network.parameters()).dtype

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
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
