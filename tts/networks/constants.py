"""Numbers that networks need on their device; they are copied there once.

A copy from the host waits for all work that is queued on a GPU, so that one in each forward would keep the host back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Self

import torch
from torch import Tensor, nn


class Exact(nn.Module):
    """A module whose buffers move to other devices with it, but stay in their precision."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        exact = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in exact.items():
            setattr(self, name, buffer.to(getattr(self, name).device))
        return self


@cache
def constants(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Numbers on a device, ``[N]`` float32, for everyone who asks: do not write to them."""
    with torch.inference_mode(False):  # or they could never be used where gradients are taken
        return torch.tensor(values, dtype=torch.float32, device=device)
