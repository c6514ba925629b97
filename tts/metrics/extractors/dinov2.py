"""DINOv2 as an extractor: the network of FD-DINOv2, with its authors' weights and without their code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tts.errors import WeightsError
from tts.files import tensors
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.metrics.extractors.base import POOLED, ExtractorSettings, Look

if TYPE_CHECKING:
    from torch import Tensor

ADDRESS = "https://dl.fbaipublicfiles.com/dinov2/dinov2_{name}14/dinov2_{name}14_pretrain.pth"
SIDE, PATCH = 224, 14
OFFSET = 0.1
"""DINOv2 adds this to a grid's side before it divides; its features assume tables that are interpolated so."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = {"vit-s-14": 384, "vit-b-14": 768, "vit-l-14": 1024}
TIMM = {"vit-s-14": "small", "vit-b-14": "base", "vit-l-14": "large"}


class DINOv2(ExtractorSettings):
    """DINOv2's class token (Oquab et al. 2023, arXiv 2304.07193) of images at 224 x 224; FD-DINOv2's is of vit-l-14.

    Images are resized as EDM2's references were: bicubic, with antialiasing.
    """

    layers: ClassVar = {POOLED: SIZES["vit-l-14"]}

    name: Literal["dinov2"] = Field("dinov2", description="DINOv2 of FD-DINOv2")
    model: Literal["vit-s-14", "vit-b-14", "vit-l-14"] = Field("vit-l-14", description="which of its networks")
    weights: str | None = Field(
        None, description="file (.safetensors, .pth) or address of the weights; left out: its authors'"
    )
    sha256: str | None = Field(
        None, pattern="^[0-9a-fA-F]{8,64}$", description="SHA-256 of weights at an address, or its first digits"
    )

    @property
    def family(self) -> str:  # type: ignore[override]
        """Name of the network."""
        return f"dinov2-{self.model}"

    def size(self, layer: str) -> int:
        """Number of features of the layer, which depends on the model."""
        super().size(layer)
        return SIZES[self.model]

    def record(self) -> dict[str, Any]:
        """The settings without the digest that a download is checked against, as it changes no result."""
        return {name: value for name, value in super().record().items() if name != "sha256"}

    def path(self) -> Path:
        """The file of the weights, downloaded if needed."""
        address = self.weights or ADDRESS.format(name=self.model.removesuffix("-14").replace("-", ""))
        return locate(address, "weights", self.sha256)

    def about(self) -> str:
        """The network, and the digest of the weights' file."""
        return f"{self.family} {sha256(self.path(), 'weights')}"

    def check(self) -> None:
        """Check that the weights are for this network."""
        self.network()

    def look(self, device: str) -> Look:
        """The network on a device."""
        import torch
        from torch.nn.functional import interpolate

        from tts.networks.placing import place

        network = place(self.network(), device, torch.float32)
        mean, std = (torch.tensor(each, device=device).view(3, 1, 1) for each in (MEAN, STD))

        def look(images: Tensor) -> Mapping[str, Tensor]:
            x = interpolate(images.float(), size=(SIDE, SIDE), mode="bicubic", antialias=True)
            return {POOLED: network((x / 255 - mean) / std)}

        return look

    def network(self) -> Any:
        """The network with its weights, in evaluation mode; nothing in the file is executed."""
        import timm
        import torch

        path = self.path()
        state = tensors.read(path, "weights")
        state.pop("mask_token", None)  # used in training only
        if "pos_embed" not in state:
            raise WeightsError(f"weights {path}: are not DINOv2's (no pos_embed)")
        state["pos_embed"] = positions(state["pos_embed"].float(), SIDE // PATCH)
        with torch.device("meta"):
            network = timm.create_model(f"vit_{TIMM[self.model]}_patch14_dinov2", num_classes=0, img_size=SIDE)
        tensors.fill(network, state, f"weights {path}")
        return network.requires_grad_(False).eval()


def positions(table: Tensor, side: int) -> Tensor:
    """A table of positions ``[1, 1 + n*n, F]``, interpolated to a grid of another side as in DINOv2's program."""
    from math import isqrt

    import torch
    from torch.nn.functional import interpolate

    n = isqrt(table.shape[1] - 1)
    if n == side:
        return table
    grid = table[:, 1:].reshape(1, n, n, -1).permute(0, 3, 1, 2)
    scale = (side + OFFSET) / n
    grid = interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
