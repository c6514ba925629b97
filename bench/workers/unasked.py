"""A model whose network is never asked, so that what is left is what a host does beside a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tts.plan import Condition

if TYPE_CHECKING:
    from torch import Tensor

    from tts.models.base import Model


class Unasked:
    """A model whose network takes no time: a state is its own prediction. All else is done as with the real one.

    Args:
        model: the real one.
    """

    def __init__(self, model: Model) -> None:
        self.passes, self.previews, self.sampler = model.passes, model.previews, model.sampler
        self.shape, self.module, self.decode = model.shape, model.module, model.decode

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The states, ``[B, *shape]`` float32."""
        return x
