"""Whole trajectories outside of any search."""

from __future__ import annotations

from collections.abc import Callable

from tts.noise import Noise
from tts.plan import Condition, Plan
from tts.search.segment import Segment


def trajectory(plan: Plan, noise: Callable[[int], Noise], condition: Condition, reward: str) -> Segment:
    """A whole trajectory, scored at its end.

    Args:
        plan: which steps inject noise.
        noise: the noise of each such step, counted from 1, and for 0 the initial one.
        condition: a class index or a prompt.
        reward: name of the reward, or all of them.
    """
    actions = tuple(noise(step) if injects else None for step, injects in enumerate(plan.injects, 1))
    return Segment(noise(0), actions, condition, reward)
