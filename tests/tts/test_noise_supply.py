"""Noises made ahead: the same tensors, each made once, bounded, and none left for the engine's own thread."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tts.engine.batching import Engine
from tts.engine.noise_supply import NoiseSupply, threads_for
from tts.engine.requests import EngineCounters, EvalRequest
from tts.engine.timeline import Timeline
from tts.errors import EngineError
from tts.noise import Array, Band, Noise, NoiseBank
from tts.recipe import Back
from tts.samplers.ddim import DDIM
from tts.samplers.heun import StochasticHeun
from tts.search.segment import Segment
from tts.testing.toy_model import ToyModel

SHAPE = (3, 4, 4)
ALPHAS = tuple(0.02 + 0.96 * k / 9 for k in range(10))
SAMPLERS: dict[str, Any] = {
    "heun": StochasticHeun(steps=10),
    "ddim": DDIM(tuple(range(900, -1, -100)), ALPHAS, (*ALPHAS[1:], 1.0), 1.0, 0.9),
}
MOVED = Noise(1).moved(2, 0.1).moved(3, 0.2)


class Noting(NoiseBank):
    """A bank that notes which thread made which noise."""

    def __init__(self, shape: tuple[int, ...] = SHAPE, keep_bytes: int = 1 << 20) -> None:
        super().__init__(shape, keep_bytes)
        self.makers: dict[Noise, list[str]] = {}

    def _make(self, noise: Noise) -> Array:
        self.makers.setdefault(noise, []).append(threading.current_thread().name)
        return super()._make(noise)

    @property
    def here(self) -> list[Noise]:
        """Noises made by the test's own thread."""
        own = threading.current_thread().name
        return [noise for noise, names in self.makers.items() if own in names]


def supply(bank: NoiseBank | None = None, threads: int = 2) -> NoiseSupply:
    return NoiseSupply(bank or Noting(), "cpu", threads, Timeline(EngineCounters()))


def expected(noises: Sequence[Noise]) -> torch.Tensor:
    return torch.from_numpy(np.stack([NoiseBank(SHAPE)(noise) for noise in noises]))


def trajectories(count: int, steps: int) -> list[Segment]:
    """Trajectories in which some steps have no noise and some go back."""
    coins, found = random.Random(0), []
    for k in range(count):
        actions: list[Any] = [Noise(1000 * k + at) if coins.random() < 0.7 else None for at in range(steps)]
        if k % 3 == 0:
            actions[4:4] = [Back(Noise(k + 7), 2), Noise(k + 8), Noise(k + 9)]
        found.append(Segment(Noise(k).moved(k, 0.1), tuple(actions), k % 3))
    return found


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_tensors_are_those_of_a_bank(threads: int) -> None:
    noises = [Noise(4), MOVED, Noise(5), MOVED, Noise(1)]
    found = supply(threads=threads)
    found.soon(noises)
    found.later([Noise(9)])
    assert torch.equal(found.tensor(noises), expected(noises))
    assert torch.equal(found.tensor([Noise(9)]), expected([Noise(9)]))
    found.close()
    assert torch.equal(found.tensor([Noise(11)]), expected([Noise(11)]))


def test_what_was_told_of_is_made_beside_and_once() -> None:
    bank = Noting()
    found = supply(bank)
    found.later([Noise(k) for k in range(20)])
    found.settle()  # the noise that is moved is there
    found.soon([*(Noise(k) for k in range(30)), MOVED])
    found.settle()
    found.tensor([*(Noise(k) for k in range(30)), MOVED])
    found.soon([MOVED])
    found.close()
    assert bank.here == []
    assert found.late == 0
    assert {noise: len(names) for noise, names in bank.makers.items()} == dict.fromkeys(
        [*(Noise(k) for k in range(30)), MOVED], 1
    )


def test_what_was_not_told_of_is_made_at_once() -> None:
    bank = Noting()
    found = supply(bank)
    assert torch.equal(found.tensor([Noise(1), MOVED]), expected([Noise(1), MOVED]))
    assert found.late == 2
    assert bank.here == [Noise(1), MOVED]
    found.close()


def test_what_is_made_ahead_is_bounded() -> None:
    """In a bank of 16 tensors, queued jobs get at most 4 and all jobs together 8; the rest is made as room appears."""
    bank = Noting(keep_bytes=16 * 4 * 48)
    found = supply(bank)
    found.later([Noise(k) for k in range(100)])
    found.settle()
    assert set(bank.makers) == {Noise(k) for k in range(4)}
    found.soon([Noise(k) for k in range(200, 300)])
    found.settle()
    assert len(bank.makers) == 8
    for k in range(200, 210):
        found.tensor([Noise(k)])
        found.settle()
        assert len(found._ready) <= 8
        assert len(bank._recent) <= 16
    assert found.late == 0
    assert Counter(len(names) for names in bank.makers.values()) == {1: 18}
    found.close()


def test_a_bank_of_one_tensor_is_not_worked_ahead_for() -> None:
    bank = Noting(keep_bytes=1)
    found = supply(bank)
    found.soon([Noise(1)])
    found.settle()
    assert bank.makers == {}
    assert torch.equal(found.tensor([Noise(1)]), expected([Noise(1)]))
    found.close()


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_pass_makes_no_noise_itself(name: str) -> None:
    """This holds if the device takes long enough: for queued jobs, next steps and ways back."""
    sampler = SAMPLERS[name]
    wanted = [EvalRequest(k, each) for k, each in enumerate(trajectories(20, sampler.plan.steps))]
    states = []
    for threads in (0, 2):
        engine, bank = Engine(ToyModel(sampler, SHAPE), {}, 6, noise_threads=threads), Noting()
        engine.noises.bank = bank
        engine.submit(wanted)
        while engine.busy:
            engine.noises.settle()
            engine.advance()
        assert (bank.here == []) == bool(threads)
        assert (engine.noises.late == 0) == bool(threads)
        states.append({k: (at.x.numpy().tobytes(), at.predicted.numpy().tobytes()) for k, at in engine.states.items()})
        engine.close()
    assert states[0] == states[1]
    assert len(states[0]) == 20


def test_a_noise_is_not_made_earlier_than_two_steps_before_its_own() -> None:
    sampler = SAMPLERS["heun"]
    engine, bank = Engine(ToyModel(sampler, SHAPE), {}, 2, noise_threads=1), Noting()
    engine.noises.bank = bank
    engine.submit([EvalRequest(0, Segment(Noise(0), tuple(Noise(k + 1) for k in range(sampler.plan.steps)), 0))])
    engine.noises.settle()
    assert list(bank.makers) == [Noise(0), Noise(1), Noise(2)]
    engine.advance()
    engine.noises.settle()
    assert list(bank.makers) == [Noise(k) for k in range(4)]
    engine.close()


def test_a_move_of_another_shape_is_told_to_whoever_asks() -> None:
    found = supply()
    bad = Noise(1).with_move(Band(3, (0.5,)))
    found.soon([bad])
    found.settle()
    with pytest.raises(EngineError, match="set the search's shape to"):
        found.tensor([bad])
    found.close()


def test_a_cpu_makes_its_noises_itself() -> None:
    assert threads_for("cpu") == 0
    assert 0 <= threads_for("cuda:1") <= 4
