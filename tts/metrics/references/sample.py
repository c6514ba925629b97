"""Which of many real images are looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def drawn(count: int, most: int | None) -> NDArray[np.int64]:
    """Numbers of at most ``most`` of ``count`` images, growing, the same ones every time; None: of all.

    They are drawn, as every k-th image of a set in which classes take turns may be of one class.
    """
    if most is None or most >= count:
        return np.arange(count)
    return np.sort(np.random.RandomState(0).permutation(count)[:most])  # its numbers are frozen (NumPy NEP 19)
