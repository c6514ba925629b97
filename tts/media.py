"""The type of media that models decode, rewards judge and runs store: today 8-bit RGB images, defined only here."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, TypeAlias

from tts.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

Media: TypeAlias = "Tensor"
"""Images, ``[B, 3, H, W]`` uint8."""


def quantised(x: Tensor) -> Media:
    """``[B, 3, H, W]`` in [-1, 1] as 8 bits, rounded to the nearest and clipped."""
    import torch

    return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def quantised_as_diffusers(x: Tensor) -> Media:
    """``[B, 3, H, W]`` in [-1, 1] as 8 bits, clipped before it is scaled, as diffusers does."""
    import torch

    return ((x / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)


def check(decoded: Tensor) -> Media:
    """Check that a model's decoded images have the form that rewards judge, and return them.

    Raises:
        EngineError: they have another form; the message states the right one.
    """
    import torch

    if decoded.dtype != torch.uint8 or decoded.ndim != 4 or decoded.shape[1] != 3:
        form = f"{list(decoded.shape)} {str(decoded.dtype).removeprefix('torch.')}"
        raise EngineError(f"the model decodes to {form}; its decode() must give images, [B, 3, H, W] uint8")
    return decoded


def png(image: Media) -> bytes:
    """An image ``[3, H, W]`` as the bytes of a PNG file; equal images give equal bytes."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(file, format="PNG")
    return file.getvalue()
