"""Particles and per-step sampling against limiting cases and their own probability laws."""

from __future__ import annotations

import math
import random
from collections import Counter
from statistics import fmean

import pytest
from toy import EVERY, GAPPY, PLANS, World, additive, chaotic, luck

from tts.noise import Noise
from tts.plan import Plan
from tts.recipe import Recipe
from tts.search.base import INITIAL, Problem
from tts.search.best_of_n import BestOfN
from tts.search.fk import FK
from tts.search.random import PerStepRandom
from tts.search.weights import RESAMPLING, ancestors, drawn, effective, log_mean_exp, softmax, standardised

SEEDS = range(6)
TWO = Plan((1, 1), (True, True), leaps=(1, 1))
WEIGHTS = [0.05, 0.32, 0.0, 0.41, 0.22]


def chi_square(counts: Counter[int], expected: list[float], draws: int) -> float:
    return sum((counts[k] - draws * share) ** 2 / (draws * share) for k, share in enumerate(expected))


@pytest.mark.parametrize("name", RESAMPLING)
def test_resampling_is_unbiased(name: str) -> None:
    """Over seeds, the mean of a count is k times its weight."""
    coins, draws = random.Random(1), 4000
    counts = [RESAMPLING[name](WEIGHTS, 7, coins) for _ in range(draws)]
    assert all(sum(each) == 7 for each in counts)
    for place, weight in enumerate(WEIGHTS):
        assert fmean(each[place] for each in counts) == pytest.approx(7 * weight, abs=0.06)


@pytest.mark.parametrize("name", ["systematic", "ssp"])
@pytest.mark.parametrize("k", [1, 2, 5, 8])
def test_each_count_is_rounded_down_or_up(name: str, k: int) -> None:
    for seed in range(300):
        coins = random.Random(seed)
        drawn_weights = softmax([coins.random() for _ in range(6)], 3.0)
        for weights in (WEIGHTS, drawn_weights, [1.0, 0.0], [0.5, 0.5], [1 / 3] * 3):
            counts = RESAMPLING[name](weights, k, coins)
            assert sum(counts) == k
            for weight, count in zip(weights, counts, strict=True):
                assert math.floor(k * weight + 1e-9) <= count <= math.ceil(k * weight - 1e-9)


def test_lanes_keep_their_order() -> None:
    assert ancestors([2, 0, 1, 1]) == [0, 0, 2, 3]


def test_weights_of_any_size_are_weights() -> None:
    assert softmax([1e6, -1e6, -math.inf], 1e9) == [1, 0, 0]
    assert softmax([-math.inf] * 2, 5) == [0.5, 0.5]
    assert softmax([3.0, 7.0], 0) == [0.5, 0.5]
    assert effective(softmax([0.0] * 5)) == pytest.approx(5)
    assert drawn([0.0, 1.0, 0.0], 1 - 1e-16) == 1
    assert standardised([1.0, 3.0, -math.inf]) == [-1, 1, 0]
    assert standardised([0.1 + 0.2, 0.3]) == [0, 0]
    assert log_mean_exp([1.0, 2.0, 6.0], 1e-9) == pytest.approx(3)
    assert log_mean_exp([1.0, 2.0, 6.0], 1e9) == pytest.approx(6)
    assert log_mean_exp([0.0, -math.inf], 2.0) == pytest.approx(math.log(0.5) / 2)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("seed", SEEDS)
def test_particles_without_weights_are_best_of_k(plan: str, seed: int) -> None:
    found = World(PLANS[plan]).play(FK(k=4, lambda_=0, first=1, every=1), seed)
    assert found.state.noises == World(PLANS[plan]).play(BestOfN(N=4), seed).state.noises


@pytest.mark.parametrize("potential", ["max", "diff", "add", "current"])
@pytest.mark.parametrize("seed", SEEDS)
def test_with_weights_without_end_all_go_on_from_the_best(potential: str, seed: int) -> None:
    world = World(EVERY)
    world.play(FK(k=4, lambda_=1e9, potential=potential, first=2, last=2), seed)
    finest = max(world.answers[0], key=lambda answer: chaotic(answer.state.noises)).state
    assert [segment.start for segment in world.rounds[1]] == [finest] * 4


def test_copies_go_on_with_other_noises() -> None:
    world = World(EVERY)
    world.play(FK(k=4, lambda_=1e9, potential="current", first=1, every=1))
    for segments in world.rounds[1:]:
        assert len({segment.noises for segment in segments}) == 4


