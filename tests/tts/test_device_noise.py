"""Noises made on the device: bits, distribution, and that no operation could give other bits elsewhere."""

from __future__ import annotations

import hashlib
import math
import struct
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from normal_table import table as decimal_table
from numpy.typing import NDArray
from scipy import stats
from scipy.special import log_ndtr
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bench.run.doctor.noises import KINDS, SHAPE
from tts.device_noise import normals as made
from tts.device_noise.bank import DeviceBank
from tts.device_noise.philox import MULTIPLIERS, STEPS, WORD, blocks, words
from tts.device_noise.quantile import FIRST, HALF, PLACE_BITS, UNITS, normals, table

WORDS = st.integers(0, WORD)
SEEDS = st.integers(0, 2**63 - 1)


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10, from the paper (Salmon et al. 2011, Sec. 3.3)."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        p, q = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        a, b, c, d = (q >> 32) ^ b ^ k0, q & WORD, (p >> 32) ^ d ^ k1, p & WORD
        k0, k1 = (k0 + STEPS[0]) & WORD, (k1 + STEPS[1]) & WORD
    return [a, b, c, d]


def plain_normal(word: int) -> float:
    """A value in plain Python, whose floats are those of IEEE 754."""
    out = (word & (HALF - 1)) + 0.5
    (bits,) = struct.unpack("<q", struct.pack("<d", out))
    part, place = (bits >> PLACE_BITS) - FIRST, float(bits & (UNITS - 1))
    z = 0.0
    for power in table("cpu")[:, part].tolist():
        z = z * place + power
    return float(np.float32(z if word >= HALF else -z))


