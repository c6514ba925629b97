"""A cache of scored final images, in case another score or the image itself is asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from torch import Tensor

MOST_BYTES = 256 << 20
"""Most bytes of images that an engine keeps; other images are decoded again."""


class KeptImages:
    """Images ``[3, H, W]`` uint8 in host memory, by the keys of their states; the oldest are dropped first.

    Args:
        most: most bytes that are kept.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self._bytes, self._lock = most, 0, threading.Lock()
        self._images: dict[int, Tensor] = {}

    def get(self, key: int | None) -> Tensor | None:
        """A state's image, if it is kept."""
        with self._lock:
            return None if key is None else self._images.get(key)

    def keep(self, key: int, image: Tensor) -> None:
        """Keep a copy of the image, which may be part of a batch."""
        with self._lock:
            self._drop(key)
            self._images[key] = image.clone()
            self._bytes += image.nbytes
            while self._bytes > self._most:
                self._drop(next(iter(self._images)))

    def forget(self, keys: Iterable[int]) -> None:
        """Drop the images of states that nobody refers to any more."""
        with self._lock:
            for key in keys:
                self._drop(key)

    def _drop(self, key: int) -> None:
        image = self._images.pop(key, None)
        if image is not None:
            self._bytes -= image.nbytes