@pytest.mark.parametrize("resampling", ["systematic", "multinomial", "ssp"])
def test_ancestors_come_as_often_as_their_weights_say(resampling: str) -> None:
    """Over 2000 seeds, the first noise of a lineage has the softmax law of the reward that it adds."""
    worth = {0: 0.1, 1: 0.9, 2: 0.4}

    def score(recipe: Recipe) -> float:
        return worth[places[recipe[1]]]

    counts: Counter[int] = Counter()
    for seed in range(2000):
        problem = Problem(3, seed, TWO, "toy")
        places = {problem.noise(0, k): k for k in range(3)}
        search = FK(k=3, lambda_=2, potential="current", first=1, last=1, adaptive=False, resampling=resampling)
        world = World(TWO, score)
        world.play(search, seed)
        counts.update(places[segment.recipe[1]] for segment in world.rounds[1])  # type: ignore[index]
    assert chi_square(counts, softmax(list(worth.values()), 2.0), 6000) < 13.8  # 0.1 % with two degrees of freedom


@pytest.mark.parametrize("potential", ["max", "diff", "add", "current"])
def test_the_final_draw_has_the_target_law(potential: str) -> None:
    """For k particles that are never resampled, the law is p(x) exp(lambda R), whatever the potentials were."""
    search, hits, expected = FK(k=3, lambda_=2, potential=potential, first=1, every=1, sample=True), 0, 0.0
    for seed in range(1500):
        world = World(TWO, lambda recipe: 0.3 * luck("small", recipe))
        chosen = world.play(search, seed)
        ends = world.answers[-1]
        hits += chosen is max(ends, key=lambda each: each.value)
        expected += max(softmax([each.value for each in ends], 2.0))
    assert hits == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected / 1500)))


def test_potentials_of_growth_telescope() -> None:
    """Their product along a lineage is exp(lambda R) with the last reward R."""
    search, world = FK(k=2, lambda_=3, potential="diff", first=1, every=1), World(EVERY)
    world.play(search, 4)
    from tts.search.fk import Particle

    particle = Particle(world.answers[0][0])
    for answers in world.answers[:3]:
        particle = search._weighted(Particle(answers[0], particle.statistic, particle.weight, particle.total))
    assert particle.total == pytest.approx(3 * chaotic(world.answers[2][0].state.noises))


def test_tempering_grows_with_the_steps() -> None:
    search = FK(lambda_=10, gamma=0.5)
    assert [search._lambda(step) for step in (0, 1, 2)] == pytest.approx([0, 5, 12.5])
    assert FK(lambda_=10)._lambda(7) == 10


def test_looks_are_where_copies_can_part() -> None:
    assert FK(first=1, every=1).looks(GAPPY) == (1, 3, 4)
    assert FK(first=1, every=1, last=2).looks(GAPPY) == (1, 3)
    assert FK(first=2, every=2).looks(EVERY) == (2,)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cold_draw_takes_the_best(seed: int) -> None:
    cold = World(GAPPY).play(PerStepRandom(N=5, alpha=1e-9), seed)
    assert cold.state.noises == World(GAPPY).play(PerStepRandom(N=5), seed).state.noises


def test_draws_come_as_often_as_their_weights_say() -> None:
    counts, one, worth = Counter[int](), Plan((1,), (True,)), (0.0, 0.5, 0.2)
    for seed in range(3000):
        noises = [Problem(3, seed, one, "toy").noise(0, k) for k in range(3)]
        table = dict(zip(noises, worth, strict=True))
        world = World(one, lambda recipe, table=table: table[recipe[1]])  # type: ignore[misc]
        counts[noises.index(world.play(PerStepRandom(N=3, alpha=0.25), seed).state.noises[1])] += 1  # type: ignore[arg-type]
    assert chi_square(counts, softmax(worth, 4.0), 3000) < 13.8


@pytest.mark.parametrize("plan", ["every", "gappy", "ahead", "late"])
@pytest.mark.parametrize("seed", SEEDS)
def test_one_block_is_best_of_n_that_share_their_start(plan: str, seed: int) -> None:
    problem, steps = Problem(3, seed, PLANS[plan], "toy"), PLANS[plan].steps
    every = [(problem.noise(INITIAL), *problem.default(0, steps, k)) for k in range(4)]
    found = World(PLANS[plan]).play(PerStepRandom(N=4, block=9), seed)
    assert found.state.noises == max(every, key=chaotic)


def test_blocks_find_the_optimum_of_an_additive_reward_by_parts() -> None:
    problem = Problem(3, 2, EVERY, "toy")
    recipe: Recipe = (problem.noise(INITIAL),)
    for first in (0, 2):
        recipe = max(((*recipe, *problem.default(first, first + 2, k)) for k in range(3)), key=additive)
    assert World(EVERY, additive).play(PerStepRandom(N=3, block=2), 2).state.noises == recipe


def test_settings_that_came_later_leave_old_rows_their_identity() -> None:
    assert PerStepRandom().text == '{"N":16}'
    assert PerStepRandom(N=2, block=3).record() == {"N": 2, "block": 3}
    assert isinstance(Problem(3, 0, EVERY, "toy").noise(0), Noise)
