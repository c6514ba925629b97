"""Digests of files, each computed once, and of images."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.errors import WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sha256(path: Path, setting: str) -> str:
    """SHA-256 of a file, in hex.

    Args:
        path: the file.
        setting: the setting that names the file, for the message.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        stat = path.stat()
        return _sha256(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise WeightsError(f"{setting} {path}: {error.strerror}") from None


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, modified: int) -> str:
    """Digest of a file; its size and time of change are part of the key under which the digest is cached."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pixels_sha256(pixels: NDArray[Any]) -> str:
    """SHA-256 of an image's RGB bytes row by row, in hex; it does not depend on the file format.

    Args:
        pixels: ``[H, W, 3]`` uint8.
    """
    return hashlib.sha256(pixels.tobytes()).hexdigest()
