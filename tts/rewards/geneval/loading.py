"""Load a detector from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tts.errors import SettingError, WeightsError
from tts.files import tensors
from tts.files.digests import sha256
from tts.files.hub import folder
from tts.files.locate import locate
from tts.rewards.geneval.detectors import Detector, SetDetector, TorchvisionDetector, ours
from tts.rewards.published_configs import read_json
from tts.rewards.transformers_files import architecture, load_network, weight_files
from tts.settings import Settings

FILES = ("config.json", "*.safetensors", "*.safetensors.index.json")
NETWORKS = ("Mask2FormerForUniversalSegmentation", "DetrForObjectDetection", "YolosForObjectDetection")


class Detecting(Settings):
    """Settings of the detector. GenEval's published figures use Mask2Former with Swin-S."""

    library: Literal["transformers", "torchvision"] = Field("transformers", description="whose network")
    id: str = Field(
        "facebook/mask2former-swin-small-coco-instance",
        description="transformers: folder, or name on the hub, of a Mask2Former, DETR or YOLOS of COCO",
    )
    model: str = Field("maskrcnn_resnet50_fpn_v2", description="torchvision: name of the detector")
    weights: str | None = Field(None, description="torchvision: file or address of the network's state_dict")
    size: int = Field(800, ge=32, description="pixels to which an image's shortest side is scaled")

    @model_validator(mode="after")
    def _named(self) -> Detecting:
        if self.library == "torchvision" and self.weights is None:
            raise ValueError("weights: a torchvision detector needs a file, or the address of one")
        return self

    def classes(self) -> set[str]:
        """GenEval's names of the objects that the detector knows."""
        return set(self._names().values())

    def identity(self) -> dict[str, Any]:
        """The settings in effect, with digests in place of names."""
        if self.library == "torchvision":
            return {"library": "torchvision", "model": self.model, "weights": sha256(self._path(), "weights")} | {
                "size": self.size
            }
        files = [self._folder() / "config.json", *weight_files(self._folder(), self.id)]
        return {"files": {file.name: sha256(file, "detector") for file in files}, "size": self.size}

    def load(self, device: str) -> Detector:
        """The detector on a device.

        Raises:
            WeightsError: a file is missing, damaged or for another network.
        """
        import torch

        from tts.networks.placing import place

        if self.library == "torchvision":
            return TorchvisionDetector(place(self._torchvision(), device), self._categories(), device)
        network = load_network(self._folder(), self._class(), torch.float32, "detector", self.id)
        return SetDetector(place(network, device), self._names(), self.size, device)

    def _folder(self) -> Path:
        return folder(self.id, FILES, "detector")

    def _path(self) -> Path:
        assert self.weights is not None  # the settings were checked
        return locate(self.weights, "weights")

    def _class(self) -> str:
        return architecture(self._folder(), NETWORKS, "detector", self.id)

    def _names(self) -> dict[int, str]:
        if self.library == "torchvision":
            return ours(self._categories())
        self._class()
        found = read_json(self._folder() / "config.json", "detector").get("id2label")
        if not isinstance(found, dict):
            raise WeightsError(f"detector {self.id}: its config.json names no classes (id2label)")
        return ours({int(number): str(name) for number, name in found.items()})

    def _categories(self) -> list[str]:
        from torchvision.models import detection, get_model_weights, list_models

        known = list_models(module=detection)
        if self.model not in known:
            raise SettingError(f"detector: model {self.model}: torchvision has no such detector; {', '.join(known)}")
        weights: Any = get_model_weights(self.model)
        return list(weights.DEFAULT.meta["categories"])

    def _torchvision(self) -> Any:
        from torchvision.models import get_model

        names = self._categories()
        network = get_model(self.model, weights=None, weights_backbone=None, num_classes=len(names), min_size=self.size)
        tensors.fill(network, tensors.read(self._path(), "weights"), f"weights {self.weights}")
        return network
