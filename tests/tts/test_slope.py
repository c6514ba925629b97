"""Slope against theory for linear rewards, and against per-step random search for rewards without a slope."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest
from toy import EVERY, GAPPY, PLANS, World, chaotic, constant

from tts.errors import SettingError
from tts.noise import Mixture, Noise, NoiseBank
from tts.plan import Plan
from tts.recipe import Recipe
from tts.search.base import Problem
from tts.search.linear_fit import slope_of, solved
from tts.search.random import PerStepRandom
from tts.search.segment import Segment
from tts.search.slope import Slope, leaning
from tts.settings import parse

SEEDS = range(6)
NOISY = ["every", "gappy", "ahead", "late"]
SHAPE = (3, 8, 8)
BANK = NoiseBank(SHAPE)
G = np.random.default_rng(0).normal(size=(8, *SHAPE)) / math.sqrt(math.prod(SHAPE))
LONG = Plan((1,) * 20, (True,) * 20)


def linear(recipe: Recipe) -> float:
    """The sum over steps of the noise's component along the step's direction."""
    return math.fsum(
        float((G[k % 8] * BANK(noise)).sum()) for k, noise in enumerate(recipe[1:]) if isinstance(noise, Noise)
    )


def last(segment: Segment) -> Noise:
    """The last noise of a candidate."""
    noise = segment.noises[-1]
    assert isinstance(noise, Noise)
    return noise


def mixed(segments: list[Segment]) -> int:
    """Number of candidates that are mixtures."""
    return sum(
        bool(segment.noises) and segment.noises[-1] is not None and bool(last(segment).moves) for segment in segments
    )


@pytest.mark.parametrize("plan", NOISY)
@pytest.mark.parametrize("seed", SEEDS)
def test_without_mixtures_it_is_per_step_random(plan: str, seed: int) -> None:
    world = World(PLANS[plan])
    found = world.play(Slope(N=5, m=0), seed).state.noises
    assert found == World(PLANS[plan]).play(PerStepRandom(N=5), seed).state.noises
    assert world.depth == PLANS[plan].nfe()


@pytest.mark.parametrize("score", [constant, lambda recipe: None], ids=["equal", "failed"])
@pytest.mark.parametrize("trust", [0.0, 0.4])
def test_where_rewards_are_flat_it_is_per_step_random(score: object, trust: float) -> None:
    """Equal or failed rewards have no slope, so no candidate is spent on mixtures."""
    world, plain = World(GAPPY, score), World(GAPPY, score)  # type: ignore[arg-type]
    found = world.play(Slope(N=6, trust=trust), 1)
    assert found.state.noises == plain.play(PerStepRandom(N=6), 1).state.noises
    tried = {segment.recipe for segments in world.rounds for segment in segments}
    assert tried == {segment.recipe for segments in plain.rounds for segment in segments}


@pytest.mark.parametrize("score", [chaotic, linear], ids=["chaotic", "linear"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_step_is_at_least_the_best_of_its_fresh_noises(score: object, seed: int) -> None:
    """Fresh noises are per-step random's first ones; whatever mixtures do, the best candidate goes on."""
    world = World(EVERY, score)  # type: ignore[arg-type]
    world.play(Slope(N=8, trust=0), seed)
    problem = Problem(3, seed, EVERY, "toy")
    after = [*[segments[0].start for segments in world.rounds[3::2]], None]
    for step in range(4):
        fresh, more = world.answers[1 + 2 * step], world.answers[2 + 2 * step]
        assert [last(segment) for segment in world.rounds[1 + 2 * step]] == [problem.noise(step, k) for k in range(6)]
        chosen = max([*fresh, *more], key=lambda answer: answer.value)
        assert after[step] in (None, chosen.state)
        assert chosen.value >= max(answer.value for answer in fresh)


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("n", [2, 3, 4, 6, 8, 16])
def test_where_the_reward_is_linear_it_gains_more_than_the_best_of_as_many(n: int, rounds: int) -> None:
    """Over 160 steps, a mixture gains sqrt(n - 1) a step on average, the best of n gains 1.03 to 1.77."""
    gains = [
        fmean(World(LONG, linear).play(search, seed).value for seed in range(8)) / 20
        for search in (Slope(N=n, rounds=rounds), PerStepRandom(N=n))
    ]
    assert gains[0] > gains[1]
    if n >= 8:
        fresh = n - 2
        assert gains[0] > 0.85 * math.sqrt(fresh - 1)


