r"""Normals from 32 random bits: the normal quantile, by cubic polynomials on parts of the unit interval.

The lower 31 bits m of a word give the tail probability :math:`p = (m + 1/2)/2^{32}`, and its top bit gives the sign.
Parts are chosen as in hardware generators (Cheung et al. 2007, "Hardware generation of arbitrary random number
distributions"): octaves of m + 1/2, each divided evenly, so that the number of a part and the place in it are bits of a
float64. Each polynomial is Hermite's: value and slope are exact at both ends. Values reach 6.3 deviations on both
sides.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tts.errors import DataError

OCTAVES = 32
PARTS = 64
"""Parts of an octave."""

MANTISSA = 52
PLACE_BITS = MANTISSA - PARTS.bit_length() + 1
UNITS = 2**PLACE_BITS
"""Number of places in a part."""

FIRST = 1022 * PARTS
"""The number of the first part, which begins at 1/2, in the bits of a float64."""

HALF = 1 << 31

TABLE = Path(__file__).with_name("normal_table.npy")
SHA256 = "dbfda41d9eb737a7bbbc5b456d557f6ccffddba3dfc11345b24923009cd6f6ad"


@cache
def table(device: torch.device | str) -> Tensor:
    """Coefficients of the polynomials, ``[4, parts]`` float64, by falling power.

    Raises:
        DataError: the file is not the table.
    """
    rows = np.load(TABLE, allow_pickle=False).astype("<f8")
    if hashlib.sha256(rows.tobytes()).hexdigest() != SHA256:
        raise DataError(f"{TABLE}: is damaged; install this package again")
    return torch.from_numpy(np.ascontiguousarray(rows.T[::-1])).to(device)


def normals(words: Tensor) -> Tensor:
    """Standard normals, float32, of words: int64 in [0, 2**32)."""
    out = (words & (HALF - 1)).double() + 0.5
    bits = out.view(torch.int64)
    part, place = ((bits >> PLACE_BITS) - FIRST).flatten(), (bits & (UNITS - 1)).double()
    z, *others = (power.index_select(0, part).view(words.shape) for power in table(words.device).unbind())
    for power in others:
        z = z * place
        z = z + power
    return torch.copysign(z, words - HALF).float()
