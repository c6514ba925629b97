r"""Normal numbers named by seeds, the same in any batch, process and year.

The bits come from Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), keyed by the seed,
its blocks counted from 1; two uniforms ``u, v`` give two normals by Box and Muller,

.. math:: \sqrt{-2\ln u}\,\cos 2\pi v, \qquad \sqrt{-2\ln u}\,\sin 2\pi v,

computed in float64 and rounded to float32. Rounding hides the last-bit differences between libraries in all but one in
a billion numbers or fewer; cosines and sines come from torch where it has one thread, and from numpy where it has more.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, TypeAlias

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, ...]

AT_ONCE = 8192
"""Pairs that are computed at once: more of them would not stay in a core's cache."""


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) from integers and words, the same in every process (BLAKE2b of their text)."""
    text = "\x1f".join([f"{type(part).__name__}:{part}" for part in parts])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


class _Key(ISeedSequence):
    """Makes a seed the key of a Philox; for ``Philox(key=seed)`` numpy also draws entropy, which it does not use."""

    def __init__(self, seed: int) -> None:
        self.words = seed, 0

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> NDArray[Any]:
        """The key's two words."""
        return np.array(self.words, dtype)


def uniform(seed: int, size: int) -> NDArray[np.float64]:
    """Independent uniforms in (0, 1), ``[size]``, never 0 or 1: 53 bits each."""
    bits = np.random.Philox(_Key(seed)).random_raw(size)  # type: ignore[arg-type]  # stubs name one kind of sequence
    bits >>= np.uint64(11)
    values: NDArray[np.float64] = bits.astype(np.float64)
    values += 0.5
    values *= 2.0**-53
    return values


def normal(seed: int, shape: Shape) -> Array:
    """Independent standard normals of a shape, float32."""
    size = math.prod(shape)
    pairs = -(-size // 2)
    values = uniform(seed, 2 * pairs).reshape(2, pairs)
    both = np.empty((2, pairs), np.float32)
    for start in range(0, pairs, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        radius, angle = values[:, part]  # computed in place
        np.log(radius, out=radius)
        radius *= -2
        np.sqrt(radius, out=radius)
        angle *= 2 * np.pi
        for place, value in enumerate(_circle(angle)):
            np.multiply(radius, value, out=both[place, part], casting="same_kind")
    return both.reshape(-1)[:size].reshape(shape)


def _circle(angle: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines and sines; torch takes a quarter of numpy's time, but has all its threads spin, however few there are."""
    import torch  # a study is checked and planned without it

    if torch.get_num_threads() > 1:
        return np.cos(angle), np.sin(angle)
    turned, found = torch.from_numpy(angle), np.empty((2, len(angle)))
    torch.cos(turned, out=torch.from_numpy(found[0]))  # what torch allocates takes three operations to numpy
    torch.sin(turned, out=torch.from_numpy(found[1]))
    return found[0], found[1]


def to_length(vector: NDArray[np.floating]) -> Array:
    """A vector scaled to length sqrt(dimension), float32: that of a normal noise, nearly."""
    squares = np.square(vector, dtype=np.float64)
    length = np.sqrt(np.add.reduce(squares, axis=None) / squares.size)
    unit: Array = (vector / length).astype(np.float32)
    return unit


def direction(seed: int, shape: Shape) -> Array:
    """A random direction scaled to length sqrt(dimension), float32; uniform on the sphere."""
    return to_length(normal(seed, shape))
