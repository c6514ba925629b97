"""Demon: the mixture of a step's noises by their rewards, unseen (Yeh et al. 2024, arXiv 2410.05760)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from tts.noise import Mixture, Noise
from tts.plan import Plan
from tts.search.base import Problem, Run, Search, searched_nfe, step_by_step
from tts.search.segment import State
from tts.search.weights import softmax, standardised


class Demon(Search):
    """Each step's noise is the sum of K noises weighted by their rewards, scaled to the length of a noise.

    Weights are ``tanh((r - mean) / tau)``, or ``softmax(r / tau)``. The paper scores a candidate on the image at the
    end of the trajectory without noise (``rollout``: that many steps); with 0 the predicted image at the new state is
    scored. If the reward were linear in the noise, the mixture would gain sqrt(K - 1) standard deviations, and the best
    of 16 noises 1.8.
    """

    advice: ClassVar[str] = (
        "Rewards that are smooth in the noise: the mixture of all candidates scores higher than the best of them. "
        "It does not score the mixture before it uses it, so it loses if the reward is not smooth."
    )
    budget: ClassVar[str] = "K"
    K: int = Field(16, ge=1, description="noises at each step")
    weighting: Literal["tanh", "softmax"] = Field("tanh", description="weights by reward")
    tau: float | None = Field(None, gt=0, description="scale of the rewards; default: their standard deviation")
    rollout: int = Field(0, ge=0, description="deterministic steps to the image that is scored for a noise")

    def run(self, problem: Problem) -> Run:
        """At each step, score K candidates, then take one step with their weighted mixture."""

        def choose(state: State) -> Run:
            step = state.step
            noises = [problem.noise(step, k) for k in range(self.K)]
            found = yield [problem.step(state, noise, ahead=self.rollout) for noise in noises]
            mixed = mixture(noises, self._weights([each.value for each in found]))
            [at] = yield [problem.step(state, mixed, scored=step + 1 == problem.plan.steps)]
            return at

        return step_by_step(problem, choose)

    def _weights(self, values: Sequence[float]) -> list[float]:
        """Weights of the candidates' noises; equal rewards have equal weights."""
        scores = standardised(values)
        if not any(scores):
            return softmax(values, 0.0)
        if self.tau is not None:
            known = [value for value in values if value != -math.inf]
            mean = math.fsum(known) / len(known)
            scores = [0.0 if value == -math.inf else (value - mean) / self.tau for value in values]
        if self.weighting == "tanh":
            return [math.tanh(score) for score in scores]
        failed = [-math.inf if value == -math.inf else score for value, score in zip(values, scores, strict=True)]
        return softmax(failed)

    def nfe(self, plan: Plan) -> int:
        """(K + 1) C on each step that injects noise, C on the others; K rollouts more."""
        return searched_nfe(plan, self.K + 1) + self.K * self._rolling(plan)

    def depth(self, plan: Plan) -> int:
        """2 C on each step that injects noise, C on the others; and its rollouts."""
        return searched_nfe(plan, 2) + self._rolling(plan)

    def _rolling(self, plan: Plan) -> int:
        return sum(plan.nfe_ahead(step + 1, self.rollout) for step in plan.noisy_steps)


def mixture(noises: Sequence[Noise], weights: Sequence[float]) -> Noise:
    """The weighted sum of fresh noises, at a noise's length.

    Args:
        noises: without moves; each once.
        weights: one for each; their common scale does not matter, and not all are 0.
    """
    first, *others = noises
    own, *rest = weights
    return first.with_move(Mixture(tuple(noise.seed for noise in others), tuple(rest), own))
