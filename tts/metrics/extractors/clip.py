"""CLIP's image tower as an extractor, by torch-fidelity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from tts.errors import SettingError
from tts.files import tensors
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.metrics.extractors.base import POOLED, ExtractorSettings, Look
from tts.metrics.extractors.library import torch_fidelity
from tts.settings import nearest

if TYPE_CHECKING:
    from torch import Tensor

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TOWER = "visual."


class Tower(NamedTuple):
    """An image tower's sizes."""

    size: int
    layers: int
    width: int
    patch: int
    side: int = 224


TOWERS = {
    "vit-b-32": Tower(512, 12, 768, 32),
    "vit-b-16": Tower(512, 12, 768, 16),
    "vit-l-14": Tower(768, 24, 1024, 14),
}


class CLIP(ExtractorSettings):
    """CLIP's image embedding (Radford et al. 2021, arXiv 2103.00020), not scaled to unit length.

    Images are resized bilinearly, as in torch-fidelity.
    """

    layers: ClassVar = {POOLED: 512}

    name: Literal["clip"] = Field("clip", description="CLIP's image tower")
    model: str = Field("vit-b-32", description=f"which of its networks: {', '.join(TOWERS)}")
    weights: str = Field(description="file (.safetensors, .pth) or address of OpenAI's weights in OpenCLIP's names")
    sha256: str | None = Field(
        None, pattern="^[0-9a-fA-F]{8,64}$", description="SHA-256 of weights at an address, or its first digits"
    )

    @property
    def family(self) -> str:  # type: ignore[override]
        """Name of the network."""
        return f"clip-{self.model}"

    def size(self, layer: str) -> int:
        """Number of features of the layer, which depends on the model."""
        super().size(layer)
        return self._tower().size

    def record(self) -> dict[str, Any]:
        """The settings without the digest that a download is checked against, as it changes no result."""
        return {name: value for name, value in super().record().items() if name != "sha256"}

    def path(self) -> Path:
        """The file of the weights, downloaded if needed."""
        return locate(self.weights, "weights", self.sha256)

    def about(self) -> str:
        """The network, and the digest of the weights' file."""
        return f"{self.family} {sha256(self.path(), 'weights')}"

    def check(self) -> None:
        """Check that the library is installed, and that the weights are for this network."""
        self._network()

    def look(self, device: str) -> Look:
        """The network on a device."""
        import torch

        from tts.networks.placing import place

        resized = torch_fidelity("interpolate_compat_tensorflow").interpolate_bilinear_2d_like_tensorflow1x
        network, side = place(self._network(), device), self._tower().side
        mean, std = (255 * torch.tensor(each, device=device).view(3, 1, 1) for each in (MEAN, STD))

        def look(images: Tensor) -> Mapping[str, Tensor]:
            x = resized(images.float(), size=(side, side), align_corners=False)
            return {POOLED: network((x - mean) / std)}

        return look

    def _tower(self) -> Tower:
        if self.model not in TOWERS:
            raise SettingError(f"features clip: model '{self.model}' is unknown; {nearest(self.model, TOWERS)}")
        return TOWERS[self.model]

    def _network(self) -> Any:
        """The tower with its weights, in evaluation mode; nothing in the file is executed."""
        import torch

        path, tower = self.path(), self._tower()
        state = tensors.read(path, "weights")
        mine = {name.removeprefix(TOWER): value.float() for name, value in state.items() if name.startswith(TOWER)}
        library = torch_fidelity("feature_extractor_clip")
        with torch.device("meta"):
            visual = library.CLIPVisual(tower.size, tower.side, tower.layers, tower.width, tower.patch).visual
        tensors.fill(visual, mine, f"weights {path}")
        return visual.requires_grad_(False).eval()
