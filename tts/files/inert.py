"""Pickles that are read without running or importing what they name.

Each of the few names that a file needs stands for an inert record of ours, and every other name is refused. As a small
pickle can name one object in many places of another one, again and again, what it stands for is bounded.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

MOST_PARTS, MOST_VALUES = 100_000, 1_000_000
"""Of a network, and in all of its parts; each counts wherever it is named."""

DTYPES = {"b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"}
"""numpy's codes of the types that arrays may have."""


class RefusedError(Exception):
    """A pickle names something that is not on the list."""


class Sealed(type):
    """Type of the records: a pickle can set attributes of what it names, so what it names cannot be changed."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise TypeError(f"{cls.__name__} cannot be changed")


class Reader(pickle.Unpickler):
    """Opens a pickle.

    Args:
        file: where it is.
        names: all that it may name, and what stands for it.
    """

    def __init__(self, file: IO[bytes], names: Mapping[str, Any]) -> None:
        super().__init__(file)
        self._names = names

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name.

        Raises:
            RefusedError: the pickle may not name this.
        """
        full = f"{module}.{name}"
        if full not in self._names:
            raise RefusedError(full)
        return self._names[full]


class DType(metaclass=Sealed):
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in DTYPES:
            raise TypeError(f"numbers of type {code!r}")
        self.code = f"<{code}"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", "|", "="):
            raise TypeError("big-endian numbers")


class Array(metaclass=Sealed):
    """An array that is filled by its state, as numpy pickles one; read-only."""

    def __init__(self, *_: object) -> None:
        self.array: NDArray[Any] = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.array = _filled(data, dtype, shape, "F" if fortran else "C")


class Buffer(metaclass=Sealed):
    """An array from its bytes, as numpy's newer pickles have it."""

    def __init__(self, data: bytes, dtype: DType, shape: tuple[int, ...], order: str) -> None:
        self.array = _filled(data, dtype, shape, "F" if order == "F" else "C")


class Scalar(metaclass=Sealed):
    """A number of numpy's, as an array without axes."""

    def __init__(self, dtype: DType, data: bytes) -> None:
        self.array = _filled(data, dtype, (), "C")


class _Kind(metaclass=Sealed):
    """Stands for the class of arrays, which is only named and never made."""


def _filled(data: bytes, dtype: DType, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    found = np.frombuffer(data, dtype.code).reshape(shape, order=order)
    found.flags.writeable = False
    return found


NUMPY: Mapping[str, type] = {
    "numpy.dtype": DType,
    "numpy.ndarray": _Kind,
    "numpy._core.multiarray._reconstruct": Array,
    "numpy.core.multiarray._reconstruct": Array,
    "numpy._core.multiarray.scalar": Scalar,
    "numpy.core.multiarray.scalar": Scalar,
    "numpy._core.numeric._frombuffer": Buffer,
    "numpy.core.numeric._frombuffer": Buffer,
}
"""All that arrays and numbers of numpy may name."""


def listed(found: Iterable[T]) -> list[T]:
    """All that is found, if it is not far more than any file has.

    Raises:
        ValueError: it is.
    """
    first = list(islice(found, MOST_PARTS + 1))
    if len(first) > MOST_PARTS:
        raise ValueError(f"it stands for more than {MOST_PARTS} parts")
    return first


def refuse_bomb(value: Any) -> None:
    """Refuse nested plain values that are far more than any file has.

    Raises:
        ValueError: they are.
    """
    waiting, seen = [value], 0
    while waiting:
        each = waiting.pop()
        waiting += each.values() if isinstance(each, dict) else each if isinstance(each, list | tuple | set) else ()
        seen += 1
        if seen > MOST_VALUES:
            raise ValueError(f"it stands for more than {MOST_VALUES} values")
