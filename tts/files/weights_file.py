"""Weights in safetensors files: in float16 for half the size, with a digest that reveals damage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tts.errors import WeightsError
from tts.files.reading import obstacle
from tts.files.whole import atomic_write

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

SHIPPED = Path(__file__).parents[1] / "weights"


def save(module: nn.Module, path: Path) -> str:
    """Write a network's weights as float16 (integers as they are); returns their digest."""
    import torch

    def half(tensor: torch.Tensor) -> np.ndarray:
        return (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu().numpy()

    return write({name: half(tensor) for name, tensor in module.state_dict().items()}, path)


def write(tensors: dict[str, np.ndarray], path: Path, metadata: Mapping[str, str] = MappingProxyType({})) -> str:
    """Write arrays as they are, with their digest among the file's metadata; returns the digest.

    Raises:
        OSError: the file could not be written; the older one, if any, is still there.
    """
    from safetensors.numpy import save as serialize

    digest = _digest(sorted(tensors.items()))
    atomic_write(path, serialize(tensors, metadata={"sha256": digest, **metadata}))
    return digest


def digest(path: Path) -> str:
    """The digest of a file's tensors, after comparing it with the digest that the file states.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            named = (file.metadata() or {}).get("sha256")
            found = _digest((name, file.get_tensor(name)) for name in sorted(file.keys()))
    except FileNotFoundError:
        raise WeightsError(f"weights {path}: {obstacle(path)}") from None
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise WeightsError(f"weights {path}: damaged or not a safetensors file ({error})") from None
    if named is not None and named != found:
        raise WeightsError(f"weights {path}: damaged (its tensors do not have the digest that it names)")
    return found


def load(module: nn.Module, path: Path) -> None:
    """Fill a network from a file.

    Raises:
        WeightsError: the file is missing, damaged or of another network.
    """
    from safetensors.torch import load_file

    digest(path)
    try:
        module.load_state_dict(load_file(path))
    except RuntimeError:
        raise WeightsError(f"weights {path}: made for another network than {type(module).__name__}") from None


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's tensors by name; their values are not read.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  (no dict)
    except FileNotFoundError:
        raise WeightsError(f"weights {path}: {obstacle(path)}") from None
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weights {path}: damaged or not a safetensors file ({error})") from None


def _digest(tensors: Iterable[tuple[str, np.ndarray]]) -> str:
    sha = hashlib.sha256()
    for name, tensor in tensors:
        sha.update(f"{name}:{tensor.dtype}:{tensor.shape}".encode())
        sha.update(tensor.tobytes())
    return sha.hexdigest()
