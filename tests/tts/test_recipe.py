"""Recipes: where they lead, what they cost, and the way back of each sampler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_schedules import SCHEDULE, ddim
from torch import Tensor
from toy_engine import SAMPLER, Player, toy_engine

from tts.errors import SearchError
from tts.noise import Band, Box, Mixture, Move, Noise, Turn, normal
from tts.plan import Plan
from tts.recipe import Action, Back, end, fault, from_record, to_record
from tts.samplers.base import Call, Position, Renoise, Sampler, drive, follow
from tts.samplers.heun import StochasticHeun
from tts.search import rules
from tts.search.base import Problem
from tts.search.segment import ALL, Segment, State
from tts.testing.toy import AHEAD, GAPPY

MIXED: tuple[Action, ...] = (Noise(1), None, Noise(2), Back(Noise(3), 1), Noise(4), Back(Noise(5), 2), None)
EXTREMES = Mixture((0, 2**63 - 1), (0.0, -1e9), 0.0), Turn(0, 0.0), Turn(1, 1.0), Box(0, 1e9, 1.0), Band(8, (-9.0,))
DDIM = ddim(SCHEDULE, 7, 1.0, None)
SAMPLERS: dict[str, Sampler] = {"heun": SAMPLER, "ddim": DDIM, "ddim-250": ddim(SCHEDULE, 250, 0.3, None)}


def scales(sampler: Any, step: int) -> tuple[float, float]:
    """Signal and deviation of the noise before a step, which are also those to which the step before led."""
    if not hasattr(sampler, "alphas"):
        return 1.0, sampler.levels[step]
    alpha = sampler.alphas[step] if step < len(sampler.alphas) else sampler.targets[-1]
    return alpha**0.5, (1 - alpha) ** 0.5


def answer(call: Call) -> Tensor:
    return 0.3 * call.x


def test_a_recipe_is_folded() -> None:
    assert [end(0, MIXED[:k]) for k in range(8)] == [0, 1, 2, 3, 1, 2, 2, 3]
    segment = Segment(State(0, 0, 3, (Noise(0), *MIXED[:3])), MIXED[3:5], 0)
    assert (segment.first, segment.stop, segment.recipe) == (3, 2, (Noise(0), *MIXED[:5]))


def test_costs_are_those_of_the_steps_taken_and_of_the_ways_back() -> None:
    assert GAPPY.spent(None, MIXED) == 5 * 2
    assert AHEAD.spent(None, MIXED) == 1 + 5 + 1  # going back to the present step is free
    assert AHEAD.times(2).spent(2, [Back(Noise(1), 0), None]) == 2 * (1 + 1)
    assert [AHEAD.spent(None, [None] * k) for k in range(5)] == [AHEAD.nfe(stop=k) for k in range(5)]


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        ([None, Back(Noise(1), 2)], "goes back from step 1 to step 2; a way back leads to a step from 0 to 1"),
        ([Back(Noise(1), -1)], "goes back from step 0 to step -1"),
        ([None] * 3 + [Back(Noise(1), 2), None, None], "goes on to step 4; this problem's trajectories have 3 steps"),
    ],
)
def test_what_no_trajectory_can_do_is_said(actions: list[Action], reason: str) -> None:
    assert (fault(0, actions, 3) or "").startswith(reason)
    assert fault(0, MIXED, 3) is None


@pytest.mark.parametrize(
    "action",
    [None, Noise(5), Noise(2**63 - 1, EXTREMES), Noise(5, (Move(1, 0.5),)), Back(Noise(7, (Move(2, 0.1),)), 0)],
)
def test_records_give_back_their_action(action: Action) -> None:
    assert from_record(to_record(action)) == action


def test_a_record_of_before_there_were_ways_back_is_a_step() -> None:
    assert from_record({"seed": 3, "moves": []}) == Noise(3)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_way_back_has_the_levels_own_spread_around_the_clean_state(name: str) -> None:
    """In closed form, x_i = alpha_i x_0 + sigma_i e goes back to mean alpha_j x_0 and variance sigma_j^2."""
    sampler, clean, size = SAMPLERS[name], 0.7, (200_000,)
    steps = sampler.plan.steps
    for i, j in [(steps, 0), (steps, steps - 1), (steps - 2, 1), (3, 2), (1, 0)]:
        (signal, spread), (other, wanted) = scales(sampler, i), scales(sampler, j)
        e, n = (torch.from_numpy(normal(seed, size)).double() for seed in (1, 2))
        x = signal * clean + spread * e
        found = drive(sampler.back(Position(x, x), i, j, n), answer).x
        assert float(found.std()) == pytest.approx(wanted, rel=0.01)
        assert float(found.mean()) == pytest.approx(other * clean, abs=0.01 * wanted)


@pytest.mark.parametrize("name", SAMPLERS)
def test_back_to_the_same_level_changes_nothing(name: str) -> None:
    sampler = SAMPLERS[name]
    at, noise = Position(torch.randn(9), torch.randn(9)), torch.randn(9)
    for step in (0, 2, sampler.plan.steps):
        found = drive(follow(sampler, at, [Renoise(noise, step)], step), lambda _: pytest.fail("no call is needed"))
        assert found is at


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_engine_spends_what_the_plan_says(name: str) -> None:
    calls: list[Call] = []

    def counted(call: Call) -> Tensor:
        calls.append(call)
        return answer(call)

    sampler = SAMPLERS[name]
    tensors = [Renoise(torch.randn(4), a.to) if isinstance(a, Back) else None for a in MIXED]
    drive(follow(sampler, torch.randn(4), tensors), counted)
    assert len(calls) == sampler.plan.spent(None, MIXED)


def test_a_prediction_is_made_anew_after_the_way_back() -> None:
    calls: list[Call] = []

    def counted(call: Call) -> Tensor:
        calls.append(call)
        return 0.3 * call.x

    found = drive(DDIM.back(Position(torch.ones(3), torch.ones(3)), 5, 2, torch.zeros(3)), counted)
    assert [call.level for call in calls] == [DDIM.times[2]]
    assert torch.equal(found.predicted, 0.3 * found.x)


def test_a_whole_recipe_as_one_segment_is_its_pieces_one_by_one() -> None:
    engine = toy_engine()
    player, steps = Player(engine), SAMPLER.plan.steps
    actions = (*MIXED, *[Noise(50 + k) for k in range(steps - 3)])
    start = player.ask(Segment(Noise(9), (), 3))[0]
    at, nfe = player.handle(start.ticket, Segment(Noise(9), (), 3)), start.nfe
    for action in actions:
        segment = Segment(at, (action,), 3)
        [outcome] = player.ask(segment)
        at, nfe = player.handle(outcome.ticket, segment), nfe + outcome.nfe
    assert at.step == steps
    [pieces] = player.ask(Segment(at, (), 3, ALL))
    [whole] = player.ask(Segment(Noise(9), actions, 3, ALL))
    assert whole.image == pieces.image
    assert whole.scores == pieces.scores
    assert whole.nfe == nfe == SAMPLER.plan.spent(None, actions)
    engine.close()


def test_ways_back_have_noises_of_their_own() -> None:
    problem = Problem(0, 1, GAPPY, "toy")
    used = {problem.back(to, turn, stream).noise for to in range(3) for turn in range(3) for stream in range(2)}
    assert len(used) == 18
    assert not used & {problem.noise(step, k, stream) for step in range(-1, 6) for k in range(4) for stream in range(2)}


@pytest.mark.parametrize(
    ("actions", "told", "ahead"),
    [
        ((), False, True),
        ((None,), True, True),
        ((None, Back(Noise(1), 0)), False, True),
        ((None, Back(Noise(1), 1)), True, True),
        ((None, None, Back(Noise(1), 0), None), True, True),
        ((Back(Noise(1), 0),), False, True),
    ],
)
def test_where_a_clean_state_is_predicted(actions: tuple[Action, ...], told: bool, ahead: bool) -> None:
    """With Heun, a prediction exists where a step was the last action that changed anything; with DDIM, everywhere."""
    assert Plan((2, 2, 1), (True,) * 3).predicts(actions) is told
    assert AHEAD.predicts(actions) is ahead


def test_a_reward_where_nothing_is_predicted_is_refused() -> None:
    """Right after a way back, Heun has no prediction; DDIM, a look-ahead or a further step gives one."""
    back, start = Back(Noise(1), 1), State(0, 0, 3, (Noise(0), None, None, None))

    def asked(plan: Plan, *actions: Action, ahead: int = 0) -> list[Segment]:
        problem = Problem(3, 0, plan, "toy")
        return rules.checked([Segment(start, actions, 3, "toy", ahead)], problem, lambda state: True)

    heun = StochasticHeun(steps=6).plan
    with pytest.raises(SearchError, match=r"asks for a reward at step 1, where this sampler has predicted no image"):
        asked(heun, back)
    initial = Segment(Noise(0), (), 3, "toy")
    with pytest.raises(SearchError, match=r"at step 0, .*; take a step first, or look ahead"):
        rules.checked([initial], Problem(3, 0, heun, "toy"), lambda state: True)
    for segments in (asked(heun, back, None), asked(heun), asked(DDIM.plan, back), asked(heun, Back(Noise(1), 3))):
        assert len(segments) == 1
    assert len(asked(heun, back, ahead=1)) == 1
