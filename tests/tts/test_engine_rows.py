"""Rows: one trajectory's arithmetic, done for many at a time, bit for bit as it is by itself."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from operations import Counting
from torch import Tensor

from tts.engine.batching import Engine
from tts.engine.requests import EvalRequest
from tts.engine.running import rows_at_once
from tts.errors import EngineError
from tts.noise import Array, Noise, NoiseBank
from tts.plan import Condition
from tts.recipe import Back
from tts.samplers.base import Call, Position, Sampler, Step, drive, follow, look_ahead, tensors
from tts.samplers.ddim import DDIM
from tts.samplers.heun import Churned, StochasticHeun
from tts.samplers.interpolant import InterpolantSettings
from tts.samplers.transitions import Transition
from tts.search.segment import Segment, State
from tts.testing.levels import StraightLevels
from tts.testing.toy_model import ToyModel

SHAPE = (3, 4, 4)
NOTHING = ("aten.lift_fresh.default", "aten.detach_.default", "aten.detach.default")
"""Ask no device for anything."""
ALPHAS = tuple(0.02 + 0.96 * k / 9 for k in range(10))


SAMPLERS: dict[str, Any] = {
    "heun": StochasticHeun(steps=10),
    "ddim": DDIM(tuple(range(900, -1, -100)), ALPHAS, (*ALPHAS[1:], 1.0), 1.0, 0.9),
    "flow": InterpolantSettings(steps=10).on(StraightLevels()),
}


class Lookup(ToyModel):
    """A model that asks the device for one operation."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return x * 0.75


def segments(sampler: Sampler, count: int, ahead: bool = True) -> list[Segment]:
    """Trajectories of many lengths, whose steps have a noise or none, a few of which go back, and others look ahead."""
    coins, found = random.Random(0), []
    for k in range(count):
        steps = coins.randint(1, sampler.plan.steps)
        actions: list[Any] = [Noise(1000 * k + at) if coins.random() < 0.7 else None for at in range(steps)]
        if steps > 2 and k % 4 == 0:
            actions += [Back(Noise(k + 7), steps - 2), None]
        found.append(Segment(Noise(k), tuple(actions), k % 3, None, k % 5 if ahead and k % 3 == 0 else 0))
    return found


def ends(engine: Engine, wanted: Sequence[Segment]) -> Mapping[int, Position]:
    engine.submit([EvalRequest(k, segment) for k, segment in enumerate(wanted)])
    while engine.busy:
        engine.advance()
    return engine.states


def alone(model: ToyModel, segment: Segment, start: Position | None = None) -> tuple[Position, Position]:
    """Where a segment leads and what it sees ahead, by the coroutine of one trajectory, whose rows have no batch."""
    bank = NoiseBank(SHAPE)

    def answer(call: Call) -> Tensor:
        return model.denoise(call.x[None], torch.tensor([call.level], dtype=torch.float64), [segment.condition])[0]

    def make(noise: Noise) -> Tensor:
        return torch.from_numpy(bank(noise))

    begin = start or (make(segment.start) if isinstance(segment.start, Noise) else None)
    assert begin is not None
    actions = [tensors(each, make) for each in segment.noises]
    end = drive(follow(model.sampler, begin, actions, segment.first), answer)
    return end, drive(look_ahead(model.sampler, end, segment.stop, segment.ahead), answer)


def same(one: Position, other: Position) -> bool:
    return torch.equal(one.x, other.x) and torch.equal(one.predicted, other.predicted)


@pytest.mark.parametrize("batch", [1, 7, 40])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_bit_is_that_of_a_trajectory_by_itself(name: str, batch: int) -> None:
    model = ToyModel(SAMPLERS[name], SHAPE)
    wanted = segments(model.sampler, 30)
    found = ends(Engine(model, {}, batch), wanted)
    assert all(same(found[k], alone(model, segment)[0]) for k, segment in enumerate(wanted))


