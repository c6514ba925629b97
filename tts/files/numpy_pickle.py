"""Pickles of numbers and numpy arrays in dicts and lists, read without running or importing what they name.

Inert records of ours stand for the few names that arrays need, and every other name is refused.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts.errors import DataError

DTYPES = {"b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"}


def read(path: Path, setting: str) -> Any:
    """What a pickle holds; arrays are read-only.

    Args:
        setting: what named the file, for the message.

    Raises:
        DataError: missing, damaged, or naming anything but arrays and their types.
    """
    try:
        with path.open("rb") as file:
            return _plain(_Reader(file).load())
    except _RefusedError as refused:
        raise DataError(
            f"{setting} {path}: refused, because it names {str(refused)!r}, which no array needs; nothing in it was "
            "executed"
        ) from None
    except FileNotFoundError:
        raise DataError(f"{setting} {path}: no such file") from None
    except Exception as error:  # a damaged or foreign file can make anything of an unpickler
        raise DataError(f"{setting} {path}: damaged, or no pickle of arrays ({error!r})") from None


class _RefusedError(Exception):
    """A pickle names something that is not on the list."""


class _Sealed(type):
    """Type of the records: a pickle can set attributes of what it names, so what it names cannot be changed."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise TypeError(f"{cls.__name__} cannot be changed")


class _Kind(metaclass=_Sealed):
    """Stands for the class of arrays."""


class _DType(metaclass=_Sealed):
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in DTYPES:
            raise TypeError(f"arrays of type {code!r}")
        self.code = f"<{code}"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", "|", "="):
            raise TypeError("big-endian numbers")


class _Array(metaclass=_Sealed):
    """An array that is filled by its state, as numpy pickles one."""

    def __init__(self, *_: object) -> None:
        self.array: NDArray[Any] = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.array = _filled(data, dtype, shape, "F" if fortran else "C")


class _Buffer(metaclass=_Sealed):
    """An array from its bytes, as numpy's newer pickles have it."""

    def __init__(self, data: bytes, dtype: _DType, shape: tuple[int, ...], order: str) -> None:
        self.array = _filled(data, dtype, shape, "F" if order == "F" else "C")


class _Scalar(metaclass=_Sealed):
    """A numpy scalar."""

    def __init__(self, dtype: _DType, data: bytes) -> None:
        self.array = _filled(data, dtype, (), "C")


def _filled(data: bytes, dtype: _DType, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    found = np.frombuffer(data, dtype.code).reshape(shape, order=order)
    found.flags.writeable = False
    return found


class _Reader(pickle.Unpickler):
    """Opens a pickle; everything that it can name is in :data:`NAMES`."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name."""
        if f"{module}.{name}" not in NAMES:
            raise _RefusedError(f"{module}.{name}")
        return NAMES[f"{module}.{name}"]


NAMES: dict[str, type] = {
    "numpy.dtype": _DType,
    "numpy.ndarray": _Kind,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray.scalar": _Scalar,
    "numpy.core.multiarray.scalar": _Scalar,
    "numpy._core.numeric._frombuffer": _Buffer,
    "numpy.core.numeric._frombuffer": _Buffer,
}
"""All that a pickle of arrays may name, and what stands for it here."""


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > 8:
        raise ValueError("nested too deep")
    if isinstance(value, _Array | _Buffer | _Scalar):
        return value.array
    if isinstance(value, dict):
        return {str(name): _plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, depth + 1) for inner in value]
    return value
