"""Which rows a pass takes, where more are open than it holds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tts.engine.batching import Engine
from tts.engine.requests import EvalRequest
from tts.noise import Noise
from tts.recipe import Action
from tts.search.segment import Segment, State
from tts.testing.toy_model import SAMPLER, ToyModel

WHOLE = SAMPLER.plan.nfe()


def trajectory(seed: int) -> Segment:
    return Segment(Noise(seed), (None,) * SAMPLER.plan.steps, 0)


def ended_at(engine: Engine, jobs: Sequence[EvalRequest]) -> dict[int, int]:
    """After how many passes each job was done."""
    engine.submit(jobs)
    found: dict[int, int] = {}
    while engine.busy:
        found |= {result.ticket: engine.load.batches for result in engine.advance()}
    return found


@pytest.mark.parametrize(("rows", "batch"), [(40, 32), (9, 8), (15, 8), (60, 32)])
def test_a_few_rows_more_than_a_batch_go_on_in_turn(rows: int, batch: int) -> None:
    """All end nearly together; else the last ones would need as many passes of mostly padding as the first."""
    engine = Engine(ToyModel(), {}, batch)
    ended = ended_at(engine, [EvalRequest(k, trajectory(k)) for k in range(rows)])
    assert engine.load.rows == rows * WHOLE
    assert engine.load.batches <= -(-rows * WHOLE // batch) + 2  # a step of Heun's takes two passes
    assert max(ended.values()) - min(ended.values()) <= 4


def test_where_many_wait_what_has_begun_ends_first() -> None:
    """Three passes of others between two steps of each would end everything at the very end."""
    engine = Engine(ToyModel(), {}, 4)
    ended = ended_at(engine, [EvalRequest(k, trajectory(k)) for k in range(40)])
    assert [ended[k] for k in range(28)] == [WHOLE * (1 + k // 4) for k in range(28)]
    assert engine.load.batches == 10 * WHOLE


def test_where_many_wait_the_lowest_rank_goes_first() -> None:
    """A trial that asks for step after step is not overtaken by those that began after it."""
    engine, recipe = Engine(ToyModel(), {}, 4), (Noise(0),)
    engine.submit([EvalRequest(k, trajectory(k), (), 1 + k) for k in range(1, 40)])
    engine.submit([EvalRequest(0, Segment(Noise(0), (None,), 0), (), 0)])
    actions: tuple[Action, ...] = (None,)
    ticket, passes = 0, 0
    while len(actions) < 5:
        done = engine.advance()
        passes += 1
        if any(result.ticket == ticket for result in done):
            state = State(ticket, 0, len(actions), (*recipe, *actions))
            ticket, actions = 100 + len(actions), (*actions, None)
            engine.submit([EvalRequest(ticket, Segment(state, (None,), 0), (), 0)])
    assert passes == 2 * 4


def test_no_row_waits_for_ever() -> None:
    """Old rows go first, and new ones come all the time."""
    engine = Engine(ToyModel(), {}, 2)
    engine.submit([EvalRequest(k, trajectory(k)) for k in range(8)])
    done, ticket = set[int](), 8
    while not set(range(8)) <= done:
        done |= {result.ticket for result in engine.advance()}
        engine.submit([EvalRequest(ticket, trajectory(ticket))])
        ticket += 1
    assert engine.load.batches == 4 * WHOLE
