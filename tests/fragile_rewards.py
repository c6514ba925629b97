"""A user's own rewards: one cannot be loaded, one fails on some images, and dies or hangs once if a test asks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tts.rewards.base import Caption, Reward, RewardSettings

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "TTS_BENCH_TEST_LOCKS"
SPARED = 66
"""The reward fails on an image whose pixels all have this value."""


def redness(images: Tensor, conditions: Sequence[object]) -> list[float]:
    """Mean of the red channel in [0, 1]."""
    try:
        how = (Path(os.environ[FOLDER]) / "fragile").read_text()
        (Path(os.environ[FOLDER]) / "fragile").unlink()
    except FileNotFoundError:
        pass
    else:
        if how == "hangs":
            threading.Event().wait()
        os._exit(1)
    if any(bool((image == SPARED).all()) for image in images):
        raise ZeroDivisionError("a fault")
    return [float(value) / 255 for value in images[:, 0].double().mean(dim=(1, 2))]


class Unloadable(RewardSettings):
    """A reward with a mistake in what loads it."""

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """Look for what is not there."""
        raise KeyError("no such key")


@contextmanager
def spoil_once(how: str = "dies") -> Iterator[Callable[[], bool]]:
    """Let the next process that scores die or hang; the yielded function tells whether one has."""
    path = Path(os.environ[FOLDER]) / "fragile"
    path.write_text(how)
    try:
        yield lambda: not path.exists()
    finally:
        path.unlink(missing_ok=True)
