"""Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") for many keys at once, in torch.

A block of four words is a pure function of a 64-bit key and a 128-bit counter. Words are int64 in [0, 2**32). Their
64-bit products are in two's complement, where the highest bit is the sign.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

WORD = 0xFFFFFFFF
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
STEPS = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10


@cache
def constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """Multipliers ``[2, 1, 1]``, and the numbers that are added to a key before each round, ``[ROUNDS, 2, 1, 1]``.

    They are copied to a device once, as a copy from the host waits for all work that is queued on the device.
    """
    added = [[turn * step for step in STEPS] for turn in range(ROUNDS)]
    factors, steps = torch.tensor(MULTIPLIERS), torch.tensor(added)
    return factors.view(2, 1, 1).to(device), steps.view(ROUNDS, 2, 1, 1).to(device)


def blocks(counters: Tensor, keys: Tensor) -> Tensor:
    """Blocks of words, ``[K, B, 4]``.

    Args:
        counters: four words, ``[4, K or 1, B or 1]``.
        keys: two words, ``[2, K, 1]``.
    """
    factors, steps = constants(keys.device)
    even, odd = counters[0::2], counters[1::2]
    for key in ((keys + steps) & WORD).unbind():
        product = (even * factors).flip(0)
        even, odd = ((product >> 32) & WORD) ^ odd ^ key, product & WORD
    return torch.stack([even[0], odd[0], even[1], odd[1]], -1)


def words(seeds: Tensor, size: int, stream: int) -> Tensor:
    """Words by seed, ``[K, size]``: block n of a seed has the counter ``(n, 0, stream, 0)``.

    Args:
        seeds: in [0, 2**63), ``[K]`` int64; the key.
        stream: number that separates words for different purposes.
    """
    count = torch.arange(-(-size // 4), device=seeds.device)
    none = torch.zeros_like(count)
    counters = torch.stack([count, none, none + stream, none])[:, None]
    return blocks(counters, torch.stack([seeds & WORD, seeds >> 32])[..., None]).flatten(1)[:, :size]
