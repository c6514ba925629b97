"""Searches of paths and populations, against their limiting cases."""

from __future__ import annotations

from itertools import pairwise

import pytest
from toy import EVERY, PLANS, World
from toy_rounds import best_so_far, played

from tts.noise import Noise
from tts.recipe import Back
from tts.search.best_of_n import BestOfN
from tts.search.evosearch import START, EvoSearch
from tts.search.paths import Paths

SEEDS = range(6)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("seed", SEEDS)
def test_paths_without_a_round_are_best_of_n(plan: str, seed: int) -> None:
    assert played(Paths(N=3, first=1), plan, seed) == played(BestOfN(N=3), plan, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_branches_go_back_and_the_best_stay(seed: int) -> None:
    world = World(EVERY)
    search = Paths(N=2, M=3, first=0.5, back=0.25, on=0.5)
    assert search.rounds(EVERY) == [(2, 1, 3), (3, 2, 4)]
    chosen = world.play(search, seed)
    assert [segment.rewards for segment in world.rounds[0]] == [(), ()]  # nothing is chosen among them
    for before, segments in zip(world.answers, world.rounds[1:], strict=False):
        parents = before if len(before) == 2 else sorted(before, key=lambda answer: -answer.value)[:2]
        assert [segment.start for segment in segments] == [parent.state for parent in parents for _ in range(3)]
        assert all(isinstance(segment.noises[0], Back) for segment in segments)
    assert chosen.reward == max(answer.value for answer in world.answers[-1])
    assert world.nfe == search.nfe(EVERY) == 2 * 2 + 6 * 2 + 6 * 2


@pytest.mark.parametrize("plan", PLANS)
def test_no_noise_comes_twice_on_a_path(plan: str) -> None:
    for seed in range(10):
        recipe = played(Paths(N=3, M=2, first=0.4, back=0.4, on=0.6), plan, seed)
        noises = [action.noise if isinstance(action, Back) else action for action in recipe if action is not None]
        assert len(set(noises)) == len(noises)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_generation_is_best_of_p(plan: str, seed: int) -> None:
    assert played(EvoSearch(P=4, at=()), plan, seed) == played(BestOfN(N=4), plan, seed)


@pytest.mark.parametrize("plan", PLANS)
def test_elites_alone_ask_for_nothing(plan: str) -> None:
    """They cost neither forwards nor rounds, and the result is best of P."""
    for elites in (4, 9):
        world = World(PLANS[plan])
        found = world.play(EvoSearch(P=4, elites=elites), 1)
        assert world.nfe == 4 * world.plan.nfe() == EvoSearch(P=4, elites=elites).nfe(world.plan)
        assert found.reward == World(PLANS[plan]).play(BestOfN(N=4), 1).reward


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_of_a_population_never_falls(seed: int) -> None:
    world = World(EVERY)
    world.play(EvoSearch(P=6, elites=2), seed)
    assert all(a <= b for a, b in pairwise(best_so_far(world)))


def test_generations_cost_their_ways_to_the_end() -> None:
    """On 50 steps of DDIM, all trajectories cost C, and 26 or 30 mutants start from steps 0, 20, 30 and 40."""
    plan = PLANS["ahead"]
    search = EvoSearch(P=5, elites=2, at=(0, 0.5))
    assert search.generations(plan) == [START, 1]
    assert search.nfe(plan) == 5 * 4 + 3 * 4 + 3 * 2


def test_mutants_share_their_parents_past() -> None:
    """The noise of the generation's step is moved by a whole noise's length; it and later noises differ."""
    world = World(EVERY)
    world.play(EvoSearch(P=5, elites=2, at=(0.5,)), 3)
    parents = {answer.state.noises for answer in world.answers[1]}
    for answer in world.answers[2]:
        mutant = answer.state.noises
        moved = mutant[2]
        assert isinstance(moved, Noise)
        [move] = moved.moves
        assert isinstance(move, tuple)
        assert move.radius == 1
        assert sum(parent[:2] == mutant[:2] and parent[2] == Noise(moved.seed) for parent in parents) == 1
        assert all(parent[3:] != mutant[3:] for parent in parents)


def test_parents_are_among_the_best() -> None:
    """A parent is the best of a random 90 %: of ten trajectories, the best or the second best."""
    world = World(EVERY)
    world.play(EvoSearch(P=10, elites=1, at=(0.5,)), 0)
    ranked = sorted(world.answers[1], key=lambda answer: -answer.value)
    chosen = {segment.recipe[:2] for segment in world.rounds[2]}
    assert chosen <= {answer.state.noises[:2] for answer in ranked[:2]}
