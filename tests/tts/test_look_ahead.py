"""Look-ahead: the reward of the image after some coarser, deterministic steps."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from own_samplers import AncestralSampler
from toy import EVERY, World
from toy_engine import ConvModel, Player, Trial, toy_engine

from tts.engine.batching import Engine
from tts.errors import SearchError
from tts.noise import Noise, normal
from tts.plan import Plan
from tts.playing import play
from tts.samplers.base import Call, Position, drive, follow, look_ahead
from tts.samplers.ddim import DDIM, DDIMSettings
from tts.samplers.heun import StochasticHeun
from tts.search.base import Problem, Run
from tts.search.beam import Beam
from tts.search.naive import Naive
from tts.search.segment import Segment
from tts.testing.levels import LinearBetas
from tts.testing.sampler import wavy

HEUN = StochasticHeun(steps=9)
MADE: Any = DDIMSettings(steps=9).on(LinearBetas())
DDIM9: DDIM = MADE
SAMPLERS: dict[str, Any] = {"heun": HEUN, "ddim": DDIM9}


def drawn(seed: int) -> torch.Tensor:
    return torch.from_numpy(normal(seed, (2, 4, 4)))


def reached(sampler: Any, step: int) -> Position:
    """A position after some steps without noise."""
    return drive(follow(sampler, drawn(0), [None] * step), wavy)


@pytest.mark.parametrize("steps", range(1, 12))
def test_a_grid_is_even_and_ends_at_the_end(steps: int) -> None:
    plan = Plan((1,) * steps, (True,) * steps)
    for first in range(steps + 1):
        for ahead in range(steps + 3):
            grid = plan.grid_ahead(first, ahead)
            gaps = [b - a for a, b in pairwise(grid)]
            assert grid[0] == first
            assert grid[-1] == (steps if ahead else first)
            assert len(gaps) == min(ahead, steps - first)
            assert not gaps or (min(gaps) >= 1 and max(gaps) - min(gaps) <= 1)


@pytest.mark.parametrize("name", SAMPLERS)
def test_as_many_steps_as_are_left_are_the_steps_themselves(name: str) -> None:
    sampler = SAMPLERS[name]
    for step in range(sampler.plan.steps):
        at = reached(sampler, step)
        fine = drive(follow(sampler, at, [None] * (sampler.plan.steps - step), step), wavy)
        for ahead in (sampler.plan.steps - step, 99):
            assert torch.equal(drive(look_ahead(sampler, at, step, ahead), wavy).predicted, fine.predicted)


@pytest.mark.parametrize("name", SAMPLERS)
def test_none_stays_where_it_is(name: str) -> None:
    at = reached(SAMPLERS[name], 3)
    assert drive(look_ahead(SAMPLERS[name], at, 3, 0), wavy) is at


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_more_steps_the_nearer_to_where_all_of_them_lead(name: str) -> None:
    """The data are normal, so that both samplers' flow is known."""
    sampler, at = SAMPLERS[name], Position(drawn(1), drawn(1))

    def shrink(call: Call) -> torch.Tensor:
        level = call.level if name == "heun" else sampler.plan.levels[sampler.times.index(call.level)]
        x = call.x if name == "heun" else call.x * (1 + level**2) ** 0.5
        return 0.25 / (0.25 + level**2) * x

    at = drive(follow(sampler, drawn(1), [None, None]), shrink)
    ends = [drive(look_ahead(sampler, at, 2, ahead), shrink).predicted for ahead in (1, 2, 4, 7)]
    far = [float((end - ends[-1]).abs().max()) for end in ends]
    assert far == sorted(far, reverse=True)
    assert far[0] > far[-1] == 0


def counted(sampler: Any, step: int, ahead: int) -> int:
    calls: list[Call] = []

    def answer(call: Call) -> torch.Tensor:
        calls.append(call)
        return wavy(call)

    drive(look_ahead(sampler, reached(sampler, step), step, ahead), answer)
    return len(calls)


@pytest.mark.parametrize("step", [0, 2, 5, 8, 9])
@pytest.mark.parametrize("ahead", [0, 1, 2, 3, 6, 20])
def test_it_costs_what_the_plan_says(step: int, ahead: int) -> None:
    """Heun: k calls, or the 2 k - 1 of the steps that are left. DDIM: k - 1, as the first prediction is there."""
    k, whole = min(ahead, 9 - step), ahead >= 9 - step
    assert counted(HEUN, step, ahead) == HEUN.plan.nfe_ahead(step, ahead) == (max(0, 2 * k - 1) if whole else k)
    assert counted(DDIM9, step, ahead) == DDIM9.plan.nfe_ahead(step, ahead) == max(0, k - 1)