def seeds(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


PI, PI_KEY = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([WORD] * 4, [WORD] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (PI, PI_KEY, "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_published_known_answers(counter: list[int], key: list[int], answer: str) -> None:
    """The answers are in Random123's ``kat_vectors``."""
    assert " ".join(f"{word:08x}" for word in philox(counter, key)) == answer
    found = blocks(torch.tensor(counter)[:, None, None], torch.tensor(key)[:, None, None])
    assert " ".join(f"{word:08x}" for word in found.flatten().tolist()) == answer


@given(st.lists(SEEDS, min_size=1, max_size=4), st.integers(1, 20), st.integers(0, 1))
def test_words_are_philox_counting_blocks(some: list[int], size: int, stream: int) -> None:
    found = words(seeds(*some), size, stream).tolist()
    for seed, row in zip(some, found, strict=True):
        plain = [philox([n, 0, stream, 0], [seed & WORD, seed >> 32]) for n in range(-(-size // 4))]
        assert row == [word for block in plain for word in block][:size]


def test_the_table_is_that_of_decimal_arithmetic() -> None:
    parts = [0, 1, 63, 64, 700, 1000, 1500, 1984, 2040, 2047]
    found = table("cpu").T.flip(1)
    assert found.shape == (2048, 4)
    for part in parts:
        assert found[part].tolist() == decimal_table(range(part, part + 1))[0].tolist()


@given(st.lists(WORDS, min_size=1, max_size=50))
def test_values_are_those_of_plain_python(some: list[int]) -> None:
    assert normals(torch.tensor(some)).tolist() == [plain_normal(word) for word in some]


def test_values_are_the_normals_quantiles_also_in_the_tails() -> None:
    """Half of the words are on each side, and the last word gives the most extreme value."""
    outermost, middle = [0, 1, 2, 3, 100, 10**4, 10**6], [10**8, 10**9, HALF - 2, HALF - 1]
    found = normals(torch.tensor([*outermost, *middle]))
    expected = [NormalDist().inv_cdf((m + 0.5) / 2**32) for m in [*outermost, *middle]]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7, atol=1e-9)
    assert torch.equal(normals(torch.tensor([*outermost, *middle]) + HALF), -found)
    assert found[0].item() == pytest.approx(-6.3379, abs=1e-4)


@pytest.mark.parametrize("beyond", [1.0, 3.0, 5.0, 6.0])
def test_the_share_beyond_each_deviation_is_the_normals(beyond: float) -> None:
    """The share is exact: values fall with the word, so words can be counted by bisection."""
    low, high = 0, HALF
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if plain_normal(middle) < -beyond else (low, middle)
    assert low / 2**32 == pytest.approx(NormalDist().cdf(-beyond), abs=2**-32, rel=1e-5)


def test_values_fall_as_words_grow() -> None:
    near = torch.cat(
        [torch.arange(-200, 200) + (1 << k) + (1 << k) * j // 64 for k in range(16, 31) for j in (0, 1, 63)]
    )
    found = normals(near.sort().values)
    assert bool((found.diff() >= 0).all())


GOLDEN: list[list[float]] = [
    [-0.2558159828186035, 0.30411484837532043, 0.720161497592926, 1.2509199380874634],
    [1.3721141815185547, 2.187373399734497, -1.0613172054290771, -0.21092091500759125],
    [[0.3874756220029667, 0.3276338780997321, 0.504977967008017]],
    [[0.11717569828033447, 0.6924530863761902, -1.2375682592391968, -1.4054192304611206]],
]
"""First and last of the million, three uniforms and a direction."""


def test_golden_values() -> None:
    """These never change as long as ``DEVICE_VERSION`` does not, on any device."""
    found = made.million("cpu")
    assert found.shape == (10**6,)
    assert hashlib.sha256(found.numpy().astype("<f4").tobytes()).hexdigest() == made.MILLION_SHA256
    assert found[:4].tolist() == GOLDEN[0]
    assert found[-4:].tolist() == GOLDEN[1]
    assert made.uniform(seeds(5), 3).tolist() == GOLDEN[2]
    assert made.direction(seeds(7), 4).tolist() == GOLDEN[3]


def anderson_darling(values: NDArray[np.float64]) -> float:
    """The statistic against the standard normal, without fitted parameters."""
    values, places = np.sort(values), np.arange(1, 2 * len(values), 2)
    return float(-len(values) - np.mean(places * (log_ndtr(values) + log_ndtr(-values[::-1]))))


def test_a_million_values_are_normal() -> None:
    values = made.million("cpu").double().numpy()
    moments = [np.mean(values**power) for power in range(1, 7)]
    errors = [math.sqrt(spread / 10**6) for spread in (1, 2, 15, 96, 945, 10170)]
    assert all(abs(m - e) < 4 * s for m, e, s in zip(moments, (0, 1, 0, 3, 0, 15), errors, strict=True))
    assert stats.kstest(values, "norm").pvalue > 0.01
    assert anderson_darling(values) < 3.86  # the critical value at 1 %
    beyond = np.sum(np.abs(values) > 4)
    assert abs(beyond - 63.3) < 4 * math.sqrt(63.3)


def test_seeds_that_differ_by_a_bit_have_nothing_in_common() -> None:
    rows = made.normal(seeds(0, *(1 << k for k in range(63))), 4096).double().numpy()
    off = np.abs(np.corrcoef(rows) - np.eye(64)).max()
    assert off < 5.5 / math.sqrt(4096)
    assert abs(np.corrcoef(rows.ravel() ** 2, np.roll(rows.ravel(), 4096) ** 2)[0, 1]) < 4 / 512


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 64, 4096])
def test_values_at_a_distance_are_independent(lag: int) -> None:
    values = made.normal(seeds(3), 1 << 18).double().numpy()[0]
    for power in (1, 2):
        assert abs(np.corrcoef(values[:-lag] ** power, values[lag:] ** power)[0, 1]) < 4 / math.sqrt(len(values))


def test_each_bit_of_each_word_is_a_fair_coin() -> None:
    found = words(torch.arange(64), 1 << 12, 0)
    ones = torch.stack([((found >> bit) & 1).double().mean() for bit in range(32)])
    assert float((ones - 0.5).abs().max()) < 4.5 * 0.5 / math.sqrt(found.numel())


def test_the_streams_of_a_seed_are_apart() -> None:
    assert not bool((words(seeds(9), 64, 0) == words(seeds(9), 64, 1)).any())
    values = made.uniform(torch.arange(50), 5000)
    assert float(values.min()) > 0
    assert float(values.max()) < 1
    assert stats.kstest(values.numpy().ravel(), "uniform").pvalue > 0.01


@given(st.lists(SEEDS, min_size=1, max_size=5), st.integers(1, 3000))
def test_a_seeds_values_depend_on_nothing_beside_it(some: list[int], size: int) -> None:
    together = made.normal(seeds(*some), size)
    for seed, row in zip(some, together, strict=True):
        assert torch.equal(row, made.normal(seeds(seed), size + 5)[0, :size])


def test_values_made_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = made.normal(torch.arange(7), 100)
    monkeypatch.setattr(made, "CACHED", 250)
    assert torch.equal(made.normal(torch.arange(7), 100), expected)


@given(st.integers(1, 300))
def test_a_total_is_a_sum(size: int) -> None:
    values = torch.arange(2 * size, dtype=torch.float64).view(2, size)
    assert torch.equal(made.total(values), values.sum(1))


def test_a_direction_has_length_sqrt_d() -> None:
    for size in (1, 3, 192, 12288):
        lengths = made.direction(torch.arange(4), size).double().norm(dim=1)
        np.testing.assert_allclose(lengths.numpy(), math.sqrt(size), rtol=1e-6)


class Asked(TorchDispatchMode):
    """Notes torch's operations, and arguments with which an operation would round twice or differently."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.faults: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = str(function).removeprefix("aten.").partition(".")[0].rstrip("_"), kwargs or {}
        self.names.append(name)
        if kwargs.get("alpha", 1) != 1 or (len(args) > 2 and name in ("add", "sub")):
            self.faults.append(f"{name} with a factor is joined with its multiplication")
        if name == "div" and not (isinstance(args[1], Tensor) and args[1].dim()):
            self.faults.append("a division by a number is a multiplication on a GPU")
        return function(*args, **kwargs)


EXACT = {"mul", "add", "sub", "div", "sqrt", "copysign"}
"""Operations that round once, as IEEE 754 says."""

WHOLE = {
    "bitwise_and",
    "bitwise_xor",
    "bitwise_or",
    "__and",
    "__xor",
    "__rshift",
    "__lshift",
    "arange",
    "ne",
    "lt",
    "any",
}
"""Operations on integers or truth values."""

MOVED = {
    *("_to_copy", "alias", "cat", "clone", "copy", "detach", "empty", "expand", "flip", "index_copy", "index_select"),
    *("lift_fresh", "new_zeros", "select", "slice", "split", "stack", "unbind", "unsqueeze", "view", "where"),
    *("_unsafe_view", "permute", "zeros_like"),
}
"""Operations that move values, or convert them to a type that holds them exactly."""


def test_no_operation_could_round_otherwise_on_another_device() -> None:
    """Each operation for values and moves rounds once, as IEEE 754 says, or not at all."""
    with Asked() as asked:
        DeviceBank(SHAPE, "cpu").tensor(KINDS)
        made.normal(seeds(1, 2), 100)
    assert set(asked.names) - EXACT - WHOLE - MOVED == set()
    assert asked.faults == []
