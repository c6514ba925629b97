"""A model that passes everything on to another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tts.plan import Condition

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tts.media import Media
    from tts.models.base import Model
    from tts.samplers.base import Sampler


class Wrapped:
    """Base of models that change one answer of another model.

    Args:
        model: the other model.
    """

    def __init__(self, model: Model) -> None:
        self.model, self.passes, self.previews = model, model.passes, model.previews

    @property
    def sampler(self) -> Sampler:
        """The sampler that steps the trajectories."""
        return self.model.sampler

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a state, without a batch dimension."""
        return self.model.shape

    @property
    def module(self) -> nn.Module:
        """The network that forwards run."""
        return self.model.module

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Predicted clean states, ``[B, *shape]`` float32, of states of the same form at levels ``[B]`` float64."""
        return self.model.denoise(x, levels, conditions)

    def decode(self, x: Tensor, preview: bool = False) -> Media:
        """Clean states ``[B, *shape]`` as 8-bit RGB images, ``[B, 3, H, W]`` uint8."""
        return self.model.decode(x, preview)
