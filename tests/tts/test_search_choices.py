"""Choices of searches, compared with exhaustive oracles and with each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from toy import SEARCHES, transcript

from tts.noise import Noise
from tts.plan import Plan
from tts.search.base import INITIAL, Problem
from tts.search.beam import Beam
from tts.search.best_of_n import BestOfN
from tts.search.eps_greedy import EpsGreedy, LocalSearch
from tts.search.mcts import MCTS
from tts.search.naive import Naive
from tts.search.random import PerStepRandom
from tts.search.segment import Evaluation, State, best, top
from tts.search.zero_order import ZeroOrder
from tts.testing.toy import EVERY, GAPPY, LATE, PLANS, Recipe, World, additive, chaotic, constant, luck, picky

SEEDS = range(6)
TWO = Plan((1, 1), (True, True))


def problem(plan: Plan, seed: int) -> Problem:
    return Problem(3, seed, plan, "toy")


def naive_recipe(plan: Plan, seed: int, candidate: int = 0) -> Recipe:
    """A whole trajectory of default noises."""
    return problem(plan, seed).trajectory(candidate).recipe


def fresh(plan: Plan, seed: int, step: int, n: int, stream: int = 0) -> list[Noise]:
    """The first n noises of a step."""
    return [problem(plan, seed).noise(step, k, stream) for k in range(n)]


@pytest.mark.parametrize("seed", SEEDS)
def test_best_of_n_is_the_best_trajectory(seed: int) -> None:
    chosen = World(GAPPY).play(BestOfN(N=7), seed)
    assert chosen.state.noises == max((naive_recipe(GAPPY, seed, k) for k in range(7)), key=chaotic)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_is_the_best_noise_of_each_step_in_turn(seed: int) -> None:
    recipe: Recipe = (problem(GAPPY, seed).noise(INITIAL),)
    for step, injects in enumerate(GAPPY.injects):
        options = fresh(GAPPY, seed, step, 5) if injects else [None]
        recipe = max(((*recipe, noise) for noise in options), key=chaotic)
    assert World(GAPPY).play(PerStepRandom(N=5), seed).state.noises == recipe


@pytest.mark.parametrize("seed", SEEDS)
def test_random_finds_the_optimum_of_an_additive_reward(seed: int) -> None:
    """Greedy choices are best where noises do not interact."""
    options = [fresh(EVERY, seed, step, 4) for step in range(EVERY.steps)]
    every = [(problem(EVERY, seed).noise(INITIAL), *noises) for noises in itertools.product(*options)]
    assert World(EVERY, additive).play(PerStepRandom(N=4), seed).state.noises == max(every, key=additive)


@pytest.mark.parametrize("seed", SEEDS)
def test_beam_is_the_global_optimum_when_it_holds_every_path(seed: int) -> None:
    """With one choice and B streams, there are only B N paths."""
    streams = [(problem(LATE, seed).noise(INITIAL, stream), None, None) for stream in range(3)]
    every = [(*path, noise) for stream, path in enumerate(streams) for noise in fresh(LATE, seed, 2, 4, stream)]
    assert World(LATE).play(Beam(N=4, B=3), seed).state.noises == max(every, key=chaotic)


@pytest.mark.parametrize("seed", SEEDS)
def test_beam_survivors_are_the_best_of_all_streams(seed: int) -> None:
    """The reference expands every stream, sorts all candidates and keeps B; kept states have their own parents."""
    paths = [(problem(EVERY, seed).noise(INITIAL, stream),) for stream in range(2)]
    for step in range(EVERY.steps):
        wide = [(*path, noise) for stream, path in enumerate(paths) for noise in fresh(EVERY, seed, step, 3, stream)]
        paths = sorted(wide, key=chaotic, reverse=True)[:2]
    assert World(EVERY).play(Beam(N=3, B=2), seed).state.noises == max(paths, key=chaotic)


@pytest.mark.parametrize("seed", SEEDS)
def test_beam_takes_its_final_choice_by_the_final_reward(seed: int) -> None:
    """The last step of this plan injects no noise, so the order of predicted images no longer counts."""
    world = World(GAPPY)
    chosen = world.play(Beam(N=3, B=4), seed)
    assert chosen == max(world.answers[-1], key=lambda answer: chaotic(answer.state.noises))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tree_of_one_choice_picks_the_best_child(seed: int) -> None:
    start = (problem(LATE, seed).noise(INITIAL), None, None)
    every = [(*start, noise) for noise in fresh(LATE, seed, 2, 4)]
    assert World(LATE).play(MCTS(N=4, S=8), seed).state.noises == max(every, key=chaotic)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tree_without_revisits_goes_by_deterministic_rollouts(seed: int) -> None:
    """With S = N, every child is rolled out once, and the best rollout of the step wins."""
    recipe: Recipe = (problem(EVERY, seed).noise(INITIAL),)
    for step in range(EVERY.steps):
        rest = (None,) * (EVERY.steps - step - 1)
        recipe = max(((*recipe, n) for n in fresh(EVERY, seed, step, 3)), key=lambda path: chaotic((*path, *rest)))
    assert World(EVERY).play(MCTS(N=3, S=3), seed).state.noises == recipe


def hidden(recipe: Recipe) -> float:
    """A reward of complete paths only, whose best path is far above the mean of its siblings."""
    return 0.0 if None in recipe else 0.4 * luck(recipe[1]) + 0.6 * luck(recipe[1:])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tree_with_many_simulations_finds_the_best_path(seed: int) -> None:
    start = problem(TWO, seed).noise(INITIAL)
    every = [(start, *pair) for pair in itertools.product(fresh(TWO, seed, 0, 3), fresh(TWO, seed, 1, 3))]
    assert World(TWO, hidden).play(MCTS(N=3, S=1500, c=0.5), seed).state.noises == max(every, key=hidden)


def test_simulations_that_reuse_known_rewards_do_not_end_a_tree() -> None:
    assert World(LATE).play(MCTS(N=2, S=20_000)).state.noises == World(LATE).play(MCTS(N=2, S=2)).state.noises


def test_a_tree_backs_up_through_every_node_of_its_path() -> None:
    """The root's mean is over all simulations below it, so a higher S can change the next choice."""
    few, many = (World(EVERY).play(MCTS(N=2, S=s), seed=1).state.noises for s in (2, 64))
    assert chaotic(many) > chaotic(few)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("seed", SEEDS)
