"""Searches that spread a budget over the steps, or mix a step's noises, against their limiting cases."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest
from toy import EVERY, GAPPY, PLANS, World, chaotic, constant
from toy_engine import Player, toy_engine

from tts.errors import SearchError, SettingError
from tts.noise import Mixture, Noise, NoiseBank
from tts.plan import Plan
from tts.recipe import Recipe
from tts.search.adaptive import Adaptive
from tts.search.base import Problem, Search
from tts.search.best_of_n import BestOfN
from tts.search.demon import Demon, mixture
from tts.search.pruned import Pruned
from tts.search.random import PerStepRandom
from tts.search.rbf import RBF
from tts.search.segment import Segment
from tts.settings import parse

SEEDS = range(6)
HEUN = Plan((2,) * 17 + (1,), tuple(2 <= step <= 14 for step in range(18)), levels=tuple(range(18, -1, -1)))
NOISY = ["every", "gappy", "ahead", "late"]


def widths(world: World) -> list[int]:
    """Candidates of each noisy step, in order."""
    counts: dict[int, int] = {}
    for segments in world.rounds:
        for segment in segments:
            if len(segment.noises) == 1 and segment.noises[0] is not None:
                counts[segment.first] = counts.get(segment.first, 0) + 1
    return list(counts.values())


def played(search: Search, plan: str, seed: int) -> Recipe:
    return World(PLANS[plan]).play(search, seed).state.noises


def test_a_step_without_a_better_candidate_spends_its_whole_share() -> None:
    """With a constant reward, nothing beats the first candidate: each step spends 6 candidates, the last the rest."""
    world = World(EVERY, constant)
    chosen = world.play(RBF(NFE=24), 1)
    assert widths(world) == [1, 11, 6, 6]
    assert chosen.state.noises == Problem(3, 1, EVERY, "toy").trajectory().recipe


def test_a_reward_that_always_grows_takes_one_a_step_and_the_rest_at_the_last() -> None:
    world = World(EVERY, lambda recipe: len(recipe) + chaotic(recipe))
    world.play(RBF(NFE=24))
    assert widths(world) == [1, 1, 1, 21]
    best_last = max(world.answers[-21:], key=lambda answers: answers[0].value)
    assert World(EVERY, lambda recipe: len(recipe) + chaotic(recipe)).play(RBF(NFE=24)).reward == best_last[0].reward


@pytest.mark.parametrize("nfe", [1, 35, 36, 64, 127, 128, 500])
@pytest.mark.parametrize("seed", range(3))
def test_a_forced_budget_is_spent_to_the_last_candidate(nfe: int, seed: int) -> None:
    """On Heun's steps, less than one candidate of NFE is left; on steps of one forward, nothing."""
    for plan, rest in ((HEUN, 2), (EVERY, 1), (PLANS["ahead"], 1), (GAPPY, 2)):
        world = World(plan)
        world.play(RBF(NFE=nfe), seed)
        whole = max(nfe, plan.nfe())
        assert whole - rest < world.nfe == RBF(NFE=nfe).nfe(plan) <= whole


def test_costs_that_differ_stay_below_the_budget() -> None:
    plan = Plan((3, 1, 2, 3), (True,) * 4)
    for nfe in range(9, 60):
        world = World(plan)
        world.play(RBF(NFE=nfe))
        assert nfe - 3 < world.nfe <= RBF(NFE=nfe).nfe(plan) == nfe


@pytest.mark.parametrize("plan", NOISY)
@pytest.mark.parametrize("seed", SEEDS)
def test_equal_weights_are_per_step_random(plan: str, seed: int) -> None:
    same = PerStepRandom(N=5)
    assert played(Adaptive(NFE=same.nfe(PLANS[plan]), weights="equal"), plan, seed) == played(same, plan, seed)


@pytest.mark.parametrize("nfe", [1, 35, 64, 301])
@pytest.mark.parametrize("weights", ["equal", "study", tuple(range(13)), (0,) * 13])
def test_shares_of_a_budget_never_exceed_it(nfe: int, weights: object) -> None:
    for more in ({}, {"N": 3, "eps": 0.4}):
        search = parse(Adaptive, {"NFE": nfe, "weights": weights, "low": 4, "high": 9, **more}, "adaptive")
        world = World(HEUN)
        world.play(search)
        assert (world.nfe, world.depth) == (search.nfe(HEUN), search.depth(HEUN))
        assert world.nfe <= max(nfe, HEUN.nfe())
        early = World(HEUN)
        early.play(parse(Adaptive, {**search.record(), "N": 1, "stop_early": True}, "adaptive"))
        assert early.nfe <= world.nfe


def test_the_studys_profile_searches_where_the_noise_level_says() -> None:
    search = Adaptive(NFE=235, low=4, high=8)
    assert [step for step, count in search.counts(HEUN).items() if count > 1] == [10, 11, 12, 13, 14]
    assert sum(search.counts(HEUN).values()) == 13 + 100


def test_weights_are_shares() -> None:
    assert list(Adaptive(NFE=4 + 12, weights=(0, 1, 2, 3)).counts(EVERY).values()) == [1, 3, 5, 7]


def test_weights_that_do_not_fit_are_told() -> None:
    with pytest.raises(SearchError, match="has 2 weights for 4 steps that inject noise; set weights to one for each"):
        Adaptive(weights=(1, 2)).nfe(EVERY)
    with pytest.raises(SearchError, match="noise levels, which this sampler does not tell; set weights to equal"):
        Adaptive().nfe(Plan((1, 1), (True, True)))


