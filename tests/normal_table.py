"""The table of ``tts/device_noise/normal_table.npy``: ``python tests/normal_table.py`` writes it.

Everything is computed in decimal arithmetic. Its operations, including the exponential, are correctly rounded, so the
table has the same bits wherever it is made.
"""

from __future__ import annotations

from decimal import Decimal, getcontext
from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tts.device_noise.quantile import OCTAVES, PARTS, TABLE, UNITS

DIGITS = 50
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def density(z: Decimal) -> Decimal:
    """Density of the standard normal."""
    return (-z * z / 2).exp() / (2 * PI).sqrt()


def upper(z: Decimal) -> Decimal:
    """Probability of a standard normal above z >= 0: one half minus a series of positive terms (Marsaglia 2004)."""
    term = total = z
    k = 1
    while term > total.scaleb(-DIGITS):
        k += 2
        term = term * z * z / k
        total += term
    return Decimal(1) / 2 - density(z) * total


@cache
def quantile(p: Decimal) -> Decimal:
    """The z that a standard normal exceeds with probability p in (0, 1/2], by Newton's method."""
    z = Decimal(-NormalDist().inv_cdf(float(p)))
    for _ in range(3):
        z += (upper(z) - p) / density(z)
    return z


def row(part: int) -> list[float]:
    """Coefficients of a part's Hermite cubic, in units of :data:`UNITS` of the part's length."""
    octave, place = divmod(part, PARTS)
    length = Decimal(2) ** (octave - 1) / PARTS
    begin = Decimal(2) ** (octave - 1) + place * length
    (z, slope), (end, end_slope) = (point(begin, length), point(begin + length, length))
    rise = end - z
    cubic = [z, slope, 3 * rise - 2 * slope - end_slope, slope + end_slope - 2 * rise]
    return [float(each) / UNITS**power for power, each in enumerate(cubic)]


def point(x: Decimal, length: Decimal) -> tuple[Decimal, Decimal]:
    """The quantile at x, and its slope times the length of a part."""
    z = quantile(x / 2**OCTAVES)
    return z, -length / (2**OCTAVES * density(z))


def table(parts: range = range(OCTAVES * PARTS)) -> NDArray[np.float64]:
    """Rows of the table, ``[parts, 4]``."""
    getcontext().prec = DIGITS
    return np.array([row(part) for part in parts])


if __name__ == "__main__":
    np.save(Path(TABLE), table().astype("<f8"))
