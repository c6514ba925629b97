"""Beams that thin out, depth-first search and diffusion trees, against their limiting cases."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
from toy import EVERY, GAPPY, PLANS, World, chaotic, constant

from tts.plan import Plan
from tts.recipe import Back
from tts.search.base import Problem
from tts.search.beam import Beam
from tts.search.best_of_n import BestOfN
from tts.search.dfs import DFS
from tts.search.dsearch import DSearch
from tts.search.dts import DTS, Node
from tts.search.naive import Naive
from tts.search.random import PerStepRandom
from tts.search.segment import State

SEEDS = range(6)
LONG = Plan((1,) * 12, (True,) * 12, initial_nfe=0, back=1)
HEUN = Plan((2,) * 17 + (1,), tuple(2 <= step <= 14 for step in range(18)))


@pytest.mark.parametrize("plan", ["every", "gappy", "ahead", "late"])
@pytest.mark.parametrize("seed", SEEDS)
def test_one_beam_that_always_searches_is_per_step_random(plan: str, seed: int) -> None:
    found = World(PLANS[plan]).play(DSearch(w=5, b0=1, always=True), seed).state.noises
    assert found == World(PLANS[plan]).play(PerStepRandom(N=5), seed).state.noises


def test_beams_thin_out_and_widen() -> None:
    search = DSearch(w=5, b0=5, always=True)
    counts = search.beams(LONG)
    assert (counts[0], counts[-2], counts[-1]) == (5, 1, 1)
    assert counts == sorted(counts, reverse=True)
    world = World(LONG)
    world.play(search)
    assert [len(segments) for segments in world.rounds[1:-1]] == [b * (25 // b) for b in counts[:-1]]
    assert world.nfe == search.nfe(LONG)


def test_late_steps_are_searched_more_often() -> None:
    searched = [0] * 12
    for seed in range(200):
        world = World(LONG)
        world.play(DSearch(w=2, b0=1), seed)
        for step, segments in enumerate(world.rounds[1:-1]):
            searched[step] += len(segments) > 1
    for step, count in enumerate(searched):
        assert count / 200 == pytest.approx(1 - math.exp(-3 * step / 11), abs=0.12)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_beams_best_goes_on_before_the_best_of_all(seed: int) -> None:
    """With two beams, a second candidate of the better beam does not push the other beam out."""
    world = World(EVERY)
    world.play(DSearch(w=3, b0=2, always=True), seed)
    parents = [segment.recipe[:-1] for segment in world.rounds[2]]
    tried = [answer.state.noises for answer in world.answers[1]]
    winners = [max(tried[:3], key=chaotic), max(tried[3:], key=chaotic)]
    assert set(parents) <= set(winners)


@pytest.mark.parametrize("lookahead", [0, 1, 3])
def test_a_beam_that_does_not_look_ahead_is_a_beam(lookahead: int) -> None:
    """With one noise and one state there is nothing to choose, for any look-ahead."""
    found = World(GAPPY).play(Beam(N=1, B=1, lookahead=lookahead), 3).state.noises
    assert found == World(GAPPY).play(Naive(), 3).state.noises


@pytest.mark.parametrize("seed", SEEDS)
def test_a_beam_that_looks_ahead_sorts_by_what_it_sees(seed: int) -> None:
    """The reference has two beams with three noises each, judged two deterministic steps later."""
    problem = Problem(3, seed, EVERY, "toy")
    paths = [problem.start(stream).recipe for stream in range(2)]
    for step in range(4):
        wide = [(*path, problem.noise(step, k, stream)) for stream, path in enumerate(paths) for k in range(3)]
        ahead = (None,) * min(2, 3 - step)
        paths = sorted(wide, key=lambda path, ahead=ahead: chaotic((*path, *ahead)), reverse=True)[:2]  # type: ignore[misc]
    assert World(EVERY).play(Beam(N=3, B=2, lookahead=2), seed).state.noises == max(paths, key=chaotic)


def backs(world: World) -> Iterator[Back]:
    for segments in world.rounds:
        for segment in segments:
            yield from (action for action in segment.noises if isinstance(action, Back))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_threshold_below_all_is_plain_sampling(plan: str, seed: int) -> None:
    found = World(PLANS[plan]).play(DFS(threshold=-9, every=1, back=2), seed).state.noises
    assert found == World(PLANS[plan]).play(Naive(), seed).state.noises


@pytest.mark.parametrize("tries", [0, 1, 5])
def test_a_threshold_above_all_turns_as_often_as_it_may(tries: int) -> None:
    world = World(LONG)
    search = DFS(threshold=9, every=4, back=3, tries=tries)
    chosen = world.play(search, 1)
    assert len(list(backs(world))) == tries
    looks = [answer for answers in world.answers for answer in answers if answer.state.step == 4]
    assert len(looks) == 1 + tries
    finest = max(looks, key=lambda answer: chaotic(answer.state.noises))
    assert chosen.state.noises[: len(finest.state.noises)] == finest.state.noises
    assert world.nfe == search.nfe(LONG) == 12 + tries * (1 + 3)


def test_no_noise_comes_twice_in_a_trajectory() -> None:
    """This includes steps that are taken again and ways back."""
    for seed in range(20):
        recipe = World(LONG).play(DFS(threshold=0.7, every=2, back=3, tries=9), seed).state.noises
        noises = [action.noise if isinstance(action, Back) else action for action in recipe]
        assert len(set(noises)) == len(noises)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("seed", SEEDS)
def test_one_trajectory_is_plain_sampling(plan: str, seed: int) -> None:
    world = World(PLANS[plan])
    found = world.play(DTS(NFE=PLANS[plan].nfe()), seed).state.noises
    assert found == World(PLANS[plan]).play(Naive(), seed).state.noises
    assert world.nfe == PLANS[plan].nfe()


def roots_before_the_first_descent(world: World) -> int:
    """Number of new trajectories before the first one that starts from a state in the tree."""
    begun, ended = 0, True
    for [segment] in world.rounds:
        anew = not isinstance(segment.start, State)
        if ended and not anew:
            return begun
        begun, ended = begun + anew, segment.stop == world.plan.steps
    raise AssertionError("it never went down")


def test_the_papers_tree_is_best_of_n_for_its_first_36_iterations() -> None:
    plan = PLANS["every"]
    found = World(plan).play(DTS(NFE=36 * plan.nfe(), C_w=2, alpha=0.8), 4)
    assert found.state.noises == World(plan).play(BestOfN(N=36), 4).state.noises
    world = World(plan)
    world.play(DTS(NFE=40 * plan.nfe(), C_w=2, alpha=0.8), 4)
    assert roots_before_the_first_descent(world) == 36


def test_the_defaults_go_down_from_the_third_iteration_on() -> None:
    world = World(HEUN)
    world.play(DTS(NFE=4 * 35))
    assert roots_before_the_first_descent(world) == 2


def tree(search: DTS, plan: Plan, seed: int, score: object = chaotic) -> Node:
    """The tree that a search has grown."""
    roots: list[Node] = []

    class Watched(DTS):
        def _path(self, root: Node, coins: random.Random, depth: int) -> list[Node]:
            roots.append(root)
            return super()._path(root, coins, depth)

    World(plan, score).play(Watched(**search.record()), seed)  # type: ignore[arg-type]
    return roots[0]


def nodes(root: Node) -> Iterator[Node]:
    yield root
    for child in root.children:
        yield from nodes(child)


@pytest.mark.parametrize("star", [True, False])
def test_of_a_constant_reward_every_value_is_the_constant(star: bool) -> None:
    root = tree(DTS(NFE=300, star=star), LONG, 0, constant)
    assert len(list(nodes(root))) > 20
    assert all(node.value == pytest.approx(0.5) for node in nodes(root))


@pytest.mark.parametrize("star", [True, False])
@pytest.mark.parametrize(("C_w", "alpha"), [(1, 0.5), (2, 0.8), (1.5, 0.3)])
def test_a_node_has_as_many_children_as_its_visits_allow(star: bool, C_w: float, alpha: float) -> None:
    root = tree(DTS(NFE=900, star=star, C_w=C_w, alpha=alpha), LONG, 1)
    for node in nodes(root):
        assert len(node.children) <= C_w * node.visits**alpha + 1


@pytest.mark.parametrize("scale", [1e-9, 3.0, 1e9])
def test_values_are_soft_maxima_by_hand(scale: float) -> None:
    """The root has three trajectories; a small lambda gives their mean, a large one their maximum."""
    root = tree(DTS(NFE=3 * 12, lambda_=scale, C_w=9), LONG, 2)
    rewards = []
    for child in root.children:
        while child.children:
            [child] = child.children
        assert child.state is not None
        rewards.append(chaotic(child.state.noises))
    assert len(rewards) == 3
    by_hand = {1e-9: sum(rewards) / 3, 1e9: max(rewards)}
    exact = math.log(sum(math.exp(3 * reward) for reward in rewards) / 3) / 3
    assert root.value == pytest.approx(by_hand.get(scale, exact), abs=1e-6)


def test_a_tree_that_may_not_grow_ends() -> None:
    """With one child per node, every way down leads to the known leaf."""
    world = World(EVERY)
    world.play(DTS(NFE=500, C_w=0.01, alpha=0.01))
    assert world.nfe == EVERY.nfe()


def test_a_greedy_tree_goes_down_to_the_best() -> None:
    """Without exploration and with a large lambda, the best child of the root has the most visits."""
    world = World(LONG)
    world.play(DTS(NFE=200, c=0, lambda_=1e6), 3)
    root = tree(DTS(NFE=200, c=0, lambda_=1e6), LONG, 3)
    finest = max(root.children, key=lambda child: child.value)
    assert finest.visits == max(child.visits for child in root.children)


def test_branches_are_where_noise_is_injected_next() -> None:
    assert DTS(branch=(0.2, 0.4, 0.6, 0.8)).stops(Plan((1,) * 50, (True,) * 50)) == (10, 20, 30, 40, 50)
    assert DTS().stops(HEUN) == (4, 7, 11, 14, 18)
    assert DTS(branch=(0.05, 0.06, 0.95)).stops(HEUN) == (2, 18)
