"""Normals, bit for bit those of their formula written down plainly, also from several threads at once."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tts.normals import Array, Shape, direction, normal, uniform

SHAPES: list[Shape] = [(), (1,), (2,), (3, 5, 7), (3, 32, 32), (4, 63, 33), (3, 64, 64), (4, 128, 128)]
DICE = random.Random(0)
SEEDS = [0, 1, 2**32 - 1, 2**32, 2**62, 2**63 - 1, *(DICE.getrandbits(63) for _ in range(60))]


def plain_uniform(seed: int, size: int) -> NDArray[np.float64]:
    bits = np.random.Philox(key=seed, counter=0).random_raw(size)
    values: NDArray[np.float64] = ((bits >> np.uint64(11)) + 0.5).astype(np.float64) * 2.0**-53
    return values


def plain_normal(seed: int, shape: Shape) -> Array:
    size = math.prod(shape)
    pairs = -(-size // 2)
    values = plain_uniform(seed, 2 * pairs)
    radius, angle = np.sqrt(-2 * np.log(values[:pairs])), 2 * np.pi * values[pairs:]
    both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size]
    result: Array = both.astype(np.float32).reshape(shape)
    return result


def plain_direction(seed: int, shape: Shape) -> Array:
    vector = plain_normal(seed, shape)
    unit: Array = (vector / np.sqrt(np.mean(np.square(vector, dtype=np.float64)))).astype(np.float32)
    return unit


def same(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> bool:
    return (found.shape, found.dtype, found.tobytes()) == (wanted.shape, wanted.dtype, wanted.tobytes())


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Of torch: with one of them it computes sines, with more numpy does."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_bits_are_those_of_the_formula(shape: Shape) -> None:
    size = math.prod(shape)
    for seed in SEEDS:
        assert same(uniform(seed, size), plain_uniform(seed, size))
        assert same(normal(seed, shape), plain_normal(seed, shape))
        assert same(direction(seed, shape), plain_direction(seed, shape))


def test_threads_do_not_change_each_others_bits() -> None:
    """Each thread makes all of them in an order of its own, so that different sizes and seeds are made at once."""
    cases = [(seed, shape) for seed in SEEDS for shape in SHAPES[:6]]
    wanted = {case: plain_direction(*case) for case in cases}

    def wrong(thread: int) -> list[tuple[int, Shape]]:
        order = random.Random(thread).sample(cases, len(cases))
        return [case for case in order if not same(direction(*case), wanted[case])]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(wrong, range(4))) == [[]] * 4