def test_with_one_candidate_all_are_naive(plan: str, seed: int) -> None:
    ones = [Naive(), BestOfN(N=1), PerStepRandom(N=1), Beam(N=1, B=1), MCTS(N=1, S=1)]
    assert {World(PLANS[plan]).play(search, seed).state.noises for search in ones} == {naive_recipe(PLANS[plan], seed)}


@pytest.mark.parametrize("seed", SEEDS)
def test_zero_order_is_eps_greedy_without_eps(seed: int) -> None:
    first, second = World(GAPPY), World(GAPPY)
    first.play(ZeroOrder(N=3, K=4), seed)
    second.play(EpsGreedy(N=3, K=4, eps=0), seed)
    assert first.rounds == second.rounds


def last_noises(world: World) -> list[list[Noise]]:
    """The noises of each round of candidates."""
    return [[s.noises[-1] for s in segments] for segments in world.rounds if segments[0].rewards]


def test_eps_1_tries_fresh_noises_only() -> None:
    world = World(GAPPY)
    world.play(EpsGreedy(N=3, K=4, eps=1))
    assert all(noise.moves == () for noises in last_noises(world) for noise in noises)


def test_eps_is_the_share_of_fresh_noises() -> None:
    world = World(EVERY)
    world.play(EpsGreedy(N=50, K=10, eps=0.3))
    noises = [noise for noises in last_noises(world) for noise in noises]
    assert sum(noise.moves == () for noise in noises) / len(noises) == pytest.approx(0.3, abs=0.04)


def test_moves_are_uniform_up_to_lambda() -> None:
    world = World(EVERY)
    world.play(ZeroOrder(N=50, K=10, lambda_=0.2))
    radii = [noise.moves[-1].radius for noises in last_noises(world) for noise in noises]
    assert 0 <= min(radii) < 0.01
    assert 0.19 < max(radii) <= 0.2
    assert sum(radii) / len(radii) == pytest.approx(0.1, abs=0.01)


def test_zero_order_starts_around_the_default_noise() -> None:
    world = World(GAPPY)
    world.play(ZeroOrder(N=3, K=1), seed=2)
    default = problem(GAPPY, 2).noise(1)
    assert all(len(noise.moves) == 1 and noise.seed == default.seed for noise in last_noises(world)[0])


def rounds_of(world: World, K: int) -> list[list[list[Evaluation]]]:
    """Answers of scored rounds, K for each searched step."""
    scored = [answers for answers in world.answers if answers[0].reward is not None]
    return [scored[k : k + K] for k in range(0, len(scored), K)]


