"""A model whose network is never asked, so that what is left is what a host does beside a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tts.models.wrapped import Wrapped
from tts.plan import Condition

if TYPE_CHECKING:
    from torch import Tensor


class Unasked(Wrapped):
    """A model whose network takes no time: a state is its own prediction. All else is done as with the real one."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The states, ``[B, *shape]`` float32."""
        return x