def test_guidance_doubles_it() -> None:
    assert DDIM9.plan.times(2).nfe_ahead(0, 4) == 2 * DDIM9.plan.nfe_ahead(0, 4) == 6
    assert HEUN.plan.times(2).nfe_ahead(0, 4) == 2 * HEUN.plan.nfe_ahead(0, 4) == 8


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = toy_engine(ConvModel())
    yield made
    made.close()


def segments(plan: Plan) -> list[Segment]:
    """Segments, of which some look ahead by different numbers of steps and some do not."""
    problem = Problem(1, 5, plan, "brightness")
    firsts = [Segment(Noise(k), problem.default(0, k, k), 1, "brightness", ahead) for k, ahead in enumerate([3, 1, 2])]
    return [*firsts, problem.preview(Noise(9), 3), problem.trajectory(4), Segment(Noise(3), (None,), 1, None)]


def test_an_engine_answers_alike_alone_and_among_others(engine: Engine) -> None:
    """Scores and kept states are the same bit for bit, and each look-ahead is charged to its segment."""
    plan = engine.model.sampler.plan
    asked = segments(plan)
    together = Player(engine).ask(*asked)
    states = [engine.states[outcome.ticket] for outcome in together]
    for segment, outcome, state in zip(asked, together, states, strict=True):
        [alone] = Player(engine).ask(segment)
        assert (alone.scores, alone.nfe) == (outcome.scores, outcome.nfe)
        assert torch.equal(engine.states[alone.ticket].x, state.x)
        assert outcome.nfe == plan.spent(None, segment.noises) + plan.nfe_ahead(segment.stop, segment.ahead)


def test_what_is_seen_ahead_is_where_the_steps_lead(engine: Engine) -> None:
    """A look-ahead over all remaining steps scores the final image; the state itself stays where it is."""
    plan, noises = engine.model.sampler.plan, (None, Noise(8))
    look, rest = plan.steps - 2, (None,) * (plan.steps - 2)
    ahead, final, short, plain = Player(engine).ask(
        Segment(Noise(7), noises, 1, "brightness", look),
        Segment(Noise(7), (*noises, *rest), 1, "brightness"),
        Segment(Noise(7), noises, 1, "brightness", 1),
        Segment(Noise(7), noises, 1, "brightness"),
    )
    assert ahead.scores == final.scores
    assert len({outcome.scores["brightness"] for outcome in (ahead, short, plain)}) == 3
    assert torch.equal(engine.states[ahead.ticket].x, engine.states[plain.ticket].x)


def test_a_search_that_looks_ahead_plays_alike_alone_and_among_others(engine: Engine) -> None:
    plan = engine.model.sampler.plan
    problems = [Problem(1, seed, plan, reward) for seed in (0, 1) for reward in ("brightness", "compressibility")]
    trials = [Trial(Beam(N=2, B=2, lookahead=ahead), problem) for problem in problems for ahead in (0, 2)]
    Player(engine).play(trials)
    for trial in trials:
        alone = Trial(trial.search, trial.problem)
        Player(engine).play([alone])
        assert alone.result == trial.result
        assert play(trial.search, trial.problem, engine).nfe == trial.nfe == trial.search.nfe(plan)


def test_beams_that_look_all_the_way_choose_by_the_final_image() -> None:
    """With one beam and one noisy step, it picks the best of the deterministic ends."""
    world = World(Plan((1, 1, 1), (True, False, False), leaps=(1, 1, 1)))
    chosen = world.play(Beam(N=4, B=1, lookahead=2), 3)
    ends = [answer.reward for answer in world.answers[1]]
    assert chosen.reward == max(ends) == world.answers[-1][0].reward


class Looker(Naive):
    """A search whose look-ahead a test sets."""

    how: Any = 1
    scored: bool = True

    def run(self, problem: Problem) -> Run:
        [start] = yield [problem.start()]
        step, noises = start.state.step, (problem.noise(0),)
        yield [Segment(start.state, noises, problem.condition, problem.reward if self.scored else None, self.how)]
        [end] = yield [problem.advance(start.state, step + 1)]
        return end


@pytest.mark.parametrize(
    ("settings", "plan", "message"),
    [
        ({"how": -1}, EVERY, r"looks ahead by a int \(-1\); ahead is a number of steps"),
        ({"how": True}, EVERY, "looks ahead by a bool"),
        ({"how": 1.5}, EVERY, "looks ahead by a float"),
        ({"scored": False}, EVERY, "looks ahead and asks for no reward"),
        ({}, AncestralSampler((9.0, 1.0, 0.0), 0.5).plan, "this sampler takes no coarser steps"),
    ],
)
def test_looks_that_cannot_be_are_refused(settings: dict[str, Any], plan: Plan, message: str) -> None:
    with pytest.raises(SearchError, match=message):
        World(plan).play(Looker(**settings))


def test_settings_that_came_later_leave_old_rows_their_identity() -> None:
    assert Beam().text == '{"B":2,"N":4}'
    assert Beam(lookahead=3).record() == {"N": 4, "B": 2, "lookahead": 3}
