"""Tensors of TorchScript archives, as OpenAI published CLIP, read without running the program that they hold.

Such an archive is a ZIP file: ``data.pkl`` pickles a tree of modules, ``data/0``, ``data/1``, ... hold the numbers, and
``code/`` is a program, which is not looked at. The few names that the pickle needs stand for inert records; every
other name is refused.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

STORAGES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
}
"""torch's classes of storages, and what they hold."""


def is_archive(path: Path) -> bool:
    """Whether a file is a TorchScript archive, and no ``torch.save`` of tensors."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.count("/") == 1 and name.endswith("/constants.pkl") for name in archive.namelist())


def read(path: Path) -> dict[str, Tensor]:
    """Every tensor of the tree of modules, by its dotted name.

    Raises:
        UnpicklingError: the pickle names something that no module needs.
        ValueError: it is damaged.
    """
    try:
        return _read(path)
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # a damaged or foreign file can make anything of an unpickler
        raise ValueError(f"no TorchScript archive: {error!r}") from None


def _read(path: Path) -> dict[str, Tensor]:
    with zipfile.ZipFile(path) as archive:
        root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).rpartition("/")[0]
        with archive.open(f"{root}/data.pkl") as file:
            found = _Reader(file, archive, root).load()
    if not isinstance(found, _Module):
        raise pickle.UnpicklingError("holds no module")
    return dict(_named(found, ""))


class _Sealed(type):
    """Type of the records: a pickle can set attributes of what it names, so what it names cannot be changed."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise TypeError(f"{cls.__name__} cannot be changed")


class _Module(metaclass=_Sealed):
    """A module: its attributes by name."""

    state: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = dict(state)


class _Tensor(metaclass=_Sealed):
    """Stands for ``torch._utils._rebuild_tensor_v2``."""

    def __new__(cls, storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Any:
        """A tensor of a storage's numbers; torch refuses one that would reach beyond them."""
        return storage.as_strided(tuple(size), tuple(stride), offset)


class _Reader(pickle.Unpickler):
    """Reads ``data.pkl``; the archive's other parts are opened where it points to them."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self.archive, self.root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        """What stands for one of the names that modules need."""
        if module.split(".")[0] == "__torch__":
            return _Module
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
            **{("torch.jit._pickle", f"build_{kind}list"): list for kind in ("int", "double", "bool", "tensor")},
        }
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}, which no module needs")
        return known[module, name]

    def persistent_load(self, pid: Any) -> torch.Tensor:
        """The numbers of a storage, ``[count]``."""
        import torch

        _, kind, key, _, count = pid
        content = bytearray(self.archive.read(f"{self.root}/data/{key}"))
        found = torch.frombuffer(content, dtype=getattr(torch, kind)) if content else torch.empty(0)
        if len(found) < count:
            raise ValueError(f"data/{key} is too short")
        return found


def _named(module: _Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
    import torch

    for name, value in module.state.items():
        if isinstance(value, torch.Tensor):
            yield prefix + name, value
        elif isinstance(value, _Module):
            yield from _named(value, f"{prefix}{name}.")
