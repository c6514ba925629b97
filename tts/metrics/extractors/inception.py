"""The Inception network of FID, from torch-fidelity: TensorFlow's of 2015-12-05, on which published values rest."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tts.files import tensors
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.metrics.extractors.base import LOGITS, POOLED, SPATIAL, ExtractorSettings, Look
from tts.metrics.extractors.library import torch_fidelity

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
DIGEST = "6726825d"
SPATIAL_CHANNELS = 7


class Inception(ExtractorSettings):
    """Inception-v3 as FID uses it: 2,048 pooled features, 1,008 logits without bias, and 2,023 spatial features.

    The spatial ones are sFID's (Nash et al. 2021, arXiv 2103.03841, Sec. 4): the first 7 channels of the first
    convolution of TensorFlow's block ``mixed_6``, 17 x 17 places, channels last. Images are resized as TensorFlow did.
    """

    layers: ClassVar = {POOLED: 2048, SPATIAL: 17 * 17 * SPATIAL_CHANNELS, LOGITS: 1008}
    family: ClassVar = "inception-v3-compat"

    name: Literal["inception"] = Field("inception", description="Inception-v3 of FID, IS, KID")
    weights: str = Field(WEIGHTS, description="file (.safetensors, .pth) or address of torch-fidelity's weights")
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-fA-F]{8,64}$",
        description="SHA-256 of weights at an address, or its first digits; left out: torch-fidelity's own are known",
    )

    def record(self) -> dict[str, Any]:
        """The settings without the digest that a download is checked against, as it changes no result."""
        return {name: value for name, value in super().record().items() if name != "sha256"}

    def path(self) -> Path:
        """The file of the weights, downloaded if needed."""
        return locate(self.weights, "weights", self.sha256 or (DIGEST if self.weights == WEIGHTS else None))

    def about(self) -> str:
        """The network, and the digest of the weights' file."""
        return f"{self.family} {sha256(self.path(), 'weights')}"

    def check(self) -> None:
        """Check that the library is installed, and that the weights are for this network."""
        inception(self.path())

    def look(self, device: str) -> Look:
        """The network on a device."""
        import torch

        from tts.networks.placing import place

        network: Any = place(inception(self.path()), device, torch.float32)
        kept: dict[str, Tensor] = {}
        network.Mixed_6d.branch1x1.register_forward_hook(lambda _, __, out: kept.update(spatial=out))

        def look(images: Tensor) -> Mapping[str, Tensor]:
            pooled, logits = network(images)
            spatial = kept.pop("spatial")[:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(1)
            return {POOLED: pooled, SPATIAL: spatial.float(), LOGITS: logits}

        return look


def inception(path: Path) -> nn.Module:
    """The network with weights from a file, in evaluation mode; nothing in the file is executed.

    Raises:
        WeightsError: the file is damaged, or for another network.
    """
    network: nn.Module = bare("meta")
    tensors.fill(network, tensors.read(path, "weights"), f"weights {path}")
    return network.requires_grad_(False).eval()


def bare(device: str) -> Any:
    """The network without weights, which returns pooled features and logits without bias.

    The library's class loads weights when it is made, with an unpickler that can run code. Here it gets an empty file
    in memory, from which it loads no weights.
    """
    import torch

    library: Any = torch_fidelity("feature_extractor_inceptionv3").FeatureExtractorInceptionV3

    class Bare(library):  # type: ignore[misc]
        def load_state_dict(self, state: Mapping[str, Tensor], *_: Any, **how: Any) -> Any:
            return super().load_state_dict(state, **how) if state else None

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.device(device):
        return Bare("inception-v3-compat", ["2048", "logits_unbiased"], nothing)
