"""Optimisers with ask and tell: repeatable, independent of each other, and better than chance on a sloped reward."""

from __future__ import annotations

import math
import random
import subprocess
import sys

import pytest
from toy import EVERY, GAPPY, World, chaotic

from tts.errors import SearchError, SettingError
from tts.noise import Mixture, Noise
from tts.recipe import Recipe
from tts.search.ask_tell import AskTell, losses
from tts.search.base import Problem
from tts.search.optimisers import OPTIMISERS
from tts.settings import parse

METHODS = [
    ("own", None),
    ("cma", None),
    ("nevergrad", None),
    ("nevergrad", "OnePlusOne"),
    ("optuna", None),
    ("optuna", "qmc"),
    ("optuna", "random"),
]


def weights(recipe: Recipe) -> tuple[float, ...]:
    """The weights of an initial noise's mixture, at unit length."""
    first = recipe[0]
    assert isinstance(first, Noise)
    [move] = first.moves
    assert isinstance(move, Mixture)
    found = (move.own, *move.weights)
    return tuple(weight / math.hypot(*found) for weight in found)


def sloped(recipe: Recipe) -> float:
    """A reward that grows along one direction of the weights."""
    return weights(recipe)[0] + 0.5 * weights(recipe)[1]


@pytest.mark.parametrize(("optimiser", "method"), METHODS)
def test_what_it_asks_does_not_depend_on_what_runs_beside_it(optimiser: str, method: str | None) -> None:
    """Two of a kind that alternate, with draws of global randomness in between, ask what each asks alone."""
    import numpy as np

    def points(seed: int, beside: int) -> list[object]:
        made = [OPTIMISERS[optimiser](3, 4, random.Random(s), method, 3) for s in (seed, beside)]
        found: list[object] = []
        for _ in range(3):
            for each in made:
                asked = each.ask()
                np.random.rand(beside)
                random.random()
                each.tell(asked, [sum(x * x for x in point) for point in asked])
                found += [asked] if each is made[0] else []
        return found

    assert points(5, 6) == points(5, 7)
    assert points(5, 6) != points(6, 5)


@pytest.mark.parametrize(("optimiser", "method"), [each for each in METHODS if each[1] not in ("qmc", "random")])
def test_it_climbs_a_slope(optimiser: str, method: str | None) -> None:
    """With 96 mixtures of eight noises, it finds more than chance does."""
    found = []
    for made in ({"optimiser": optimiser, "method": method}, {"optimiser": "optuna", "method": "random"}):
        search = parse(AskTell, {**made, "M": 8, "N": 8, "K": 12}, "ask_tell")
        found.append(sum(World(EVERY, sloped).play(search, seed).value for seed in range(2)))
    assert found[0] > found[1]


@pytest.mark.parametrize(("optimiser", "method"), METHODS)
@pytest.mark.parametrize("size", [1, 3])
def test_batches_of_any_size_cost_what_they_say(optimiser: str, method: str | None, size: int) -> None:
    for score in (chaotic, lambda recipe: None if chaotic(recipe) < 0.7 else 1e9 * chaotic(recipe)):
        world, search = World(GAPPY, score), AskTell(optimiser=optimiser, method=method, M=2, N=size, K=3)
        chosen = world.play(search, 1)
        assert (world.nfe, world.depth) == (search.nfe(GAPPY), search.depth(GAPPY))
        assert chosen.value == max(answer.value for answers in world.answers for answer in answers)


def test_trajectories_differ_in_their_initial_noise_alone() -> None:
    world = World(GAPPY)
    world.play(AskTell(M=3, N=2, K=2), 4)
    problem = Problem(3, 4, GAPPY, "toy")
    for segments in world.rounds:
        for segment in segments:
            assert segment.noises == problem.default(0, 6)
            assert len(weights(segment.recipe)) == 3


def test_losses_of_what_failed_are_those_of_the_worst() -> None:
    assert losses([1.0, -math.inf, 3.0]) == [-1, -1, -3]
    assert losses([-math.inf] * 2) == [0, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"optimiser": "nevergrad", "method": "TwoPointDE"},
            "nevergrad has no such optimiser; did you mean 'TwoPointsDE'",
        ),
        ({"optimiser": "optuna", "method": "tpee"}, "no sampler of optuna's; did you mean 'tpe'"),
    ],
)
def test_unknown_methods_are_told(settings: dict[str, object], message: str) -> None:
    search = parse(AskTell, settings, "ask_tell")
    with pytest.raises(SearchError, match=message):
        World(EVERY).play(search)
    with pytest.raises(SettingError, match=f"^search ask_tell: .*{message}"):
        search.suits(EVERY, ())
    with pytest.raises(SettingError, match="optimiser = 'hyperopt'"):
        parse(AskTell, {"optimiser": "hyperopt"}, "ask_tell")


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(SearchError, match=r"needs the package cma; pip install it, or .* \[optimisers\]"):
        World(EVERY).play(AskTell(optimiser="cma"))
    with pytest.raises(SettingError, match=r"^search ask_tell: optimiser = cma: needs the package cma"):
        AskTell(optimiser="cma").suits(EVERY, ())


def test_other_packages_are_imported_when_they_are_used() -> None:
    code = "import sys, tts.search.ask_tell; print({'cma', 'nevergrad', 'optuna'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
