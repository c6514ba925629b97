"""Searches over the initial noise, against their limiting cases."""

from __future__ import annotations

import math
import random

import pytest
from toy import EVERY, GAPPY, PLANS, World, chaotic, constant, luck
from toy_engine import Player, toy_engine
from toy_rounds import best_so_far, played

from tts.errors import EngineError, SettingError
from tts.noise import Band, Box, Noise, NoiseBank, Turn
from tts.playing import play
from tts.recipe import Recipe
from tts.search.adaptive import Adaptive
from tts.search.base import INITIAL, Problem, Search
from tts.search.best_of_n import BestOfN
from tts.search.cross_entropy import CrossEntropy
from tts.search.evosearch import EvoSearch
from tts.search.naive import Naive
from tts.search.paths import Paths
from tts.search.segment import Evaluation, State
from tts.search.ses import SES
from tts.search.trs import TRS, Region
from tts.search.zero_order_initial import ZeroOrderInitial
from tts.settings import parse

SEEDS = range(6)


def evaluation(value: float | None) -> Evaluation:
    return Evaluation(State(0, 0, 0, ()), value, 0)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_round_is_plain_sampling(plan: str, seed: int) -> None:
    assert played(ZeroOrderInitial(K=0), plan, seed) == played(Naive(), plan, seed)


@pytest.mark.parametrize("search", [ZeroOrderInitial(N=3, K=4), TRS(N=4, K=5), EvoSearch(P=5)], ids=type)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_of_all_trajectories_is_taken(search: Search, seed: int) -> None:
    world = World(GAPPY)
    assert world.play(search, seed).reward == best_so_far(world)[-1]


def test_neighbours_turn_the_best_so_far() -> None:
    """Only the initial noise differs, by one turn of the pivot, which keeps it normal."""
    world = World(GAPPY)
    world.play(ZeroOrderInitial(N=3, K=4, b=0.3), 2)
    pivot = world.answers[0][0]
    for segments, answers in zip(world.rounds[1:], world.answers[1:], strict=True):
        center = pivot.state.noises[0]
        assert isinstance(center, Noise)
        for segment in segments:
            assert isinstance(segment.start, Noise)
            assert segment.start.moves[:-1] == center.moves
            assert isinstance(segment.start.moves[-1], Turn)
            assert segment.noises == Problem(3, 2, GAPPY, "toy").default(0, 6)
        pivot = max([pivot, *answers], key=lambda answer: answer.value)
    bank = NoiseBank((3, 16, 16))
    noise = pivot.state.noises[0]
    assert isinstance(noise, Noise)
    assert float(bank(noise).std()) == pytest.approx(1, abs=0.05)


def test_regions_grow_and_shrink_by_the_script() -> None:
    """After three successes in a row and then failures, the edge stays between its bounds."""
    region, lengths = Region(evaluation(0.0), 0.8), []
    for value in (1, 2, 3, 0, 0, 4, 0, 0, 0, 0, 0, 0):
        region.learn(evaluation(value), 0.5, 1.0)
        lengths.append(region.length)
    assert lengths == pytest.approx([0.8, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2 / 3, 2 / 3, 2 / 3, 0.5])
    assert region.centre.value == 4


