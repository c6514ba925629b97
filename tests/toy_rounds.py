"""Rounds of searches in the toy world: what they have found by each round."""

from __future__ import annotations

import math

from toy import PLANS, World

from tts.recipe import Recipe
from tts.search.base import Search


def played(search: Search, plan: str, seed: int) -> Recipe:
    """The recipe of a search's choice on a plan."""
    return World(PLANS[plan]).play(search, seed).state.noises


def best_so_far(world: World) -> list[float]:
    """The best final reward after each round."""
    steps, found, best = world.plan.steps, list[float](), -math.inf
    for answers in world.answers:
        best = max([best, *(answer.value for answer in answers if answer.state.step == steps)])
        found.append(best)
    return found
