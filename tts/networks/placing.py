"""Networks put where they compute."""

from __future__ import annotations

from typing import Literal, TypeAlias, TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)
Invariant: TypeAlias = Literal["none", "convolutions", "all"]

_invariant: Invariant = "convolutions"


def set_invariant(which: Invariant) -> None:
    """Say, for this process, which sums of networks that are put on a GPU from now on depend on no row beside them.

    ``convolutions`` are those that cuDNN would let depend on the place in a batch; ``all`` has matrix products besides.
    """
    global _invariant
    _invariant = which


def place(network: N, device: str, dtype: torch.dtype | None = None, channels_last: bool = False) -> N:
    """A network on a device, ready to compute; on a GPU with the kernels that :func:`set_invariant` asks for."""
    layout = {"memory_format": torch.channels_last} if channels_last else {}
    network.to(device, dtype, **layout).eval().requires_grad_(False)  # type: ignore[call-overload]
    if torch.device(device).type == "cuda" and _invariant != "none":
        from tts.networks.invariant import make_invariant

        make_invariant(network, products=_invariant == "all")
    return network
