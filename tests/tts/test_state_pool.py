"""States between two passes: taken without a copy where that is safe, never changed by whoever goes on from them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tts.engine.batching import Engine
from tts.engine.requests import EvalRequest
from tts.engine.state_pool import StatePool
from tts.noise import Noise
from tts.plan import Condition
from tts.samplers.base import Position
from tts.samplers.ddim import DDIM
from tts.samplers.heun import StochasticHeun
from tts.samplers.interpolant import InterpolantSettings
from tts.search.segment import Segment, State
from tts.testing.levels import StraightLevels
from tts.testing.toy_model import ConvModel

SHAPE = (2, 3)
STEPS = 8
ALPHAS = tuple(0.02 + 0.96 * k / STEPS for k in range(STEPS))

SAMPLERS = {
    "heun": StochasticHeun(steps=STEPS),
    "ddim": DDIM(tuple(range(700, -1, -100)), ALPHAS, (*ALPHAS[1:], 1.0), 1.0, 0.9),
    "flow": InterpolantSettings(steps=STEPS).on(StraightLevels()),
}


def positions(count: int, seed: int = 0) -> Position:
    made = torch.Generator().manual_seed(seed)
    x, predicted = torch.randn(2, count, *SHAPE, generator=made)
    return Position(x, predicted)


@pytest.fixture
def pool() -> StatePool:
    return StatePool(SHAPE, "cpu")


def written(pool: StatePool, count: int, seed: int = 0) -> tuple[list[int], Position]:
    """New slots and what is in them."""
    slots, at = [pool.target(None) for _ in range(count)], positions(count, seed)
    pool.write(slots, at)
    return slots, at


def test_rows_that_go_on_together_are_not_copied(pool: StatePool) -> None:
    slots, at = written(pool, 4)
    taken = pool.taken(slots)
    assert taken.x.data_ptr() == at.x.data_ptr()
    assert taken.predicted.data_ptr() == at.predicted.data_ptr()
    assert torch.equal(taken.x, at.x)


@pytest.mark.parametrize("order", [[0, 1, 2], [3, 2, 1, 0], [1, 2, 3, 0], [2]])
def test_others_get_copies(pool: StatePool, order: list[int]) -> None:
    slots, at = written(pool, 4)
    taken = pool.taken([slots[k] for k in order])
    assert torch.equal(taken.x, at.x[order])
    assert torch.equal(taken.predicted, at.predicted[order])
    assert taken.x.data_ptr() != at.x.data_ptr()


def test_rows_of_two_groups_get_copies(pool: StatePool) -> None:
    (first, one), (second, other) = written(pool, 2, 1), written(pool, 2, 2)
    taken = pool.taken(first + second)
    assert torch.equal(taken.x, torch.cat([one.x, other.x]))


def test_a_state_that_is_held_twice_stays_as_it_is(pool: StatePool) -> None:
    """Whatever its row does to what it took."""
    slots, at = written(pool, 3)
    expected = at.x.clone(), at.predicted.clone()
    pool.hold(slots[1])
    taken = pool.taken(slots)
    taken.x.zero_()
    taken.predicted.zero_()
    kept = pool.read(slots[1:2])
    assert torch.equal(kept.x[0], expected[0][1])
    assert torch.equal(kept.predicted[0], expected[1][1])


def test_what_is_read_is_a_copy(pool: StatePool) -> None:
    slots, at = written(pool, 3)
    expected = at.x.clone()
    pool.read(slots).x.zero_()
    pool.clean(slots)[0].zero_()
    assert torch.equal(pool.read(slots).x, expected)
    assert torch.equal(pool.clean(slots)[0], at.predicted[0])


def test_nothing_is_held_for_longer_than_a_pass(pool: StatePool) -> None:
    slots, at = written(pool, 3)
    expected = at.x.clone()
    pool.settle()
    at.x.zero_()
    assert torch.equal(pool.taken(slots).x, expected)


@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format])
def test_states_are_taken_in_one_layout(form: torch.memory_format) -> None:
    """A network may sum in another order where a batch has another one."""
    pool = StatePool((3, 4, 4), "cpu")
    slots, x = [pool.target(None) for _ in range(2)], torch.randn(2, 3, 4, 4)
    pool.write(slots, Position(x, x.contiguous(memory_format=form)))
    taken = pool.taken(slots)
    assert taken.x.stride() == taken.predicted.stride() == x.stride()
    assert torch.equal(taken.predicted, x)


@pytest.mark.parametrize("seed", range(40))
def test_every_slot_has_what_was_written_last(pool: StatePool, seed: int) -> None:
    """Rows at random: some are kept, some go on in groups of the same or another order, others let go."""
    chance, model = random.Random(seed), dict[int, Tensor]()
    groups, kept = list[list[int]](), list[int]()
    for turn in range(30):
        slots, at = written(pool, chance.randint(1, 5), 100 * seed + turn)
        model |= zip(slots, at.x.clone(), strict=True)
        groups.append(slots)
        kept += [pool.hold(slot) for slot in slots if chance.random() < 0.3]
        if chance.random() < 0.4:
            group = groups.pop(chance.randrange(len(groups)))
            if chance.random() < 0.5:
                chance.shuffle(group)
            x = pool.taken(group).x
            assert torch.equal(x, torch.stack([model[slot] for slot in group]))
            targets = [pool.target(slot) for slot in group]
            pool.write(targets, Position(x + 1, x))
            model |= zip(targets, x + 1, strict=True)
            groups.append(targets)
        if chance.random() < 0.3:
            for slot in groups.pop(0):
                pool.drop(slot)
        if chance.random() < 0.5:
            pool.settle()
        here = [*kept, *(slot for group in groups for slot in group)]
        some = chance.sample(here, min(3, len(here)))
        assert all(torch.equal(pool.read([slot]).x[0], model[slot]) for slot in some)


class OneBuffer(ConvModel):
    """Answers in the same memory each time."""

    answers: Tensor | None = None

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        found = super().denoise(x, levels, conditions)
        self.answers = found.clone() if self.answers is None else self.answers
        return self.answers.copy_(found)


class LastChannels(ConvModel):
    """Answers in another layout."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return super().denoise(x, levels, conditions).contiguous(memory_format=torch.channels_last)


