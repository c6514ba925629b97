"""Random images for which different resampling programs agree."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import to_pil_image


def images(*shape: int, seed: int = 0) -> Tensor:
    """Smooth random images; on noise, resampling programs differ."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(shape[0], 3, 4, 4, generator=draw)
    return (F.interpolate(coarse, shape[2:], mode="bicubic").clamp(0, 1) * 255).round().to(torch.uint8)


def pillow(image: Tensor) -> Image.Image:
    """A tensor as a Pillow image."""
    return to_pil_image(image)
