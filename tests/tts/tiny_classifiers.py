"""Random images, and settings of guided diffusion's classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tts.rewards.classifier import GUIDED, Classifier


def images(count: int, size: int, seed: int = 0) -> Tensor:
    """Random images, ``[count, 3, size, size]`` uint8."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=draw)


def guided(path: Path, **values: Any) -> Classifier:
    """Settings of the classifier on a file of random weights in its form."""
    return Classifier(model=GUIDED, weights=str(path), **values)
