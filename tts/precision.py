"""Precisions of networks, as configurations name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import torch

Precision: TypeAlias = Literal["fp32", "fp16", "bf16"]
NAMES: dict[Precision, str] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def dtype(precision: Precision) -> torch.dtype:
    """The torch dtype of a precision."""
    import torch

    found: torch.dtype = getattr(torch, NAMES[precision])
    return found
