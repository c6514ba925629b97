"""A search over several rewards, as a user would write it: the pick of a Pareto front."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.plan import Plan
from tts.search.base import Problem, Run, Search
from tts.search.segment import Evaluation


class ParetoPick(Search):
    """Draws N whole trajectories; of those that no other beats in every reward, picks the one whose worst rank is best.

    A trajectory's rank in a reward is the number of trajectories that are strictly better in it. Ties go to the
    problem's own reward, then to the first.
    """

    budget: ClassVar[str] = "N"
    needs_injection: ClassVar[bool] = False
    N: int = Field(8, ge=1, description="trajectories")

    def run(self, problem: Problem) -> Run:
        """Score all trajectories by all rewards that may be searched on, and pick one."""
        found = yield [problem.trajectory(k, scored=problem.rewards) for k in range(self.N)]
        points = [_point(each, problem.rewards) for each in found]
        front = [k for k, point in enumerate(points) if not any(_beats(other, point) for other in points)]
        return found[min(front, key=lambda k: (_worst_rank(points, k), -found[k].value))]

    def nfe(self, plan: Plan) -> int:
        """N C T."""
        return self.N * plan.nfe()

    def depth(self, plan: Plan) -> int:
        """C T."""
        return plan.nfe()


def _point(evaluation: Evaluation, names: tuple[str, ...]) -> tuple[float, ...]:
    """The rewards as numbers; an image that could not be scored is below all others."""
    values = [evaluation.rewards[name] for name in names]
    return tuple(-float("inf") if value is None else value for value in values)


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def _worst_rank(points: list[tuple[float, ...]], k: int) -> int:
    return max(sum(point[axis] > value for point in points) for axis, value in enumerate(points[k]))
