"""What searches over the initial noise have in common."""

from __future__ import annotations

from collections.abc import Sequence

from tts.noise import Noise
from tts.search.base import INITIAL, Problem
from tts.search.segment import Evaluation, Segment


def whole(problem: Problem, start: Noise) -> Segment:
    """A whole trajectory from an initial noise, scored on its final image; the steps' noises are those of plain
    sampling, so that trajectories differ in their initial noise alone.
    """
    return Segment(start, problem.default(0, problem.plan.steps), problem.condition, problem.reward)


def start_of(evaluation: Evaluation) -> Noise:
    """The initial noise of a trajectory."""
    first = evaluation.state.noises[0]
    assert isinstance(first, Noise)  # a recipe starts with one
    return first


def fresh(problem: Problem, candidates: Sequence[int]) -> list[Noise]:
    """Initial noises that are new; candidate 0's is that of plain sampling."""
    return [problem.noise(INITIAL, candidate) for candidate in candidates]
