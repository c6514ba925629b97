"""NVIDIA's pickled EDM and EDM2 networks, read without running or importing anything that they name.

Such a file is a pickle of ``{'ema': network, ...}``. Every module in it is a call of
``torch_utils.persistence._reconstruct_persistent_obj`` with the module's source code, class name and attributes, and
the official loader runs that source. Here each of the few names that such a file needs stands for an inert record
of ours, tensors become numpy arrays, and every other name is refused. Needs no torch.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tts.errors import WeightsError
from tts.files.inert import NUMPY, Array, Buffer, Reader, RefusedError, Scalar, Sealed, listed, refuse_bomb

STORAGES = {
    "BoolStorage": "?",
    "ByteStorage": "u1",
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}
"""torch's classes of storages, and numpy's names for what they hold."""

STORAGE_HEADER = (0x1950A86A20F9469CFC6C, 1001)
"""Magic number and version of a storage written by ``torch.save`` in its older form, as pickles hold it."""


@dataclass(frozen=True)
class Module:
    """A part of a network.

    Args:
        name: dotted.
        class_name: as the file has it.
        numbers: what it keeps beside weights and parts.
        width: length of its weight; 0 for none.
    """

    name: str
    class_name: str
    numbers: dict[str, float]
    width: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """An EDM network taken apart.

    Args:
        sigma_data: the preconditioning's standard deviation of the data.
        architecture: class name of the raw network.
        arguments: what its constructor was called with, by name.
        tensors: its parameters and buffers by dotted name.
        levels: numbers of the preconditioning.
        modules: all of its parts.
        encoder: numbers, texts and arrays of what made the states of images, its class as ``class_name``; empty: none.
    """

    sigma_data: float
    architecture: str
    arguments: dict[str, Any]
    tensors: dict[str, npt.NDArray[Any]]
    levels: dict[str, float] = field(default_factory=dict)
    modules: tuple[Module, ...] = ()
    encoder: dict[str, Any] = field(default_factory=dict)


def read(path: Path) -> Checkpoint:
    """Open a checkpoint.

    Raises:
        WeightsError: missing, damaged, of another form, or naming anything that an EDM network does not need.
    """
    try:
        with path.open("rb") as file:
            return _taken_apart(Reader(file, NAMES).load())
    except RefusedError as refused:
        raise WeightsError(
            f"checkpoint {path}: refused, because it names {str(refused)!r}, which no EDM network needs; "
            "nothing in it was executed"
        ) from None
    except WeightsError as error:
        raise WeightsError(f"checkpoint {path}: {error}") from None
    except FileNotFoundError:
        raise WeightsError(f"checkpoint {path}: no such file") from None
    except Exception as error:  # a damaged or foreign file can make anything of an unpickler
        raise WeightsError(f"checkpoint {path}: damaged, or not an EDM pickle ({error!r})") from None


class _EasyDict(dict[str, Any], metaclass=Sealed):
    """Stands for ``dnnlib.util.EasyDict``."""


class _Module(metaclass=Sealed):
    """A module's class name and attributes; without a name, one of torch's own containers."""

    class_name = "ModuleDict"

    def __init__(self, meta: dict[str, Any]) -> None:
        self.class_name = meta["class_name"]
        self.__setstate__(meta["state"])

    def __setstate__(self, state: dict[str, Any]) -> None:
        if not (isinstance(self.class_name, str) and isinstance(state, dict)):
            raise TypeError("a part without a name or attributes")
        self.state = state


class _Storage(metaclass=Sealed):
    """Numbers that tensors share, from the bytes that ``torch.save`` makes of a storage.

    Five pickles (magic number, version, machine, the storage's class, name and length, list of names), then the
    length and the numbers.
    """

    def __init__(self, data: bytes) -> None:
        stream = io.BytesIO(data)
        magic, version, machine, (_, dtype, key, _, length, *view), keys = (
            _StorageHeader(stream).load() for _ in range(5)
        )
        start = stream.tell() + 8
        size = int.from_bytes(data[start - 8 : start], "little")
        known = (magic, version) == STORAGE_HEADER and machine["little_endian"] and not any(view)
        if not known or keys != [key] or size != length or len(data) - start != size * np.dtype(dtype).itemsize:
            raise ValueError("a tensor's storage is damaged or of an unknown form")
        self.numbers = np.frombuffer(data, dtype, count=size, offset=start)


class _StorageHeader(Reader):
    """Opens the pickles of a storage's header, which name the storage's class and nothing else."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, {f"torch.{name}": kind for name, kind in STORAGES.items()})

    def persistent_load(self, pid: Any) -> Any:
        """A storage's class, name, device and length, as they stand."""
        return pid


class _Tensor(metaclass=Sealed):
    """A view of a storage."""

    def __init__(self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> None:
        numbers = storage.numbers
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if min((offset, *size, *stride)) < 0 or last >= len(numbers) or prod(size) > len(numbers):
            raise ValueError("a tensor reaches beyond its storage")
        strides = tuple(step * numbers.itemsize for step in stride)
        self.array = np.lib.stride_tricks.as_strided(numbers[offset:], size, strides, writeable=False)


class _Parameter(_Tensor):
    """A tensor that was trained."""

    def __init__(self, tensor: _Tensor, *_: Any) -> None:
        self.array = tensor.array


NAMES: dict[str, type] = {
    **NUMPY,
    "__builtin__.set": set,
    "builtins.set": set,
    "collections.OrderedDict": dict,
    "dnnlib.util.EasyDict": _EasyDict,
    "torch._utils._rebuild_parameter": _Parameter,
    "torch._utils._rebuild_tensor_v2": _Tensor,
    "torch.nn.modules.container.ModuleDict": _Module,
    "torch.storage._load_from_bytes": _Storage,
    "torch_utils.persistence._reconstruct_persistent_obj": _Module,
}
"""All that a checkpoint may name, and what stands for it here."""

WRAPPERS = {"EDMPrecond": "model", "Precond": "unet"}
"""Class names of what wraps a raw network, EDM's and EDM2's, and the network's name there."""


def _taken_apart(content: dict[str, Any]) -> Checkpoint:
    precond: _Module = content["ema"]
    if precond.class_name not in WRAPPERS:
        raise WeightsError(
            f"its network is wrapped in a {precond.class_name}; only {' and '.join(WRAPPERS)} can be read"
        )
    network: _Module = precond.state["_modules"][WRAPPERS[precond.class_name]]
    if network.state.get("_init_args"):
        raise WeightsError(f"its {network.class_name} was built from unnamed arguments")
    parts = listed(_parts(network, ""))
    refuse_bomb([part.state for _, part in parts])
    arguments = {key: _plain(value) for key, value in network.state["_init_kwargs"].items()}
    tensors = {f"{name}{own}": array for name, part in parts for own, array in _tensors(part)}
    modules = tuple(_module(part, name.removesuffix(".")) for name, part in parts)
    encoder = _encoder(content.get("encoder"))
    sigma_data = float(_plain(precond.state["sigma_data"]))
    return Checkpoint(sigma_data, network.class_name, arguments, tensors, _numbers(precond), modules, encoder)


def _encoder(found: _Module | None) -> dict[str, Any]:
    """Attributes of an encoder that are numbers, texts or arrays."""
    if found is None:
        return {}
    attributes = {key: _plain(value) for key, value in found.state.items()}
    kept = {key: value for key, value in attributes.items() if isinstance(value, str | int | float | np.ndarray)}
    return {**kept, "class_name": found.class_name}


def _plain(value: Any) -> Any:
    if isinstance(value, Scalar):
        return value.array.item()
    return value.array if isinstance(value, Array | Buffer) else value


def _parts(module: _Module, name: str) -> Iterator[tuple[str, _Module]]:
    """A network and all of its parts, each with its name and a dot before the names of what it has."""
    yield name, module
    for part, child in module.state["_modules"].items():
        if child is not None:
            yield from _parts(child, f"{name}{part}.")


def _tensors(module: _Module) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    own = module.state["_parameters"] | module.state["_buffers"]
    return ((name, tensor.array) for name, tensor in own.items() if tensor is not None)


def _module(module: _Module, name: str) -> Module:
    weight = module.state["_parameters"].get("weight")
    return Module(name, module.class_name, _numbers(module), 0 if weight is None else len(weight.array))


def _numbers(module: _Module) -> dict[str, float]:
    plain = {name: _plain(value) for name, value in module.state.items()}
    return {name: value for name, value in plain.items() if isinstance(value, bool | int | float)}
