"""Recipes made on the device: each move's rule, bits that do not depend on what is kept, and a fixed number of
operations for any number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from operations import Counting
from torch import Tensor

import tts.moves
import tts.noise
from tts.device_noise import bank as banks
from tts.device_noise import normals as made
from tts.device_noise.bank import DeviceBank
from tts.engine.batching import Engine
from tts.engine.device_noises import DeviceNoises
from tts.engine.requests import EngineCounters, EvalRequest
from tts.engine.timeline import Timeline
from tts.errors import EngineError
from tts.noise import AnyMove, Array, Band, Box, Mixture, Move, Noise, NoiseBank, Turn
from tts.samplers.heun import StochasticHeun
from tts.search.segment import Segment
from tts.testing.toy_model import ToyModel

SHAPE = (3, 8, 8)
SIZE = 192

MOVES: dict[str, AnyMove] = {
    "move": Move(2, 0.15),
    "turn": Turn(3, 0.3),
    "mixture": Mixture((4, 5, 6), (0.2, -0.3, 0.7), 0.1),
    "weightless mixture": Mixture((4,), (0.0,)),
    "box": Box(7, 0.8, 0.4),
    "band": Band(2, tuple(0.1 * k for k in range(12))),
}
SEEDS = st.integers(0, 2**63 - 1)
KINDS = st.one_of(
    st.builds(Move, SEEDS, st.floats(0, 1)),
    st.builds(Turn, SEEDS, st.floats(0, 1)),
    st.builds(Mixture, st.tuples(SEEDS, SEEDS), st.tuples(st.floats(-1, 1), st.floats(-1, 1)), st.just(0.5)),
    st.builds(Box, SEEDS, st.floats(0, 1), st.floats(0.1, 1)),
    st.builds(Band, st.just(3), st.tuples(*[st.floats(-2, 2)] * 3)),
)
NOISES = st.builds(Noise, st.integers(0, 3), st.lists(KINDS, max_size=3).map(tuple))


def plain(seed: int, shape: tuple[int, ...]) -> Array:
    return made.normal(torch.tensor([seed]), int(np.prod(shape)))[0].numpy().reshape(shape)


@pytest.fixture
def host_with_the_devices_values(monkeypatch: pytest.MonkeyPatch) -> NoiseBank:
    """A bank with the host's rules of moves and the device's values of seeds."""

    def uniform(seed: int, size: int) -> Any:
        return made.uniform(torch.tensor([seed]), size)[0].numpy()

    monkeypatch.setattr(tts.noise, "normal", plain)
    monkeypatch.setattr(tts.moves, "normal", plain)
    monkeypatch.setattr(tts.moves, "direction", lambda seed, shape: tts.moves.to_length(plain(seed, shape)))
    monkeypatch.setattr(tts.moves, "uniform", uniform)
    return NoiseBank(SHAPE)


@pytest.mark.parametrize("name", MOVES)
def test_a_move_is_the_hosts_but_for_roundings(name: str, host_with_the_devices_values: NoiseBank) -> None:
    noise = Noise(1).with_move(MOVES[name])
    found = DeviceBank(SHAPE, "cpu").tensor([Noise(1), noise]).numpy()
    assert np.array_equal(found[0], plain(1, SHAPE))
    np.testing.assert_allclose(found[1], host_with_the_devices_values(noise), rtol=2e-6, atol=2e-6)
    assert (name == "weightless mixture") == np.array_equal(found[0], found[1])


def test_moves_of_all_kinds_in_one_recipe_are_made_in_turn(host_with_the_devices_values: NoiseBank) -> None:
    noise = Noise(9, tuple(MOVES.values()))
    found = DeviceBank(SHAPE, "cpu").tensor([noise])[0].numpy()
    np.testing.assert_allclose(found, host_with_the_devices_values(noise), rtol=5e-6, atol=5e-6)


@given(st.lists(NOISES, min_size=1, max_size=8), st.randoms())
def test_bits_depend_neither_on_what_is_kept_nor_on_who_is_beside(noises: list[Noise], dice: Any) -> None:
    wide, narrow = DeviceBank(SHAPE, "cpu"), DeviceBank(SHAPE, "cpu", keep_bytes=1)
    expected = dict(zip(noises, wide.tensor(noises), strict=True))
    dice.shuffle(noises)
    for bank in (narrow, wide):
        assert all(torch.equal(row, expected[each]) for each, row in zip(noises, bank.tensor(noises), strict=True))
    assert all(torch.equal(DeviceBank(SHAPE, "cpu").tensor([each])[0], expected[each]) for each in noises)


def test_a_bank_keeps_no_more_bytes_than_it_may() -> None:
    bank = DeviceBank(SHAPE, "cpu", keep_bytes=10 * 4 * SIZE)
    found = bank.tensor([Noise(k).moved(k, 0.1) for k in range(40)])
    assert (bank._kept.shape[0], len(bank._slots), bank.made) == (10, 10, 40)
    assert torch.equal(found[39], DeviceBank(SHAPE, "cpu").tensor([Noise(39).moved(39, 0.1)])[0])


def test_a_moved_pivot_costs_one_move(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = list[int]()

    def moved(before: Tensor, moves: Sequence[AnyMove]) -> Tensor:
        turns.append(len(moves))
        return banks_moved(before, moves)

    banks_moved = banks.moved
    monkeypatch.setattr(banks, "moved", moved)
    bank, pivot = DeviceBank(SHAPE, "cpu"), Noise(1).moved(2, 0.1).moved(3, 0.1)
    bank.tensor([pivot])
    assert turns == [1, 1]
    bank.tensor([pivot.moved(k, 0.1) for k in range(5)])
    assert turns == [1, 1, 5]


def counted(noises: Sequence[Noise], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(made, "CACHED", made.HELD)  # as on a GPU
    bank = DeviceBank(SHAPE, "cpu")
    bank.tensor([Noise(2**40)])  # make the table and the first slots
    with Counting() as counting:
        bank.tensor(noises)
    return counting.counts.total()


def test_operations_do_not_grow_with_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (counted([Noise(k) for k in range(rows)], monkeypatch) for rows in (2, 60))
    assert few == many <= 160
    few, many = (counted([Noise(k).moved(k, 0.1) for k in range(rows)], monkeypatch) for rows in (2, 30))
    assert few == many <= 360


def noises_beside(shape: tuple[int, ...] = SHAPE, together: int = 0) -> DeviceNoises:
    found = DeviceNoises(DeviceBank(shape, "cpu"), Timeline(EngineCounters()))
    found.together = together
    return found


def test_a_gpu_makes_what_comes_next_along_with_what_is_needed() -> None:
    found = noises_beside(together=8)
    found.later([Noise(k) for k in range(20, 40)])
    found.soon([Noise(k) for k in range(6)])
    first = found.tensor([Noise(0), Noise(1)])
    assert torch.equal(first, DeviceBank(SHAPE, "cpu").tensor([Noise(0), Noise(1)]))
    assert (found.runs, set(found.bank._slots)) == (1, {Noise(k) for k in (0, 1, 2, 3, 4, 5, 20, 21)})
    found.tensor([Noise(2), Noise(20)])
    assert found.runs == 1
    found.tensor([Noise(22)])
    assert found.runs == 2
    assert Noise(29) in found.bank
    assert Noise(30) not in found.bank


def test_a_cpu_makes_nothing_ahead() -> None:
    found = DeviceNoises(DeviceBank(SHAPE, "cpu"), Timeline(EngineCounters()))
    found.soon([Noise(1)])
    found.later([Noise(2)])
    found.tensor([Noise(3)])
    assert set(found.bank._slots) == {Noise(3)}
    found.close()


def test_a_move_of_another_shape_is_told() -> None:
    with pytest.raises(EngineError, match="set the search's shape to"):
        noises_beside().tensor([Noise(1).with_move(Band(2, (0.5,)))])
    with pytest.raises(EngineError, match="have no band of level 4"):
        noises_beside().tensor([Noise(1).with_move(Band(4, (0.5,)))])


def ends(noise: Any, batch: int, count: int = 9) -> dict[int, bytes]:
    sampler = StochasticHeun(steps=6)
    engine = Engine(ToyModel(sampler, (3, 4, 4)), {}, batch, noise=noise)
    engine.submit(
        EvalRequest(k, Segment(Noise(k), tuple(Noise(10 * k + at) for at in range(6)), k % 3)) for k in range(count)
    )
    while engine.busy:
        engine.advance()
    engine.close()
    return {key: at.x.numpy().tobytes() for key, at in engine.states.items()}


def test_rows_have_the_devices_noises_at_any_batch() -> None:
    """Each seed gives its own image, which differs from that of the host's noises."""
    found = ends("device", 3)
    assert found == ends("device", 8)
    assert len(set(found.values())) == 9
    assert set(found.values()).isdisjoint(ends("host", 3).values())