def trajectories(count: int) -> list[EvalRequest]:
    wanted = [Segment(Noise(k), tuple(Noise(99 * k + at) for at in range(STEPS)), k % 3) for k in range(count)]
    return [EvalRequest(k, segment) for k, segment in enumerate(wanted)]


def finished(engine: Engine, count: int) -> list[Position]:
    engine.submit(trajectories(count))
    while engine.busy:
        engine.advance()
    return [engine.states[k] for k in range(count)]


@pytest.mark.parametrize("batch", [3, 6, 12])
@pytest.mark.parametrize("kind", [ConvModel, OneBuffer, LastChannels])
@pytest.mark.parametrize("name", SAMPLERS)
def test_bits_are_those_of_states_that_are_copied(name: str, kind: type[ConvModel], batch: int) -> None:
    found = []
    for copies in (False, True):
        model = kind()
        model.sampler = SAMPLERS[name]
        engine = Engine(model, {}, batch)
        if copies:
            engine._rows.pool.taken = engine._rows.pool.read  # type: ignore[method-assign]
        found.append(finished(engine, 6))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.predicted, other.predicted)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_pass_of_the_same_rows_copies_no_state(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = list[int]()
    monkeypatch.setattr(StatePool, "settle", lambda pool, slots=None: copied.extend(pool._last._blocks))
    model = ConvModel()
    model.sampler = SAMPLERS[name]
    engine = Engine(model, {}, 4)
    engine.submit(trajectories(4))
    while not engine.advance():
        assert copied == []


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_kept_state_is_not_changed_by_later_passes(name: str) -> None:
    model = OneBuffer()
    model.sampler = SAMPLERS[name]
    engine, start = Engine(model, {}, 4), (Noise(1), Noise(2))
    engine.submit(EvalRequest(k, Segment(Noise(k), start, k)) for k in range(4))
    while engine.busy:
        engine.advance()
    kept = [engine.states[k] for k in range(4)]
    rest = tuple(Noise(10 + step) for step in range(STEPS - len(start)))
    handles = [State(k, 0, len(start), (Noise(k), *start)) for k in range(4)]
    engine.submit(EvalRequest(10 + k, Segment(handle, rest, k)) for k, handle in enumerate(handles))
    while engine.busy:
        engine.advance()
        for k, at in enumerate(kept):
            assert torch.equal(engine.states[k].x, at.x)
            assert torch.equal(engine.states[k].predicted, at.predicted)