@pytest.mark.parametrize("name", SAMPLERS)
def test_segments_from_one_state_leave_it_as_it_is(name: str) -> None:
    """Many at once, some that look ahead and some that step, and a state that is let go while they run."""
    model = ToyModel(SAMPLERS[name], SHAPE)
    engine, begin = Engine(model, {}, 16), Segment(Noise(1), (Noise(2), None, Noise(3)), 0)
    states = ends(engine, [begin])
    kept, handle = states[0], State(0, 0, 3, begin.recipe)
    actions = [(Noise(4), Noise(5)), (None, Noise(6)), (Back(Noise(7), 1), Noise(8)), (), (None,)]
    wanted = [Segment(handle, some, 0, None, ahead) for some in actions for ahead in (0, 2)]
    engine.submit([EvalRequest(10 + k, each) for k, each in enumerate(wanted)])
    engine.advance()
    assert same(engine.states[0], kept)
    engine.submit([EvalRequest(30, wanted[0])])
    engine.advance()
    engine.release([0])
    while engine.busy:
        engine.advance()
    for ticket, segment in [*enumerate(wanted, start=10), (30, wanted[0])]:
        assert same(engine.states[ticket], alone(model, segment, kept)[0])


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_is_seen_ahead_is_what_one_sees_alone(name: str) -> None:
    """Scored, and the state kept that is not ahead."""
    model, seen = ToyModel(SAMPLERS[name], SHAPE), list[Tensor]()

    class Remembering:
        host = True

        def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float]:
            seen.extend(images)
            return [0.0] * len(images)

    wanted = [Segment(Noise(k), (Noise(9), None)[: 1 + k % 2], 0, "all", k) for k in range(5)]
    engine = Engine(model, {"all": Remembering()}, 5)
    engine.submit([EvalRequest(k, each) for k, each in enumerate(wanted)])
    while engine.busy:
        engine.advance()
    engine.close()
    ahead = [model.decode(alone(model, each)[1].predicted[None])[0] for each in wanted]
    assert all(any(torch.equal(image, each) for each in seen) for image in ahead)
    assert all(same(engine.states[k], alone(model, each)[0]) for k, each in enumerate(wanted))


PASSES = 8


def operations(name: str, batch: int, threads: int) -> Counter[str]:
    """Operations of eight passes with rows at all steps, some ending and others beginning in most of them.

    Args:
        threads: that make noises; 0: the engine's own does.
    """
    engine = Engine(Lookup(SAMPLERS[name], SHAPE), {}, batch, noise_threads=threads)
    engine._rows.pool._host = False  # states are read and written as on a GPU
    engine.submit([EvalRequest(k, each) for k, each in enumerate(segments(SAMPLERS[name], 3 * batch, ahead=False))])
    for _ in range(4):
        engine.advance()
    counts = Counter[str]()
    for _ in range(PASSES):
        engine.noises.settle()
        with Counting(NOTHING) as counting:
            engine.advance()
        counts += counting.counts
    engine.close()
    assert engine.load.rows == engine.load.batches * batch
    return counts


@pytest.mark.parametrize("batch", [16, 64, 256])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_pass_asks_for_as_many_operations_whatever_the_batch(name: str, batch: int) -> None:
    """Noises are made beside the device, as with a GPU."""
    assert operations(name, batch, threads=1).total() / PASSES <= 40


@pytest.mark.usefixtures("one_thread")  # with more, sines are numpy's
@pytest.mark.parametrize("batch", [16, 64])
@pytest.mark.parametrize("name", SAMPLERS)
def test_noises_in_the_engines_own_thread_ask_for_two_operations_each(name: str, batch: int) -> None:
    """A sine and a cosine: these grow with the rows, nothing else does."""
    own, beside = (operations(name, batch, threads) for threads in (0, 1))
    noises = own["aten.sin.out"]
    assert 0 < noises <= PASSES * batch
    assert own.total() == beside.total() + 2 * noises


