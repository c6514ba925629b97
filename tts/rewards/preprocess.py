"""Prepare 8-bit images for image encoders, in batches on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Mode = Literal["shortest", "longest", "squash"]

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and deviation of the training images of the original CLIP."""


@dataclass(frozen=True)
class Preprocess:
    """Resize images, crop or pad them to a square, and normalise them.

    Images stay 8-bit while they are resized, as in Pillow, so that pixels agree with those in training.

    Args:
        size: height and width of the result.
        mean, std: normalisation of the three channels, for pixels in [0, 1].
        interpolation: ``bicubic`` or ``bilinear``.
        mode: ``shortest``: the shortest side becomes ``size``, and the rest is cropped; ``longest``: the longest side
            does, and the rest is padded with ``fill``; ``squash``: both do.
        fill: grey level of the padding, 0 to 255.
        edge: length of the shortest side before the rest is cropped; None: ``size``.
        rounds: whether a crop with an odd rest starts at half the rest rounded (torchvision), or at the integer below
            (transformers).
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    mode: Mode = "shortest"
    fill: int = 0
    edge: int | None = None
    rounds: bool = True

    def __call__(self, images: Tensor) -> Tensor:
        """``[B, 3, H, W]`` uint8 to ``[B, 3, size, size]`` float32."""
        from torchvision.transforms.v2.functional import normalize

        square = self._square(images).float() / 255
        result: Tensor = normalize(square, list(self.mean), list(self.std))
        return result

    def _square(self, images: Tensor) -> Tensor:
        from torchvision.transforms.v2.functional import pad

        height, width = images.shape[2:]
        edge = self.edge or self.size
        if self.mode == "squash" or (height == width and edge == self.size):
            return self._resized(images, self.size, self.size)
        side = min(height, width) if self.mode == "shortest" else max(height, width)
        whole: Callable[[float], int] = int if self.mode == "shortest" else round  # as in torchvision and open_clip
        tall, wide = (whole(edge * length / side) for length in (height, width))
        resized = self._resized(images, tall, wide)
        if self.mode == "shortest":
            return self._cropped(resized)
        left, top = (self.size - wide) // 2, (self.size - tall) // 2
        padded: Tensor = pad(resized, [left, top, self.size - wide - left, self.size - tall - top], fill=self.fill)
        return padded

    def _cropped(self, images: Tensor) -> Tensor:
        begin: Callable[[float], int] = round if self.rounds else int
        top, left = (begin((length - self.size) / 2) for length in images.shape[2:])
        return images[:, :, top : top + self.size, left : left + self.size]

    def _resized(self, images: Tensor, height: int, width: int) -> Tensor:
        from torchvision.transforms.v2 import InterpolationMode
        from torchvision.transforms.v2.functional import resize

        kind: Any = InterpolationMode(self.interpolation)
        resized: Tensor = resize(images, [height, width], interpolation=kind, antialias=True)
        return resized


def by_row(network: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """A network's output for a batch, computed so that no row depends on its position.

    A CPU's matrix kernels sum rows at the edge of a batch in another order than other rows. So on a CPU each row runs
    alone, which costs almost nothing for networks of this size. A GPU's kernels treat all rows alike.

    Args:
        network: function of the inputs.
        inputs: the network's inputs, each ``[B, ...]``.
    """
    import torch

    if inputs[0].device.type != "cpu":
        return network(*inputs)
    return torch.cat([network(*(part[k : k + 1] for part in inputs)) for k in range(len(inputs[0]))])
