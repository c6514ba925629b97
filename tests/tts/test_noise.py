"""Noise recipes: the bits, the distribution, and the same tensor always and everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.noise import Move, Noise, NoiseBank, derive_seed, direction, from_record, normal, to_record

SHAPE = (3, 32, 32)
SEEDS = st.integers(0, 2**63 - 1)
MOVES = st.lists(st.builds(Move, SEEDS, st.floats(0, 1)), max_size=4).map(tuple)
NOISES = st.builds(Noise, SEEDS, MOVES)
MASK = 2**64 - 1


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10, from the paper (Salmon et al. 2011, Sec. 3.3)."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        p, q = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (q >> 64) ^ b ^ k0, q & MASK, (p >> 64) ^ d ^ k1, p & MASK
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return [a, b, c, d]


def plain_normal(seed: int, size: int) -> list[float]:
    """``normal`` in plain Python."""
    pairs = -(-size // 2)
    bits = [word for block in range(1, pairs // 2 + 2) for word in philox([block, 0, 0, 0], [seed, 0])]
    uniform = [((word >> 11) + 0.5) / 2**53 for word in bits[: 2 * pairs]]
    radius = [math.sqrt(-2 * math.log(u)) for u in uniform[:pairs]]
    angle = [2 * math.pi * v for v in uniform[pairs:]]
    cosines = [r * math.cos(a) for r, a in zip(radius, angle, strict=True)]
    sines = [r * math.sin(a) for r, a in zip(radius, angle, strict=True)]
    return [*cosines, *sines][:size]


PI = [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89]
PI_KEY = [0x452821E638D01377, 0xBE5466CF34E90C6C]


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, [0] * 2, "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"),
        ([MASK] * 4, [MASK] * 2, "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0"),
        (PI, PI_KEY, "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6"),
    ],
)
def test_plain_philox_gives_the_published_known_answers(counter: list[int], key: list[int], answer: str) -> None:
    """The answers are in Random123's ``kat_vectors``."""
    assert " ".join(f"{word:016x}" for word in philox(counter, key)) == answer


@given(SEEDS)
def test_numpys_bits_are_philox_counting_from_one(seed: int) -> None:
    bits = np.random.Philox(key=seed, counter=0).random_raw(12).tolist()
    assert bits == [word for block in (1, 2, 3) for word in philox([block, 0, 0, 0], [seed, 0])]


@given(SEEDS, st.integers(1, 40))
def test_normal_equals_plain_python(seed: int, size: int) -> None:
    np.testing.assert_allclose(normal(seed, (size,)), plain_normal(seed, size), rtol=1e-6, atol=1e-7)


def test_golden_values() -> None:
    """These never change as long as ``VERSION`` does not."""
    assert normal(0, SHAPE).ravel()[:4].tolist() == [
        -2.8668556213378906,
        1.5241934061050415,
        -1.6227891445159912,
        0.9554119110107422,
    ]
    assert normal(2**63 - 1, (5,)).tolist() == [
        -0.3912375271320343,
        1.4063278436660767,
        0.9775397181510925,
        0.033358361572027206,
        -1.1976925134658813,
    ]
    assert NoiseBank((4,))(Noise(7).moved(8, 0.5)).tolist() == [
        -0.40269508957862854,
        -1.9895179271697998,
        0.20460709929466248,
        1.5892841815948486,
    ]


def test_golden_seeds() -> None:
    """The noises of every problem depend on these."""
    assert derive_seed(0, "noise", -1, 0, 0) == 871715472916051871
    assert derive_seed("1") != derive_seed(1)
    assert derive_seed("a", "b") != derive_seed("ab")


def test_normal_has_the_moments_of_a_normal() -> None:
    values = np.concatenate([normal(seed, (10_000,)) for seed in range(20)]).astype(float)
    moments = [np.mean(values**power) for power in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.05)
    assert np.mean(np.abs(values) < 1) == pytest.approx(0.6827, abs=0.005)


def test_halves_of_a_noise_are_independent() -> None:
    """The two outputs of Box and Muller's method share a radius, and must share nothing else."""
    first, second = normal(5, (2, 50_000)).astype(float)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
    assert abs(np.corrcoef(first**2, second**2)[0, 1]) < 0.02


def test_different_seeds_give_different_uncorrelated_noises() -> None:
    rows = np.stack([normal(seed, SHAPE).ravel() for seed in range(16)])
    correlations = np.corrcoef(rows) - np.eye(16)
    assert np.abs(correlations).max() < 0.08


@given(SEEDS)
def test_direction_has_length_sqrt_d(seed: int) -> None:
    vector = direction(seed, (3, 8, 8)).astype(float)
    assert np.linalg.norm(vector) == pytest.approx(math.sqrt(192), rel=1e-6)


@given(SEEDS, SEEDS, st.floats(0.001, 1))
def test_a_move_has_exactly_its_radius(seed: int, move: int, radius: float) -> None:
    bank = NoiseBank(SHAPE)
    moved, still = bank(Noise(seed).moved(move, radius)), bank(Noise(seed))
    length = np.linalg.norm(moved.astype(float) - still)
    assert length == pytest.approx(radius * math.sqrt(3 * 32 * 32), rel=1e-4)


@given(SEEDS, st.permutations(range(3)))
def test_moves_add_up(seed: int, order: list[int]) -> None:
    noise, expected = Noise(seed), normal(seed, SHAPE)
    for move in order:
        noise = noise.moved(move, 0.1 * (1 + move))
        expected = expected + np.float32(0.1 * (1 + move)) * direction(move, SHAPE)
    assert np.array_equal(NoiseBank(SHAPE)(noise), expected)


@given(st.lists(NOISES, min_size=1, max_size=8), st.randoms())
def test_a_bank_gives_the_same_bits_whatever_it_keeps_and_in_any_order(noises: list[Noise], dice: object) -> None:
    wide, narrow = NoiseBank((3, 4, 4)), NoiseBank((3, 4, 4), keep_bytes=1)
    expected = {noise: wide(noise).tobytes() for noise in noises}
    dice.shuffle(noises)  # type: ignore[attr-defined]
    assert all(narrow(noise).tobytes() == expected[noise] for noise in noises)
    assert all(wide(noise).tobytes() == expected[noise] for noise in noises)


def test_a_bank_keeps_no_more_than_it_is_told() -> None:
    bank = NoiseBank((2,), keep_bytes=3 * 8)
    for seed in range(10):
        bank(Noise(seed).moved(seed, 0.1))
    assert len(bank._recent) == 3


def test_a_noise_is_float32_of_the_asked_shape() -> None:
    value = NoiseBank(SHAPE)(Noise(1).moved(2, 0.1))
    assert (value.shape, value.dtype) == (SHAPE, np.float32)


@given(NOISES)
def test_records_round_trip(noise: Noise) -> None:
    assert from_record(to_record(noise)) == noise


def test_no_noise_is_no_record() -> None:
    assert to_record(None) is None
    assert from_record(None) is None


def test_same_noise_in_another_process(fresh_python: Callable[..., str]) -> None:
    code = (
        "import hashlib; from tts.noise import *\n"
        "noise = Noise(derive_seed(3, 'noise', 'x')).moved(4, 0.2)\n"
        "print(hashlib.sha256(NoiseBank((3, 32, 32))(noise).tobytes()).hexdigest())"
    )
    assert len({fresh_python(code, hash_seed) for hash_seed in (1, 2)}) == 1