@pytest.mark.parametrize("keep_best", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_candidates_move_the_pivot(keep_best: bool, seed: int) -> None:
    """The pivot is the best so far; without ``keep_best`` it is the last round's best, even if that is worse."""
    world = World(GAPPY)
    world.play(ZeroOrder(N=3, K=5, keep_best=keep_best), seed)
    for rounds in rounds_of(world, 5):
        for k in range(1, 5):
            pool = [answer for answers in rounds[:k] for answer in answers] if keep_best else rounds[k - 1]
            pivot = best(pool).state.noises[-1]
            assert {a.state.noises[-1].moves[:-1] for a in rounds[k]} == {pivot.moves}


@pytest.mark.parametrize("kind", [ZeroOrder, EpsGreedy])
@pytest.mark.parametrize("seed", SEEDS)
def test_keeping_the_best_never_falls(kind: type[LocalSearch], seed: int) -> None:
    """With keeping, the step's state is the best of all rounds; with replacing, the best of the last round."""
    for keep_best in (True, False):
        world = World(GAPPY)
        chosen = world.play(kind(N=3, K=5, keep_best=keep_best), seed).state.noises
        for step, rounds in zip(GAPPY.noisy_steps, rounds_of(world, 5), strict=True):
            pool = [answer for answers in rounds for answer in answers] if keep_best else rounds[-1]
            assert chosen[: step + 2] == best(pool).state.noises


def test_replacing_can_lose_what_keeping_keeps() -> None:
    """The two modes differ; otherwise the tests above would prove nothing."""
    kept, replaced = (World(EVERY).play(ZeroOrder(N=2, K=8, keep_best=keep)).state.noises for keep in (True, False))
    assert kept != replaced


def evaluation(reward: float | None, key: int) -> Evaluation:
    return Evaluation(State(key, 0, 0, ()), reward, 0)


def test_ties_go_to_the_first() -> None:
    candidates = [evaluation(reward, key) for key, reward in enumerate([0.1, 0.5, 0.5, 0.5])]
    assert best(candidates).state.key == 1
    assert [candidate.state.key for candidate in top(candidates, 3)] == [1, 2, 3]


def test_the_unscored_lose_against_any_score() -> None:
    candidates = [evaluation(reward, key) for key, reward in enumerate([None, -1e9, None])]
    assert best(candidates).state.key == 1
    assert [candidate.state.key for candidate in top(candidates, 3)] == [1, 0, 2]


@pytest.mark.parametrize("name", ["best_of_n", "random", "beam", "mcts", "mcts_wide"])
def test_when_all_are_equal_the_first_candidates_win(name: str) -> None:
    assert World(GAPPY, constant).play(SEARCHES[name]).state.noises == naive_recipe(GAPPY, 0)


@pytest.mark.parametrize("kind", [ZeroOrder, EpsGreedy])
def test_a_pivot_yields_to_better_candidates_only(kind: type[LocalSearch]) -> None:
    """If all candidates are equal, each step keeps the first candidate of its first round."""
    world = World(GAPPY, constant)
    chosen = world.play(kind(N=2, K=4), seed=1)
    firsts = [rounds[0][0].state.noises[-1] for rounds in rounds_of(world, 4)]
    assert [noise for noise in chosen.state.noises[1:] if noise] == firsts


@pytest.mark.parametrize("name", ["best_of_n", "random", "beam"])
@pytest.mark.parametrize("seed", SEEDS)
def test_chooses_a_scored_candidate_where_there_is_one(name: str, seed: int) -> None:
    world = World(LATE, picky)
    chosen = world.play(SEARCHES[name], seed)
    scored = [answer for answers in world.answers for answer in answers if answer.reward is not None]
    assert (picky(chosen.state.noises) is None) == (not scored)


def test_streams_and_candidates_have_noises_of_their_own() -> None:
    asked = problem(EVERY, 0)
    noises = {asked.noise(*place) for place in itertools.product(range(-1, 4), range(4), range(3))}
    assert len(noises) == 5 * 4 * 3


def test_problems_have_noises_of_their_own() -> None:
    assert problem(EVERY, 0).noise(0) != problem(EVERY, 1).noise(0)
    assert problem(EVERY, 0).coins().random() == problem(EVERY, 0).coins().random()


@pytest.mark.parametrize("hash_seed", [1, 2])
def test_same_segments_in_another_process(fresh_python: Callable[..., str], hash_seed: int) -> None:
    code = "import toy; print([toy.transcript(name, 'gappy', 5) for name in toy.SEARCHES])"
    assert fresh_python(code, hash_seed) == repr([transcript(name, "gappy", 5) for name in SEARCHES])