def test_what_cannot_be_scored_is_no_success() -> None:
    region = Region(evaluation(None), 0.8)
    region.learn(evaluation(None), 0.05, 2.4)
    assert region.streak == -1
    region.learn(evaluation(0.1), 0.05, 2.4)
    assert (region.streak, region.centre.value) == (1, 0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_candidates_are_boxes_around_the_best_of_their_regions(seed: int) -> None:
    world = World(GAPPY)
    world.play(TRS(N=4, K=4, W=2, R=2), seed)
    first = [answer for answers in world.answers[:2] for answer in answers]
    centres = sorted(first, key=lambda answer: -answer.value)[:2]
    for segments, answers in zip(world.rounds[2:], world.answers[2:], strict=True):
        for n, segment in enumerate(segments):
            assert isinstance(segment.start, Noise)
            box = segment.start.moves[-1]
            assert isinstance(box, Box)
            assert 0.1 <= box.share <= 0.9
            assert Noise(segment.start.seed, segment.start.moves[:-1]) == centres[n % 2].state.noises[0]
        for n in range(2):
            centres[n] = max([centres[n], *answers[n::2]], key=lambda answer: answer.value)


def linear(recipe: Recipe) -> float:
    """The sum of the band's coefficients, and nothing else."""
    first = recipe[0]
    assert isinstance(first, Noise)
    return math.fsum(move.value for move in map(_sum, first.moves))


class _sum:
    def __init__(self, move: object) -> None:
        self.value = math.fsum(move.values) if isinstance(move, Band) else 0.0


def test_a_band_climbs_a_linear_reward() -> None:
    """With 48 coefficients, a generation's mean rises from 0, and the winner is the best previewed candidate."""
    world = World(GAPPY, linear)
    chosen = world.play(SES(N=20, K=12, elites=5))
    means = [sum(answer.value for answer in answers) / 20 for answers in world.answers[:-1]]
    assert abs(means[0]) < 8
    assert means[-1] > 20
    assert chosen.reward == max(answer.value for answers in world.answers[:-1] for answer in answers)


def test_elites_are_learned_from_by_hand() -> None:
    assert SES(shape=(1, 8, 16)).dimension == 2
    law = CrossEntropy(2, random.Random(0), smoothing=0.5, least=0.3)
    law.means, law.spreads = [0.0, 1.0], [1.0, 2.0]
    law.learn([(2.0, 4.0), (4.0, 4.0)])
    assert law.means == pytest.approx([1.5, 2.5])
    assert law.spreads == pytest.approx([1.0, math.sqrt(2)])
    law.learn([])
    assert law.means == pytest.approx([1.5, 2.5])
    for _ in range(9):
        law.learn([(0.0, 0.0)])
    assert law.spreads == [0.3, 0.3]


def test_previews_are_cheap_and_the_winner_is_whole() -> None:
    world = World(EVERY)
    world.play(SES(N=4, K=2, preview=2))
    assert [segment.ahead for segment in world.rounds[0]] == [2] * 4
    assert (
        world.rounds[-1][0].start
        == max(
            (answer for answers in world.answers[:-1] for answer in answers), key=lambda answer: answer.value
        ).state.noises[0]
    )
    assert world.nfe == 8 * 2 + 4


def test_bands_are_drawn_from_a_noises_law_at_first() -> None:
    """So the first candidates are normal noises."""
    world = World(EVERY)
    world.play(SES(N=3, K=1))
    noises = [segment.start for segment in world.rounds[0]]
    assert len(set(noises)) == 3
    for noise in noises:
        assert isinstance(noise, Noise)
        assert float(NoiseBank((3, 32, 32))(noise).std()) == pytest.approx(1, abs=0.05)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(SettingError, match=r"multiples of 2\^level = 8"):
        parse(SES, {"shape": [3, 12, 8]}, "ses")
    engine = toy_engine()
    problem = Problem(1, 4, engine.model.sampler.plan, "brightness")
    with pytest.raises(SettingError, match=r"search ses: shape = \[3, 32, 32\], and the model's states are \[3, 8"):
        play(SES(), problem, engine)
    with pytest.raises(SettingError, match="search adaptive: no step that costs forwards has a weight above 0"):
        play(Adaptive(low=200, high=300), problem, engine)
    with pytest.raises(EngineError, match=r"has not 48 values; set the search's shape to \[3, 8, 8\]"):
        Player(engine).ask(problem.preview(Noise(1, (Band(3, (0.0,) * 48),)), 1))


@pytest.mark.parametrize(
    "search",
    [
        ZeroOrderInitial(N=2, K=2),
        Paths(N=2, M=2),
        EvoSearch(P=3, elites=1),
        TRS(N=2, K=2),
        SES(N=3, K=2, shape=(3, 8, 8), level=2, preview=2),
    ],
    ids=lambda search: type(search).__name__,
)
def test_they_play_on_an_engine(search: Search) -> None:
    """Their result can be made again from its recipe, and costs what they state."""
    from tts.playing import replay

    engine = toy_engine()
    problem = Problem(1, 4, engine.model.sampler.plan, "brightness")
    found = play(search, problem, engine)
    assert found.nfe == search.nfe(problem.plan)
    assert replay(found.recipe, 1, engine).rewards["brightness"] == found.reward
    engine.close()


@pytest.mark.parametrize("kind", [ZeroOrderInitial, TRS, SES])
def test_equal_rewards_keep_the_first(kind: type[Search]) -> None:
    world = World(EVERY, constant)
    chosen = world.play(kind())
    first = world.rounds[0][0].start
    assert chosen.state.noises[0] == first


def test_searches_of_the_initial_noise_alone_say_so() -> None:
    assert [kind.only_initial for kind in (ZeroOrderInitial, TRS, SES)] == [True] * 3
    assert [kind.only_initial for kind in (Paths, EvoSearch, BestOfN)] == [False] * 3
    assert luck(INITIAL) != chaotic((Noise(INITIAL),))
