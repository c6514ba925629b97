"""Scores of each row's own class from a classifier's logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tts.plan import Condition
from tts.rewards.base import Score

if TYPE_CHECKING:
    from torch import Tensor


def of_classes(logits: Tensor, conditions: Sequence[Condition], probability: bool) -> list[Score]:
    """Each row's logit of its own class, or the softmax probability of that class; computed in float64.

    Args:
        logits: ``[B, C]``.
        conditions: B class indices.
        probability: whether to return probabilities.
    """
    import torch

    values = logits.double().softmax(dim=1) if probability else logits.double()
    labels = torch.tensor([int(condition) for condition in conditions], device=logits.device)
    found: list[Score] = values[torch.arange(len(labels), device=logits.device), labels].tolist()
    return found
