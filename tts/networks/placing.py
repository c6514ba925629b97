"""Put networks on their device."""

from __future__ import annotations

from typing import Literal, TypeAlias, TypeVar

import torch
from torch import nn

from tts.errors import DeviceError

N = TypeVar("N", bound=nn.Module)
Invariant: TypeAlias = Literal["none", "convolutions", "all"]

REMEDIES = {
    "text_encoder": "set engines.encode_on to cpu, ",
    **dict.fromkeys(
        ("transformer", "unet"), "set engines.model_gpus to 2 or, of models of prompts, quantization to int8, "
    ),
}
"""Settings by which a part of a pipeline takes less of a device."""

_invariant: Invariant = "convolutions"


def set_invariant(which: Invariant) -> None:
    """Set which operations of networks placed on a GPU later in this process are independent of neighbouring rows.

    ``convolutions``: those where cuDNN's result depends on the position in a batch; ``all``: matrix products too.
    """
    global _invariant
    _invariant = which


def place(
    network: N, device: str, dtype: torch.dtype | None = None, channels_last: bool = False, part: str | None = None
) -> N:
    """A network on a device, ready to compute; on a GPU with the kernels that :func:`set_invariant` asks for.

    Args:
        part: the network's name in messages; None: its class.

    Raises:
        DeviceError: the device's memory is too small for its weights.
    """
    layout = {"memory_format": torch.channels_last} if channels_last else {}
    try:
        network.to(device, dtype, **layout).eval().requires_grad_(False)  # type: ignore[call-overload]
    except torch.OutOfMemoryError:
        raise DeviceError(_too_large(network, device, dtype, part or type(network).__name__)) from None
    if torch.device(device).type == "cuda" and _invariant != "none":
        from tts.networks.invariant import make_invariant

        make_invariant(network, products=_invariant == "all")
    return network


def _too_large(network: nn.Module, device: str, dtype: torch.dtype | None, part: str) -> str:
    tensors = [*network.parameters(), *network.buffers()]
    sizes = [dtype.itemsize if dtype and each.is_floating_point() else each.element_size() for each in tensors]
    needed = sum(each.numel() * size for each, size in zip(tensors, sizes, strict=True))
    free, total = torch.cuda.mem_get_info(device)
    wide = any(size > 2 for each, size in zip(tensors, sizes, strict=True) if each.is_floating_point())
    halved = "set precision to bf16 or fp16, " if wide else ""
    less = next((remedy for name, remedy in REMEDIES.items() if part.startswith(name)), "")
    return (
        f"out of memory: the weights of {part} take {needed / 1e9:.1f} GB, and {device} has {free / 1e9:.1f} of "
        f"{total / 1e9:.1f} GB free; {halved}{less}stop other programs on it, or use a larger device"
    )
