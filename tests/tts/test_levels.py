"""Rewards that ask for noise levels get them: in padded and divided batches, for kept images and in ensembles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from toy_engine import SAMPLER, ToyModel

import tts
from tts.engine.asking import ask, ask_places
from tts.engine.batching import Engine
from tts.errors import EngineError
from tts.plan import Condition, Plan
from tts.rewards.base import Score, score_at
from tts.rewards.brightness import Brightness
from tts.rewards.ensembles import Combined
from tts.samplers.heun import StochasticHeun
from tts.search.base import Problem
from tts.search.beam import Beam


class Level:
    """A reward whose value is the level, and that remembers the levels."""

    levelled = True

    def __init__(self, host: bool) -> None:
        self.host, self.told = host, list[float]()

    def score(self, images: Tensor, conditions: Sequence[Condition], levels: Sequence[float]) -> list[Score]:
        self.told += levels
        return [-level for level in levels]


def test_a_plan_tells_the_level_after_each_step() -> None:
    plan = StochasticHeun(steps=4).plan
    assert [plan.level(step) for step in range(5)] == [*plan.levels[:4], 0.0]
    bare = Plan((1, 1), (True, True))
    assert math.isnan(bare.level(1))
    assert bare.level(2) == 0.0


@pytest.mark.parametrize("host", [True, False])
def test_an_engine_tells_the_level_of_each_image(host: bool) -> None:
    """Predicted images have their state's level; final images and those of a look-ahead have 0."""
    reward, plan = Level(host), SAMPLER.plan
    engine = Engine(ToyModel(), {"level": reward}, 4)  # type: ignore[dict-item]
    problem = Problem(0, 3, plan, "level")
    noisy = {plan.level(step + 1) for step in plan.noisy_steps}
    found = tts.play(Beam(N=2, B=1), problem, engine)
    assert set(reward.told) == {*noisy, 0.0}
    assert len(noisy) > 1
    assert found.reward == 0
    reward.told.clear()
    tts.play(Beam(N=2, B=1, lookahead=2), problem, engine)
    assert set(reward.told) == {0.0}
    engine.close()


def test_levels_stay_with_their_images_where_each_is_tried_alone() -> None:
    class Choosy(Level):
        def score(self, images: Tensor, conditions: Sequence[Condition], levels: Sequence[float]) -> list[Score]:
            if 2.0 in levels:
                raise ValueError("no")
            return super().score(images, conditions, levels)

    images = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    found, errors = ask_places("level", Choosy(True), images, [0, 0, 0], {0: 5, 1: 6, 2: 7}, [1.0, 2.0, 3.0])
    assert found == {5: -1.0, 7: -3.0}
    assert list(errors) == [6]


def test_who_does_not_know_levels_says_so_and_others_are_not_told() -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(EngineError, match="reward level failed: EngineError: it needs noise levels"):
        ask("level", Level(True), images, [0, 0])
    ensemble = Combined([Level(True), Brightness().load()], [lambda value: 2 * value, lambda value: value])
    assert ensemble.levelled
    assert score_at(ensemble, images, [0, 0], [1.0, 3.0]) == [-2.0, -6.0]
