"""A budget divided over the steps, not a constant number of candidates (Ramesh and Mardani 2025, arXiv 2506.03164)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, model_validator

from tts.errors import SearchError, SettingError
from tts.noise import Noise
from tts.plan import Plan
from tts.search.base import Problem, Run, Search, step_by_step
from tts.search.segment import Evaluation, State, best

Weight: TypeAlias = Annotated[float, Field(ge=0)]


class Adaptive(Search):
    """Give each step candidates in proportion to its weight: at least one each, and at most NFE forwards in all.

    Weights are ``equal``, the paper's (``study``: only where the noise level is between ``low`` and ``high``), or one
    number for each step that injects noise, such as a trace's gains by step. Candidates come in rounds of N: the first
    round is fresh, later candidates are fresh with probability ``eps``, and otherwise the best so far moved by up to
    ``lambda``. With ``stop_early`` a step ends when the mean gain of its last two rounds is below that of all rounds so
    far; its remaining forwards go to later steps.
    """

    advice: ClassVar[str] = (
        "Use it when a trace shows at which noise levels search pays. With "
        "equal weights it is per-step random search with any budget."
    )
    budget: ClassVar[str] = "NFE"
    exact: ClassVar[bool] = False  # with stop_early the rewards decide
    NFE: int = Field(256, ge=1, description="denoiser forwards in all; never less than a trajectory's")
    weights: Literal["equal", "study"] | tuple[Weight, ...] = Field(
        "study", description="equal, study, or one number for each step that injects noise"
    )
    low: float = Field(0.01, ge=0, description="least noise level of the paper's profile")
    high: float = Field(1.0, gt=0, description="greatest noise level of the paper's profile")
    N: int = Field(4, ge=1, description="candidates per round")
    eps: float = Field(1.0, ge=0, le=1, description="probability of a fresh noise; 1: no moves")
    lambda_: float = Field(0.15, gt=0, alias="lambda", description="largest move, relative to the noise's length")
    stop_early: bool = Field(False, description="end a step whose rounds gain little; later steps get the rest")

    @model_validator(mode="after")
    def _rises(self) -> Adaptive:
        if self.low > self.high:
            raise ValueError("low must be at most high")
        return self

    def suits(self, plan: Plan, rewards: Sequence[str]) -> None:
        """Refuse steps of which none would have more than one candidate, whatever the budget."""
        if not self._shares(plan):
            raise SettingError(
                "search adaptive: no step that costs forwards has a weight above 0; set low and high around the noise "
                "levels of some steps, or weights to equal"
            )

    def run(self, problem: Problem) -> Run:
        """At each step rounds of N candidates until the step's share of the budget is spent."""
        coins, left = problem.coins(), 0
        counts = self.counts(problem.plan)

        def choose(state: State) -> Run:
            nonlocal left
            cost = problem.plan.nfe_per_step[state.step]
            limit = counts[state.step] + (left // cost if cost else 0)
            tried: list[Evaluation] = []
            gains: list[float] = []
            while len(tried) < limit:
                size = min(self._round, limit - len(tried))
                noises = [
                    self._noise(problem, state.step, n, tried, coins) for n in range(len(tried), len(tried) + size)
                ]
                before = best(tried).value if tried else None
                tried += yield [problem.step(state, noise) for noise in noises]
                gains += [] if before is None else [_gain(best(tried).value, before)]
                if self.stop_early and len(gains) > 2 and fmean(gains[-2:]) < fmean(gains):
                    break
            left += (counts[state.step] - len(tried)) * cost
            return best(tried)

        return step_by_step(problem, choose)

    @property
    def _round(self) -> int:
        """Candidates that do not depend on one another: all of them, where every noise is fresh."""
        return self.N if self.eps < 1 or self.stop_early else 1 << 62

    def _noise(self, problem: Problem, step: int, n: int, tried: list[Evaluation], coins: random.Random) -> Noise:
        fresh, radius = coins.random() < self.eps, self.lambda_ * coins.random()
        noise = problem.noise(step, n)
        pivot = best(tried).state.noises[-1] if tried else None
        return noise if fresh or not isinstance(pivot, Noise) else pivot.moved(noise.seed, radius)

    def counts(self, plan: Plan) -> dict[int, int]:
        """Candidates of each step that injects noise.

        Raises:
            SearchError: there are more or fewer weights than such steps, or their noise levels are not known.
        """
        steps = plan.noisy_steps
        weights = self._weights(plan)
        shares = self._shares(plan)
        rest = max(0, self.NFE - plan.nfe())
        return {
            step: 1 + (int(rest * weight / shares + 1e-9) if shares else 0)
            for step, weight in zip(steps, weights, strict=True)
        }

    def _shares(self, plan: Plan) -> float:
        """What a candidate more for each unit of weight would cost."""
        weights = self._weights(plan)
        return sum(weight * plan.nfe_per_step[step] for weight, step in zip(weights, plan.noisy_steps, strict=True))

    def _weights(self, plan: Plan) -> tuple[float, ...]:
        steps = plan.noisy_steps
        if self.weights == "equal":
            return (1.0,) * len(steps)
        if self.weights == "study":
            if not plan.levels:
                raise SearchError("asks for noise levels, which this sampler does not tell; set weights to equal")
            return tuple(float(self.low <= plan.levels[step] <= self.high) for step in steps)
        if len(self.weights) != len(steps):
            raise SearchError(
                f"has {len(self.weights)} weights for {len(steps)} steps that inject noise; set weights to one for each"
            )
        return tuple(float(weight) for weight in self.weights)

    def nfe(self, plan: Plan) -> int:
        """C on steps without noise, n_t C on the others: at most NFE; less only with ``stop_early``."""
        counts = self.counts(plan)
        return plan.nfe() + sum((count - 1) * plan.nfe_per_step[step] for step, count in counts.items())

    def depth(self, plan: Plan) -> int:
        """A step's rounds follow one another."""
        if self.stop_early:
            return self.nfe(plan)
        counts = self.counts(plan)
        return plan.nfe() + sum((-(-n // self._round) - 1) * plan.nfe_per_step[step] for step, n in counts.items())


def _gain(after: float, before: float) -> float:
    """The gain of a round; 0 where nothing could be scored."""
    return 0.0 if after == before or before == -float("inf") else after - before
