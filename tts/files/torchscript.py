"""Tensors of TorchScript archives, as OpenAI published CLIP, read without running the program that they hold.

Such an archive is a ZIP file: ``data.pkl`` pickles a tree of modules, ``data/0``, ``data/1``, ... hold the numbers, and
``code/`` is a program, which is not looked at. The few names that the pickle needs stand for inert records; every
other name is refused.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.files.inert import Reader, RefusedError, Sealed, listed, refuse_bomb

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

GROWTH = 16
"""How many times an archive's own size its parts may have: torch packs no numbers, and packed weights shrink little."""

ROOM = 1 << 20
"""Bytes that the parts of a tiny archive may have on top."""


def is_archive(path: Path) -> bool:
    """Whether a file is a TorchScript archive, and no ``torch.save`` of tensors."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.count("/") == 1 and name.endswith("/constants.pkl") for name in archive.namelist())


def read(path: Path) -> dict[str, Tensor]:
    """Every tensor of the tree of modules, by its dotted name.

    Raises:
        UnpicklingError: the pickle names something that no module needs, or parts are far larger than the file.
        ValueError: it is damaged.
    """
    try:
        return _read(path)
    except RefusedError as refused:
        raise pickle.UnpicklingError(f"GLOBAL {refused}, which no module needs") from None
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # a damaged or foreign file can make anything of an unpickler
        raise ValueError(f"no TorchScript archive: {error!r}") from None


def _read(path: Path) -> dict[str, Tensor]:
    with zipfile.ZipFile(path) as archive:
        _refuse_bomb(archive, path.stat().st_size)
        root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).rpartition("/")[0]
        found = _Reader(archive, root).load()
    if not isinstance(found, _Module):
        raise pickle.UnpicklingError("holds no module")
    parts = listed(_parts(found, ""))
    refuse_bomb([part.state for _, part in parts])
    return {prefix + name: value for prefix, part in parts for name, value in _tensors(part)}


def _refuse_bomb(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse parts that are far larger than their file, of ``size`` bytes, and packings that cannot be
    undone piece by piece."""
    parts = archive.infolist()
    if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in parts):
        raise pickle.UnpicklingError("Unsupported packing of its parts")
    if (unpacked := sum(part.file_size for part in parts)) > GROWTH * size + ROOM:
        raise pickle.UnpicklingError(f"{size} bytes that would unpack to {unpacked}")


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    """A part, unpacked no further than the size that the archive states, which ``ZipFile.read`` compares too late."""
    with archive.open(name) as file:
        return file.read(max(1, archive.getinfo(name).file_size))


class _Module(metaclass=Sealed):
    """A module: its attributes by name."""

    state: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state


class _Tensor(metaclass=Sealed):
    """Stands for ``torch._utils._rebuild_tensor_v2``."""

    def __new__(cls, storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Any:
        """A tensor of a storage's numbers; torch refuses one that would reach beyond them."""
        return storage.as_strided(tuple(size), tuple(stride), offset)


NAMES: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _Tensor,
    **{f"torch.jit._pickle.build_{kind}list": list for kind in ("int", "double", "bool", "tensor")},
    **{f"torch.{name}": kind for name, kind in STORAGES.items()},
}
"""All that modules may name, and what stands for it here."""


class _Reader(Reader):
    """Reads ``data.pkl``; the archive's other parts are opened where it points to them, each once."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(_content(archive, f"{root}/data.pkl")), NAMES)
        self.archive, self.root = archive, root
        self.contents: dict[str, bytearray] = {}

    def find_class(self, module: str, name: str) -> Any:
        """A module, whatever its program is called, or one of the names."""
        return _Module if module.split(".")[0] == "__torch__" else super().find_class(module, name)

    def persistent_load(self, pid: Any) -> torch.Tensor:
        """The numbers of a storage, ``[count]``."""
        import torch

        _, kind, key, _, count = pid
        name = f"{self.root}/data/{key}"
        if name not in self.contents:
            self.contents[name] = bytearray(_content(self.archive, name))
        content = self.contents[name]
        found = torch.frombuffer(content, dtype=getattr(torch, kind)) if content else torch.empty(0)
        if len(found) < count:
            raise ValueError(f"data/{key} is too short")
        return found


def _parts(module: _Module, prefix: str) -> Iterator[tuple[str, _Module]]:
    """A module and all of its parts, each with what its tensors' names begin with."""
    yield prefix, module
    for name, value in module.state.items():
        if isinstance(value, _Module):
            yield from _parts(value, f"{prefix}{name}.")


def _tensors(module: _Module) -> Iterator[tuple[str, Tensor]]:
    import torch

    return ((name, value) for name, value in module.state.items() if isinstance(value, torch.Tensor))
