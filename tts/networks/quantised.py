"""Weights of linear layers in 8 bits, by torchao: half the memory of bfloat16; activations keep their precision."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias

from tts.errors import SettingError
from tts.quiet import REGISTRATIONS, hushed

if TYPE_CHECKING:
    from torch import nn

Quantization: TypeAlias = Literal["int8", "fp8"]

FP8_SINCE = (8, 9)
"""Compute capability of the first GPUs that compute in fp8."""


def check_installed() -> None:
    """Refuse if the library is missing.

    Raises:
        SettingError: it is missing.
    """
    if find_spec("torchao") is None:
        raise SettingError(
            "quantization: torchao is needed; install it with pip install 'diffusion-tts-bench[adapters]'"
        )


def can_compute(kind: Quantization, device: str) -> bool:
    """Whether a device computes with such weights."""
    import torch

    if kind == "int8":
        return True
    return torch.device(device).type == "cuda" and torch.cuda.get_device_capability(device) >= FP8_SINCE


def check_device(kind: Quantization, device: str) -> None:
    """Refuse a device that cannot compute with such weights.

    Raises:
        SettingError: it cannot.
    """
    if not can_compute(kind, device):
        raise SettingError(
            f"quantization: fp8 needs a GPU of compute capability 8.9 or later, which {device} is not; set int8"
        )


def quantise(network: nn.Module, kind: Quantization, device: str) -> None:
    """Round the weights of a network's linear layers in place, with one scale per row.

    Args:
        network: in host memory, in its precision.
        kind: int8, or fp8 (e4m3).
        device: the device on which it will compute.

    Raises:
        SettingError: torchao is missing, or the device cannot.
    """
    check_installed()
    check_device(kind, device)
    with hushed(REGISTRATIONS):
        from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    quantize_(network, Int8WeightOnlyConfig() if kind == "int8" else Float8WeightOnlyConfig())
