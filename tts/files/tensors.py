"""Tensors from files of unknown origin: safetensors, or pickles of tensors and nothing else."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

from tts.errors import WeightsError
from tts.files import torchscript
from tts.files.reading import obstacle

if TYPE_CHECKING:
    from torch import Tensor, nn


def read(path: Path, setting: str, training: bool = False, mapped: bool = False) -> dict[str, Tensor]:
    """The named tensors of a file, or those below its entry ``state_dict`` if there is one.

    Nothing in the file is executed or imported. A file that is no safetensors file is read by torch's restricted
    unpickler; a TorchScript archive is read by this package's own.

    Args:
        path: the file.
        setting: the setting that names the file, for the message.
        training: whether to accept files of training programs, which hold a command line (an ``argparse.Namespace``)
            beside the weights; the tensors below ``ema`` are returned.
        mapped: whether to read the numbers of a pickle only when they are used, for readers of names. Pickles of old
            releases of torch, and TorchScript archives, are read whole.

    Raises:
        WeightsError: the file is missing or damaged, or holds anything but tensors.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        elif torchscript.is_archive(path):
            content = torchscript.read(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns of other programs' pickles; errors are handled below
                with torch.serialization.safe_globals([argparse.Namespace] if training else []):
                    content = torch.load(
                        path, map_location="cpu", weights_only=True, mmap=(training or mapped) and is_zipfile(path)
                    )
    except FileNotFoundError:
        raise WeightsError(f"{setting} {path}: {obstacle(path)}") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged or foreign file can make anything of an unpickler
        raise WeightsError(
            f"{setting} {path}: damaged, or holds more than tensors, and so is not opened ({_short(error)})"
        ) from None
    for entry in ("state_dict", *(["ema"] if training else [])):
        if isinstance(content, Mapping) and isinstance(content.get(entry), Mapping):
            content = content[entry]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"{setting} {path}: holds no state_dict of tensors")
    return {str(name): tensor for name, tensor in content.items()}


def fill(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Give a network its weights, all of them and no others.

    Raises:
        WeightsError: the tensors are for another network; the message names the first that does not fit.
    """
    own = network.state_dict()
    wanted = {name: tuple(tensor.shape) for name, tensor in own.items()}
    for name in sorted(wanted.keys() | tensors.keys()):
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != wanted.get(name):
            raise WeightsError(f"{where}: has {found} in place of {wanted.get(name)} for '{name}'")
    refuse_whole({name: tensors[name] for name, tensor in own.items() if tensor.is_floating_point()}, where)
    network.load_state_dict(dict(tensors), assign=True)


def refuse_whole(tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse quantised weights: integers whose scales are stored elsewhere.

    Raises:
        WeightsError: there are some; the message names the first.
    """
    name = next((name for name, tensor in sorted(tensors.items()) if not tensor.is_floating_point()), None)
    if name is not None:
        kind = str(tensors[name].dtype).removeprefix("torch.")
        raise WeightsError(f"{where}: '{name}' is {kind}: quantised weights are not read; name others")


def _short(error: BaseException) -> str:
    """An error of torch without its advice, which includes how to run the file after all."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    found = next((line for line in lines if "GLOBAL" in line or "Unsupported" in line), lines[0] if lines else "")
    return (found or type(error).__name__)[:200]
