"""Rows: one trajectory's arithmetic, done for many at a time, bit for bit as it is by itself."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tts.engine.batching import Engine
from tts.engine.requests import EvalRequest
from tts.engine.row_pool import RowPool
from tts.noise import Noise, NoiseBank
from tts.plan import Condition
from tts.recipe import Back
from tts.samplers.base import Call, Position, Sampler, Step, drive, follow, tensors
from tts.samplers.ddim import DDIM
from tts.samplers.heun import StochasticHeun
from tts.samplers.interpolant import InterpolantSettings
from tts.samplers.schedules import FlowLevels
from tts.search.segment import Segment, State
from tts.testing.toy_model import ToyModel

SHAPE = (3, 4, 4)
ALPHAS = tuple(0.02 + 0.96 * k / 9 for k in range(10))


class Even(FlowLevels):
    """Even levels of a flow."""

    def levels(self, steps: int) -> tuple[float, ...]:
        return tuple(1 - k / steps for k in range(steps + 1))


SAMPLERS: dict[str, Any] = {
    "heun": StochasticHeun(steps=10),
    "ddim": DDIM(tuple(range(900, -1, -100)), ALPHAS, (*ALPHAS[1:], 1.0), 1.0, 0.9),
    "flow": InterpolantSettings(steps=10).on(Even()),
}


class Lookup(ToyModel):
    """A model that asks the device for one operation."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return x * 0.75


class Counting(TorchDispatchMode):
    """Counts torch's operations, but for two that ask no device for anything."""

    NOTHING = ("aten.lift_fresh.default", "aten.detach_.default")

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[str(function)] += str(function) not in self.NOTHING
        return function(*args, **(kwargs or {}))


def segments(sampler: Sampler, count: int, seed: int = 0) -> list[Segment]:
    """Trajectories of many lengths, whose steps have a noise or none, a few of which go back on their way."""
    coins, found = random.Random(seed), []
    for k in range(count):
        steps = coins.randint(1, sampler.plan.steps)
        actions: list[Any] = [Noise(1000 * k + at) if coins.random() < 0.7 else None for at in range(steps)]
        if steps > 2 and k % 4 == 0:
            actions += [Back(Noise(k + 7), steps - 2), None]
        found.append(Segment(Noise(k), tuple(actions), 0))
    return found


def ends(engine: Engine, wanted: Sequence[Segment]) -> dict[int, Position]:
    engine.submit([EvalRequest(k, segment) for k, segment in enumerate(wanted)])
    while engine.busy:
        engine.advance()
    return engine.states


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_bit_is_that_of_a_trajectory_by_itself(name: str) -> None:
    sampler = SAMPLERS[name]
    model, wanted, bank = ToyModel(sampler, SHAPE), segments(sampler, 30), NoiseBank(SHAPE)
    found = ends(Engine(model, {}, 7), wanted)

    def answer(call: Call) -> Tensor:
        return model.denoise(call.x[None], torch.tensor([call.level], dtype=torch.float64), [0])[0]

    def make(noise: Noise) -> Tensor:
        return torch.from_numpy(bank(noise))

    for k, segment in enumerate(wanted):
        assert isinstance(segment.start, Noise)
        alone = drive(follow(sampler, make(segment.start), [tensors(each, make) for each in segment.noises]), answer)
        assert torch.equal(found[k].x, alone.x)
        assert torch.equal(found[k].predicted, alone.predicted)


@pytest.mark.parametrize("batch", [16, 64, 256])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_pass_asks_for_as_many_operations_whatever_the_batch(name: str, batch: int) -> None:
    """Rows at all steps, some ending and others beginning in most passes."""
    engine = Engine(Lookup(SAMPLERS[name], SHAPE), {}, batch)
    engine.submit([EvalRequest(k, each) for k, each in enumerate(segments(SAMPLERS[name], 3 * batch))])
    for _ in range(4):
        engine.advance()
    passes = 8
    with Counting() as counting:
        for _ in range(passes):
            engine.advance()
    assert engine.load.rows == engine.load.batches * batch
    assert sum(counting.counts.values()) / passes <= 40


