"""Images, and guided diffusion's classifier on weights of its form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tts.rewards.classifier import GUIDED, Classifier


def images(count: int, size: int, seed: int = 0) -> Tensor:
    """Random images, [count, 3, size, size]."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=draw)


def guided(path: Path, **values: Any) -> Classifier:
    """Settings of the classifier on these weights."""
    return Classifier(model=GUIDED, weights=str(path), **values)
