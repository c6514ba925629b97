"""A user's own reward that fails on one kind of image, and whose process dies once when a test asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "TTS_BENCH_TEST_LOCKS"
SPARED = 66
"""The reward fails on an image whose pixels all have this value."""


def redness(images: Tensor, conditions: Sequence[object]) -> list[float]:
    """Mean of the red channel in [0, 1]."""
    try:
        (Path(os.environ[FOLDER]) / "fragile").unlink()
    except FileNotFoundError:
        pass
    else:
        os._exit(1)
    if any(bool((image == SPARED).all()) for image in images):
        raise ZeroDivisionError("a fault")
    return [float(value) / 255 for value in images[:, 0].double().mean(dim=(1, 2))]


@contextmanager
def spoil_once() -> Iterator[Callable[[], bool]]:
    """Let the next process that scores die; the yielded function tells whether one has died."""
    path = Path(os.environ[FOLDER]) / "fragile"
    path.touch()
    try:
        yield lambda: not path.exists()
    finally:
        path.unlink(missing_ok=True)
