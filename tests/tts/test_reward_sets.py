"""Segments name a set of rewards; a search may ask only for rewards of its problem."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace

import pytest
from pareto_search import ParetoPick
from toy_engine import SAMPLER, Player, toy_engine

import tts
from tts.errors import SearchError, UnknownNameError
from tts.noise import Noise, derive_seed
from tts.plan import Plan
from tts.search import rules
from tts.search.base import Problem, Run, Search
from tts.search.best_of_n import BestOfN
from tts.search.segment import ALL, Evaluation, Segment, State, best
from tts.testing.search import SearchConformance
from tts.testing.toy import EVERY, GAPPY, PLANS, World, luck

BOTH = ("brightness", "compressibility")


def problem(*rewards: str) -> Problem:
    return Problem(3, 7, GAPPY, "toy", rewards)


def test_a_set_of_rewards_has_one_form() -> None:
    forms = [("b", "a"), ["a", "b", "a"], {"b", "a"}]
    assert {Segment(Noise(1), (), 0, form) for form in forms} == {Segment(Noise(1), (), 0, ("a", "b"))}
    assert Segment(Noise(1), (), 0, "ab").rewards == ("ab",)
    assert Segment(Noise(1), (), 0, ()) == Segment(Noise(1), (), 0)
    assert Segment(Noise(1), (), 0, ALL).whole
    assert not Segment(Noise(1), (), 0, (ALL, "a")).whole
    assert replace(Segment(Noise(1), (), 0, "a"), condition=2) == Segment(Noise(1), (), 2, "a")
    assert pickle.loads(pickle.dumps(Segment(Noise(1), (), 0, "a"))) == Segment(Noise(1), (), 0, "a")  # noqa: S301  (our own)


def test_a_segment_without_history_has_its_rewards() -> None:
    state = State(1, 0, 2, (Noise(1), None, None))
    assert Segment(state, (None,), 0, ("b", "a")).without_history().rewards == ("a", "b")


def test_a_problem_knows_its_own_reward_and_those_it_is_told() -> None:
    assert problem().rewards == ("toy",)
    assert problem("x", "a", "x").rewards == ("a", "toy", "x")


def test_an_evaluation_has_what_was_asked_for_and_no_more() -> None:
    state, segment = State(1, 0, 0, (Noise(1),)), Segment(Noise(1), (), 0, ("a", "b"))
    found = Evaluation.of(state, segment, {"a": 0.5, "b": None, "held_out": 1.0}, "a", 3)
    assert (found.reward, found.value, found.nfe, found.rewards) == (0.5, 0.5, 3, {"a": 0.5, "b": None})
    other = Evaluation.of(state, segment, {"a": 0.5, "b": None}, "c", 3)
    assert (other.reward, other.value) == (None, -float("inf"))
    assert hash(found) == hash(replace(found, rewards={}))


def test_what_is_scored_by_what() -> None:
    state, told = State(1, 0, 2, (Noise(1), None, None)), problem("other")
    assert told.trajectory().rewards == told.step(state, None).rewards == told.score(state).rewards == ("toy",)
    assert told.advance(state).rewards == told.on(state, 3).rewards == told.start().rewards == ()
    assert told.step(state, None, scored=False).rewards == ()
    assert told.trajectory(scored="other").rewards == told.score(state, "other").rewards == ("other",)
    assert told.advance(state, scored=("toy", "other")).rewards == ("other", "toy")
    assert told.score(state) == Segment(state, (), 3, "toy")


def test_on_takes_its_noises_to_the_steps_that_inject_one() -> None:
    state = State(1, 0, 0, (Noise(1),))  # steps 1, 3 and 4 of GAPPY inject noise
    assert problem().on(state, 5, Noise(5), Noise(6)).noises == (None, Noise(5), None, Noise(6), None)
    assert problem().on(state, 2, Noise(5)) == Segment(state, (None, Noise(5)), 3)
    assert problem().on(state, 0).noises == ()
    with pytest.raises(SearchError, match="2 noises are given, and steps 0 to 2 inject 1"):
        problem().on(state, 2, Noise(5), Noise(6))
    with pytest.raises(SearchError, match="the state is at step 3, after step 2"):
        problem().on(State(1, 0, 3, ()), 2)


def test_coins_are_streams_named_by_their_parts() -> None:
    as_before = random.Random(derive_seed(7, "coins"))
    plain = problem().coins()
    assert [plain.random() for _ in range(5)] == [as_before.random() for _ in range(5)]
    first = {parts: problem().coins(*parts).random() for parts in [(), (1,), (2,), ("1",), (1, 2), (12,)]}
    assert len(set(first.values())) == len(first)
    assert problem().coins("tree", 3).random() == problem().coins("tree", 3).random()


@pytest.mark.parametrize("name", ["held_out", "toi", ALL])
def test_a_name_that_may_not_be_searched_on_is_refused(name: str) -> None:
    asked = [problem("other").trajectory(scored=("toy", name))]
    with pytest.raises(SearchError, match=r"asks for the reward .*; it may search on 'other' and 'toy' only"):
        rules.checked(asked, problem("other"), lambda state: True)


class OneByOne(Search):
    """Two trajectories, one after the other: the default depth assumes this."""

    def run(self, problem: Problem) -> Run:
        """Draw both and pick the better one."""
        first = yield [problem.trajectory(0)]
        second = yield [problem.trajectory(1)]
        return best([*first, *second])

    def nfe(self, plan: Plan) -> int:
        """2 C T."""
        return 2 * plan.nfe()


@pytest.mark.parametrize("kind", [OneByOne, ParetoPick])
def test_they_keep_to_the_rules(kind: type[Search]) -> None:
    for name, method in vars(SearchConformance).items():
        if name.startswith("test_"):
            method(SearchConformance(), kind())


@pytest.mark.parametrize("plan", PLANS)
def test_a_pareto_pick_of_one_reward_is_best_of_n(plan: str) -> None:
    picks = [World(PLANS[plan]).play(search, 5).state.noises for search in (ParetoPick(N=9), BestOfN(N=9))]
    assert picks[0] == picks[1]


@pytest.mark.parametrize("seed", range(20))
def test_no_other_trajectory_beats_a_pareto_pick(seed: int) -> None:
    world = World(EVERY, more={"other": lambda recipe: luck("other", recipe)})
    chosen = world.play(ParetoPick(N=12), seed)
    [found] = world.answers
    assert set(chosen.rewards) == {"toy", "other"}
    point = [chosen.rewards[name] or 0.0 for name in ("toy", "other")]
    better = [[each.rewards[name] or 0.0 for name in ("toy", "other")] for each in found]
    assert not any(all(a >= b for a, b in zip(other, point, strict=True)) and other != point for other in better)


def test_an_engine_scores_by_several_rewards_at_once() -> None:
    told = Problem(1, 2, SAMPLER.plan, "brightness", BOTH)
    both, one, other = (told.trajectory(scored=names) for names in (BOTH, *BOTH))
    outcomes = Player(toy_engine()).ask(both, one, other)
    assert outcomes[0].scores == outcomes[1].scores | outcomes[2].scores
    assert outcomes[0].reward_calls == 2


def test_a_state_is_scored_again_for_nothing() -> None:
    told, player = Problem(1, 2, SAMPLER.plan, "brightness", BOTH), Player(toy_engine())
    whole = told.trajectory()
    [first] = player.ask(whole)
    [again] = player.ask(told.score(player.handle(first.ticket, whole), BOTH))
    assert (again.nfe, again.scores["brightness"]) == (0, first.scores["brightness"])
    assert set(again.scores) == set(BOTH)


def test_an_engine_plays_a_search_over_two_rewards() -> None:
    told = Problem(1, 2, SAMPLER.plan, "brightness", BOTH)
    result = tts.play(ParetoPick(N=6), told, toy_engine())
    assert result.reward == result.rewards["brightness"]
    assert len(result.trace) == 6
    with pytest.raises(UnknownNameError, match="reward 'beauty' is not among the engine's"):
        tts.play(ParetoPick(N=6), replace(told, rewards=("beauty",)), toy_engine())