def test_mixtures_are_weighted_by_rewards_and_lean_on_the_best() -> None:
    scores = [1.0, -1.0, 0.5, -0.5]
    units = [[float(k == n) for k in range(4)] for n in range(4)]
    length = math.sqrt(2.5)
    first, second, third = leaning(slope_of(units, scores), units[0], 3)
    assert second == pytest.approx([score / length for score in scores])
    assert first == pytest.approx([1 / length + 1, *[score / length for score in scores[1:]]])
    assert third == pytest.approx([1 / length + 0.5, *[score / length for score in scores[1:]]])


def test_no_seed_comes_twice_in_a_trajectory() -> None:
    """This holds within a mixture and over the steps; otherwise one direction would add up."""
    recipe = World(LONG, linear).play(Slope(N=8)).state.noises
    seeds = []
    for noise in recipe:
        assert isinstance(noise, Noise)
        seeds += [noise.seed, *(seed for move in noise.moves if isinstance(move, Mixture) for seed in move.seeds)]
    assert len(set(seeds)) == len(seeds) > 100


def test_mixtures_that_lose_are_given_up_for_a_while() -> None:
    """For a random reward, most steps are per-step random's; for a sloped one, none is."""

    def share(score: object, trust: float) -> float:
        tried = []
        for seed in range(8):
            world = World(LONG, score)  # type: ignore[arg-type]
            world.play(Slope(N=8, trust=trust), seed)
            tried += [mixed(segments) > 0 for segments in world.rounds[2::2]]
        return fmean(tried)

    assert share(linear, 0.4) == 1
    assert share(chaotic, 0) == 1
    assert share(chaotic, 0.4) < 0.8
    assert share(chaotic, 0.8) < 0.4


@pytest.mark.parametrize(("n", "m"), [(2, 0), (3, 0), (4, 1), (6, 1), (7, 2), (16, 2)])
def test_mixtures_at_small_n(n: int, m: int) -> None:
    assert Slope(N=n).mixtures == m


def test_too_many_mixtures_are_refused() -> None:
    with pytest.raises(SettingError, match="m must be at most N - 2 = 2, so that there are two noises to mix"):
        parse(Slope, {"N": 4, "m": 3}, "slope")


def test_the_second_of_few_candidates_is_the_opposite_of_the_first() -> None:
    world = World(EVERY, linear)
    world.play(Slope(N=3), 1)
    for segments in world.rounds[1:5]:
        first, second, third = map(last, segments)
        assert BANK(second) == pytest.approx(-BANK(first), rel=0.1)
        assert not third.moves


def test_later_groups_of_fresh_noises_are_around_the_slope_of_the_earlier_ones() -> None:
    world = World(EVERY, linear)
    world.play(Slope(N=10, rounds=2), 1)
    assert [mixed(segments) for segments in world.rounds[1:7]] == [0, 4, 2, 0, 4, 2]
    assert world.depth == Slope(N=10, rounds=2).depth(EVERY)


def test_a_slope_is_the_ridge_regressions() -> None:
    """numpy gives the reference, for candidates that are not orthogonal."""
    draw = np.random.default_rng(0)
    rows, values = draw.normal(size=(5, 8)), draw.normal(size=5)
    kernel = rows @ rows.T + 0.01 * np.eye(5)
    assert solved(kernel.tolist(), values.tolist()) == pytest.approx(np.linalg.solve(kernel, values))
    inverse = np.linalg.inv(kernel)
    level = (inverse @ values).sum() / inverse.sum()
    expected = (inverse @ (values - level)) @ rows
    assert slope_of(rows.tolist(), values.tolist()) == pytest.approx(expected / np.linalg.norm(expected))
