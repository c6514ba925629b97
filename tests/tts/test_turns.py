"""Which rows a pass takes if more are open than it holds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tts.engine.batching import Engine
from tts.engine.requests import EvalRequest
from tts.engine.turns import Turns
from tts.noise import Noise
from tts.search.segment import Segment, State
from tts.testing.toy_model import SAMPLER, ToyModel

WHOLE = SAMPLER.plan.nfe()


def trajectory(seed: int) -> Segment:
    return Segment(Noise(seed), (None,) * SAMPLER.plan.steps, 0)


def ended_at(engine: Engine, jobs: Sequence[EvalRequest]) -> dict[int, int]:
    """The number of passes after which each job was done."""
    engine.submit(jobs)
    found: dict[int, int] = {}
    while engine.busy:
        found |= {result.ticket: engine.load.batches for result in engine.advance()}
    return found


@pytest.mark.parametrize(("rows", "batch"), [(40, 32), (9, 8), (15, 8), (60, 32)])
def test_a_few_rows_more_than_a_batch_fill_all_passes(rows: int, batch: int) -> None:
    """Otherwise the last rows would need as many passes as the first ones, mostly of padding."""
    engine = Engine(ToyModel(), {}, batch)
    ended = ended_at(engine, [EvalRequest(k, trajectory(k)) for k in range(rows)])
    assert engine.load.rows == rows * WHOLE
    assert engine.load.batches <= -(-rows * WHOLE // batch) + 2  # a step of Heun takes two passes
    assert sorted(ended) == list(range(rows))


def test_where_many_wait_the_first_end_first() -> None:
    """If all rows took turns, nothing would end before the very end."""
    engine = Engine(ToyModel(), {}, 4)
    ended = ended_at(engine, [EvalRequest(k, trajectory(k)) for k in range(40)])
    assert [ended[k] for k in range(28)] == [WHOLE * (1 + k // 4) for k in range(28)]
    assert engine.load.batches == 10 * WHOLE


@pytest.mark.parametrize(("told", "passes"), [(True, 4 * WHOLE), (False, 6 * WHOLE)])
def test_a_long_trial_does_not_remain_for_the_end(told: bool, passes: int) -> None:
    """Its search asks for four trajectories one after another; if the engine knows that, it runs in every pass."""
    engine, steps = Engine(ToyModel(), {}, 4), SAMPLER.plan.steps
    engine.submit([EvalRequest(k, trajectory(k)) for k in range(12)])
    for left in (4, 3, 2, 1):
        engine.submit([EvalRequest(100 + left, trajectory(100 + left), None, left * steps * told)])
        while not any(result.ticket == 100 + left for result in engine.advance()):
            pass
    assert not engine.busy
    assert passes <= engine.load.batches <= passes + 6


def test_no_row_waits_for_ever() -> None:
    """New rows arrive all the time."""
    engine = Engine(ToyModel(), {}, 2)
    engine.submit([EvalRequest(k, trajectory(k)) for k in range(8)])
    done, ticket = set[int](), 8
    while not set(range(8)) <= done:
        done |= {result.ticket for result in engine.advance()}
        engine.submit([EvalRequest(ticket, trajectory(ticket))])
        ticket += 1
    assert engine.load.batches == 4 * WHOLE


def test_rows_that_go_nowhere_need_no_turn() -> None:
    engine = Engine(ToyModel(), {}, 2)
    engine.submit([EvalRequest(0, trajectory(0))])
    while engine.busy:
        engine.advance()
    engine.submit([EvalRequest(k, trajectory(k)) for k in range(1, 6)])
    engine.submit([EvalRequest(6, Segment(State(0, 0, SAMPLER.plan.steps, ()), (), 0))])
    assert [result.ticket for result in engine.advance()] == [6]


@dataclass
class Job:
    """Steps that are to be taken one after another."""

    turn: tuple[int, int]
    length: int


@pytest.mark.parametrize("seed", range(20))
def test_no_order_needs_fewer_passes(seed: int) -> None:
    """McNaughton's bound: the passes of the longest row, or those that all work fills; one more for rounding."""
    chance, batch = random.Random(seed), 4
    jobs = [Job((chance.randrange(3), number), chance.randint(1, 20)) for number in range(chance.randint(1, 30))]
    turns, passes = Turns[Job](batch), 0
    bound = max(max(job.length for job in jobs), -(-sum(job.length for job in jobs) // batch))
    turns.add(jobs)
    while len(turns):
        taken = turns.take(batch, sum(job.length for job in jobs))
        passes += 1
        for job in taken:
            job.length -= 1
        turns.add(job for job in taken if job.length)
    assert passes <= bound + 1
