"""A reward as a user would write it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def redness(images: Tensor, conditions: Sequence[str]) -> list[float | None]:
    """Mean of the red channel; None for captions that are too short."""
    values = (images[:, 0].float().mean(dim=(1, 2)) / 255).tolist()
    return [value if len(text) > 3 else None for value, text in zip(values, conditions, strict=True)]