@pytest.mark.parametrize("name", SAMPLERS)
def test_slots_are_used_again(name: str) -> None:
    """Also those of states that start other segments, and of looks ahead."""
    engine = Engine(ToyModel(SAMPLERS[name], SHAPE), {}, 8)
    for _ in range(6):
        ends(engine, [Segment(Noise(k), (Noise(k + 1), None), 0, None, k % 3) for k in range(20)])
        goes_on = State(3, 0, 2, (Noise(3), Noise(4), None))
        engine.submit([EvalRequest(100 + k, Segment(goes_on, (Noise(9),) * k, 0)) for k in range(3)])
        while engine.busy:
            engine.advance()
        assert engine._rows.pool.used == 20 + 2  # the segment without steps leads to the state that it starts from
        engine.release([*range(20), 100, 101, 102])
        assert engine._rows.pool.used == 0
        assert dict(engine.states) == {}


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
        raise AssertionError("no segment of this test goes back")


def test_a_sampler_that_knows_single_rows_only_gets_single_rows() -> None:
    model: Any = ToyModel(Odd(), SHAPE)  # type: ignore[arg-type]
    wanted = [Segment(Noise(k), (Noise(5), None, Noise(6)), 0) for k in range(5)]
    found = ends(Engine(model, {}, 3), wanted)
    assert all(same(found[k], alone(model, segment)[0]) for k, segment in enumerate(wanted))


class Shaken(StochasticHeun):
    """One that changes a step and leaves the numbers alone."""

    def step(self, at: Position, index: int, noise: Tensor | None) -> Step:
        end = yield from super().step(at, index, noise)
        return Position(2 * end.x, end.predicted)


def test_a_step_of_ones_own_is_not_passed_over() -> None:
    model = ToyModel(Shaken(steps=5), SHAPE)
    wanted = segments(model.sampler, 10)
    found = ends(Engine(model, {}, 3), wanted)
    assert all(same(found[k], alone(model, segment)[0]) for k, segment in enumerate(wanted))


def test_a_call_at_a_level_that_is_no_number_of_the_step_is_refused() -> None:
    class Between(StochasticHeun):
        def stepping(self, index: int, injected: bool) -> Transition:
            return Transition(between, Churned(1.0, 1.0, 1.0, 1.0))

    def between(at: Position, by: Churned, noise: Tensor | None) -> Step:
        D = yield Call(at.x, 2 * by.t_hat)
        return Position(D, D)

    with pytest.raises(EngineError, match="make it one of them"):
        ends(Engine(ToyModel(Between(steps=5), SHAPE), {}, 3), [Segment(Noise(1), (None,), 0)])


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_cpu_computes_as_many_rows_at_once_as_its_cache_holds(name: str) -> None:
    """Groups of any size give the same bits."""
    assert [rows_at_once(shape, "cpu") for shape in ((3, 32, 32), (3, 64, 64), (16, 256, 256))] == [64, 16, 1]
    model, found = ToyModel(SAMPLERS[name], SHAPE), list[Mapping[int, Position]]()
    for largest in (3, 1000):
        engine = Engine(model, {}, 20)
        engine._rows._largest = largest
        found.append(ends(engine, segments(model.sampler, 30)))
    assert all(same(found[0][k], found[1][k]) for k in range(30))


def test_a_noise_is_made_when_it_is_needed() -> None:
    sampler, made = SAMPLERS["heun"], list[Noise]()

    class Noting(NoiseBank):
        def _make(self, noise: Noise) -> Array:
            made.append(noise)
            return super()._make(noise)

    engine = Engine(ToyModel(sampler, SHAPE), {}, 2)
    engine.noises.bank = Noting(SHAPE)
    engine.submit([EvalRequest(0, Segment(Noise(0), tuple(Noise(k + 1) for k in range(sampler.plan.steps)), 0))])
    engine.advance()
    assert made == [Noise(0), Noise(1)]
    while engine.busy:
        engine.advance()
    assert made == [Noise(k) for k in range(sampler.plan.steps + 1)]