def test_slots_are_used_again() -> None:
    """Also those of states that start other segments."""
    sampler = SAMPLERS["heun"]
    engine = Engine(ToyModel(sampler, SHAPE), {}, 8)
    for turn in range(6):
        first = [Segment(Noise(k), (Noise(k + 1), None), 0) for k in range(20)]
        engine.submit([EvalRequest(k, each) for k, each in enumerate(first)])
        while engine.busy:
            engine.advance()
        goes_on = State(3, 0, 2, (Noise(3), Noise(4), None))
        engine.submit([EvalRequest(100, Segment(goes_on, (Noise(9),), 0))])
        while engine.busy:
            engine.advance()
        engine.release([*range(20), 100])
        slots = len(engine._pool._states)
        assert sorted(engine._pool.free) == list(range(slots)), turn
    assert slots == 64


class Odd:
    """A sampler that does what rows cannot write down."""

    plan = SAMPLERS["heun"].plan

    def initial(self, noise: Tensor) -> Step:
        x = torch.where(noise > 0, noise, -(noise**2)).clone()
        return Position(x, x)
        yield

    def step(self, at: Position, index: int, noise: Tensor | None) -> Step:
        D = yield Call(at.x - at.x.mean(), 1.0)
        x = torch.lerp(D, at.x, 0.5) + 1 / (2 + abs(D)) + torch.ones(3, 1, 1) * at.x
        x += 0.5 if noise is None else noise[0].sum()
        return Position(2 - x.clamp(min=-1), D)

    def back(self, at: Position, index: int, to: int, noise: Tensor) -> Step:
        raise NotImplementedError


def test_what_cannot_be_written_down_is_done_at_once() -> None:
    sampler: Any = Odd()
    model, bank = ToyModel(sampler, SHAPE), NoiseBank(SHAPE)
    noises = [Noise(5), None, Noise(6)]
    found = ends(Engine(model, {}, 2), [Segment(Noise(k), tuple(noises), 0) for k in range(3)])

    def answer(call: Call) -> Tensor:
        return model.denoise(call.x[None], torch.tensor([call.level], dtype=torch.float64), [0])[0]

    for k in range(3):
        given = [None if noise is None else torch.from_numpy(bank(noise)) for noise in noises]
        alone = drive(follow(sampler, torch.from_numpy(bank(Noise(k))), given), answer)
        assert torch.equal(found[k].x, alone.x)


def test_a_gpu_divides_by_a_number_as_torch_does_there() -> None:
    """Torch's kernels for GPUs multiply by the reciprocal in the state's precision."""
    bank = NoiseBank(SHAPE)
    pool = RowPool(SHAPE, "cpu", bank)
    pool._by_reciprocal = True
    rows = []
    for k in range(3):
        pool.begin()
        rows.append((pool.noise(Noise(k)) - 2.0) / (0.1 + k) / pool.noise(Noise(9)))
    for k, row in enumerate(pool.gather(rows, 3)):
        reciprocal = float(np.float32(1) / np.float32(0.1 + k))
        wanted = (torch.from_numpy(bank(Noise(k))) - 2.0) * reciprocal / torch.from_numpy(bank(Noise(9)))
        assert torch.equal(row, wanted)


def test_a_noise_is_made_when_it_is_needed() -> None:
    sampler, made = SAMPLERS["heun"], list[Noise]()
    engine = Engine(ToyModel(sampler, SHAPE), {}, 2)
    engine._noise = lambda noise: made.append(noise) or NoiseBank(SHAPE)(noise)  # type: ignore[assignment,func-returns-value]
    engine.submit([EvalRequest(0, Segment(Noise(0), tuple(Noise(k + 1) for k in range(sampler.plan.steps)), 0))])
    engine.advance()
    assert made == [Noise(0), Noise(1)]
    while engine.busy:
        engine.advance()
    assert made == [Noise(k) for k in range(sampler.plan.steps + 1)]
