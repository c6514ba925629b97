"""The embedding of the guidance scale in networks distilled to one pass."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def guidance_embedding(scale: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of ``1000 (scale - 1)`` at frequencies from 1 to 1/10000.

    Luo et al. 2023 (arXiv 2310.04378) write it with ``w = scale - 1``; it is the embedding of noise levels of Kingma et
    al. 2021 (arXiv 2107.00630).

    Args:
        scale: scale of classifier-free guidance, 1 for none, ``[B]``.
        width: width of the embedding, at least 4.

    Returns:
        ``[B, width]`` float32; an odd width ends with a zero.
    """
    half = width // 2
    exponent = torch.full((), 10000.0, device=scale.device).log() / (half - 1)  # filled there: no copy from the host
    frequencies = (-exponent * torch.arange(half, dtype=torch.float32, device=scale.device)).exp()
    angles = (1000 * (scale.double() - 1).float())[:, None] * frequencies
    return pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, width % 2))