def test_a_step_that_gains_little_leaves_its_share_to_the_next() -> None:
    """At the last step all candidates are equal, so no round gains less than the one before: it spends the rest."""
    counts = []
    for early in (False, True):
        world = World(EVERY, lambda recipe: chaotic(recipe) if len(recipe) < 5 else 0.5)
        world.play(Adaptive(NFE=44, weights="equal", N=1, stop_early=early))
        counts.append(widths(world))
    assert counts[0] == [11] * 4
    assert sum(counts[1]) == 44
    assert min(counts[1]) < 11 < counts[1][-1]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("seed", SEEDS)
def test_keeping_all_is_best_of_n(plan: str, seed: int) -> None:
    assert played(Pruned(N=5, keep=(1, 1, 1)), plan, seed) == played(BestOfN(N=5), plan, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_pruning_keeps_the_best_predictions(seed: int) -> None:
    """Of six trajectories, the best three go on after two steps, and the best two of these after four."""
    problem = Problem(3, seed, GAPPY, "toy")
    lanes = list(range(6))
    for stop, count in ((2, 3), (4, 2)):
        kept = sorted(lanes, key=lambda k, stop=stop: -chaotic(problem.trajectory(k).recipe[: stop + 1]))[:count]  # type: ignore[misc]
        lanes = [k for k in lanes if k in kept]
    best = max((problem.trajectory(k).recipe for k in lanes), key=chaotic)
    assert World(GAPPY).play(Pruned(N=6, keep=(0.5, 0.5), at=(0.3, 0.7)), seed).state.noises == best


def test_pruning_on_the_papers_steps() -> None:
    plan = Plan((1,) * 20, (True,) * 20)
    assert Pruned(N=20).parts(plan) == [(2, 20), (6, 8), (11, 4), (20, 2)]
    assert Pruned(N=20).nfe(plan) == 40 + 32 + 20 + 18


def test_cuts_that_do_not_fit_are_refused() -> None:
    for wrong in ({"keep": [0.5]}, {"at": [0.5, 0.3, 0.2]}):
        with pytest.raises(SettingError, match="keep and at must be of one length, and at must rise"):
            parse(Pruned, wrong, "pruned")


def test_a_mixture_gains_as_much_as_theory_says() -> None:
    """For a linear reward over 200 seeds, the mean gain is sqrt(n - 1) |g|; the best of n = 16 gains 1.77."""
    shape, n = (3, 8, 8), 16
    bank = NoiseBank(shape)
    g = np.random.default_rng(0).normal(size=shape)
    gains = []
    for seed in range(200):
        problem = Problem(0, seed, EVERY, "toy")
        noises = [problem.noise(0, k) for k in range(n)]
        values = [float((g * bank(noise)).sum()) for noise in noises]
        mixed = mixture(noises, [value - fmean(values) for value in values])
        assert float((bank(mixed).astype(float) ** 2).sum()) == pytest.approx(math.prod(shape), rel=1e-5)
        gains.append(float((g * bank(mixed)).sum()))
    expected = math.sqrt(n - 1) * float(np.sqrt((g**2).sum()))
    d = math.prod(shape)
    assert fmean(gains) == pytest.approx(expected / math.sqrt(1 + (n - 1) / d), rel=0.05)


def test_demon_goes_on_from_the_mixture_unseen() -> None:
    world = World(EVERY)
    chosen = world.play(Demon(K=4), 2)
    problem = Problem(3, 2, EVERY, "toy")
    for step, noise in enumerate(chosen.state.noises[1:]):
        assert isinstance(noise, Noise)
        [move] = noise.moves
        assert isinstance(move, Mixture)
        assert (noise.seed, *move.seeds) == tuple(problem.noise(step, k).seed for k in range(4))
        values = [answer.value for answer in world.answers[1 + 2 * step]]
        assert np.corrcoef(values, (move.own, *move.weights))[0, 1] > 0.9


def test_equal_rewards_have_equal_weights() -> None:
    chosen = World(EVERY, constant).play(Demon(K=4)).state.noises
    moves = [noise.moves[0] for noise in chosen[1:] if isinstance(noise, Noise)]
    assert all(isinstance(move, Mixture) and {move.own, *move.weights} == {0.25} for move in moves)


def test_a_rollout_is_judged_by_the_final_image() -> None:
    """With a look-ahead over all remaining steps, it is the reward of the trajectory that goes on without noise."""
    world = World(EVERY)
    world.play(Demon(K=3, rollout=9))
    for segment, answer in zip(world.rounds[1], world.answers[1], strict=True):
        assert answer.reward == chaotic((*segment.recipe, None, None, None))


@pytest.mark.parametrize("reward", ["brightness"])
def test_demon_plays_on_an_engine(reward: str) -> None:
    """A mixture is a noise like any other, so the chosen image can be made again from its recipe."""
    engine = toy_engine()
    plan = engine.model.sampler.plan
    from tts.playing import play

    found = play(Demon(K=3, rollout=2), Problem(1, 4, plan, reward), engine)
    first, *others = found.recipe
    assert isinstance(first, Noise)
    [again] = Player(engine).ask(Segment(first, tuple(others), 1, reward))
    assert again.scores[reward] == found.reward
    assert found.nfe == Demon(K=3, rollout=2).nfe(plan)
    engine.close()
