"""Pickles of numbers and numpy arrays in dicts and lists, read without running or importing what they name.

Inert records of ours stand for the few names that arrays need, and every other name is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tts.errors import DataError
from tts.files.inert import NUMPY, Array, Buffer, Reader, RefusedError, Scalar, refuse_bomb


def read(path: Path, setting: str) -> Any:
    """What a pickle holds; arrays are read-only.

    Args:
        setting: what named the file, for the message.

    Raises:
        DataError: missing, damaged, or naming anything but arrays and their types.
    """
    try:
        with path.open("rb") as file:
            found = Reader(file, NUMPY).load()
        refuse_bomb(found)
        return _plain(found)
    except RefusedError as refused:
        raise DataError(
            f"{setting} {path}: refused, because it names {str(refused)!r}, which no array needs; nothing in it was "
            "executed"
        ) from None
    except FileNotFoundError:
        raise DataError(f"{setting} {path}: no such file") from None
    except Exception as error:  # a damaged or foreign file can make anything of an unpickler
        raise DataError(f"{setting} {path}: damaged, or no pickle of arrays ({error!r})") from None


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > 8:
        raise ValueError("nested too deep")
    if isinstance(value, Array | Buffer | Scalar):
        return value.array
    if isinstance(value, dict):
        return {str(name): _plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, depth + 1) for inner in value]
    return value
