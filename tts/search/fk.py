"""Feynman-Kac steering: particles resampled by their rewards (Singhal et al. 2025, arXiv 2501.06848).

With ``gamma`` it is the breadth-first search of classical search (Zhang et al. 2025, arXiv 2505.23614).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from tts.plan import Plan
from tts.search.base import Problem, Run, Search
from tts.search.segment import Evaluation, best
from tts.search.weights import RESAMPLING, ancestors, drawn, effective, softmax


@dataclass(frozen=True)
class Particle:
    """A trajectory at work.

    Args:
        at: where it is.
        statistic: what the last potential was made of; the paper's is 0 at first, and so ignores negative rewards.
        weight: sum of the log potentials since it was last resampled.
        total: sum of the log potentials of its lineage.
    """

    at: Evaluation
    statistic: float | None = None
    weight: float = 0.0
    total: float = 0.0


class FK(Search):
    """k particles, resampled by a potential of their predicted images' rewards if these differ enough.

    The potential is ``exp(lambda statistic)``; the statistic is the reward's growth since the last resampling
    (``diff``), its largest value so far (``max``), the sum of its values (``add``) or its value (``current``). The
    paper's lambda of 10 is for a reward with a standard deviation of about 1. Resampling takes place after ``first``
    steps and then every ``every`` steps, moved to the next step that injects noise, so that copies of a particle
    continue with different noises. Predicted images include the noise that was just injected.
    """

    advice: ClassVar[str] = (
        "Images that should stay close to the model's distribution: particles are resampled by weight, not by the "
        "best alone, and no prediction is paid twice. On the embedded model two particles are best of two, "
        "and four gain clearly more than best of four."
    )
    budget: ClassVar[str] = "k"
    needs_injection: ClassVar[bool] = False  # the initial noises differ
    k: int = Field(4, ge=1, description="particles")
    lambda_: float = Field(100.0, ge=0, alias="lambda", description="weight of the reward, in units of 1 / reward")
    potential: Literal["max", "diff", "add", "current"] = Field("max", description="statistic of the rewards")
    first: int = Field(4, ge=1, description="steps before the first resampling")
    every: int = Field(3, ge=1, description="steps between resamplings")
    last: int | None = Field(None, ge=1, description="steps before the last resampling; default: to the end")
    adaptive: bool = Field(True, description="resample only if the effective number of particles is below k / 2")
    resampling: Literal["systematic", "multinomial", "ssp"] = Field("systematic", description="how copies are drawn")
    gamma: float = Field(0.0, ge=0, description="tempering: lambda ((1 + gamma)^t - 1) after t steps; 0: none")
    sample: bool = Field(False, description="draw the final image by its weight; else take the best")

    def note(self, plan: Plan) -> str | None:
        """Whether it never resamples."""
        if self.looks(plan):
            return None
        end = "on" if self.last is None else f"to last = {self.last}"
        return (
            f"resamples nowhere and so is best of k, as no step from first = {self.first} {end} injects a noise; set "
            "first lower, or take a sampler that injects noise later"
        )

    def run(self, problem: Problem) -> Run:
        """Step all particles, and resample them by their potentials at the chosen steps."""
        plan, coins = problem.plan, problem.coins()
        stops = [*self.looks(plan), plan.steps]
        found = yield [problem.trajectory(i, stop=stops[0]) for i in range(self.k)]
        particles = [Particle(at) for at in found]
        for stop in stops[1:]:
            particles = [self._weighted(particle) for particle in particles]
            weights = softmax([-math.inf if p.at.reward is None else p.weight for p in particles])
            if not self.adaptive or effective(weights) < self.k / 2:
                counts = RESAMPLING[self.resampling](weights, self.k, coins)
                particles = [replace(particles[n], weight=0.0) for n in ancestors(counts)]
            found = yield [problem.onward(p.at.state, stop, i, scored=True) for i, p in enumerate(particles)]
            particles = [replace(particle, at=at) for particle, at in zip(particles, found, strict=True)]
        if not self.sample:
            return best(found)
        logs = [-math.inf if p.at.reward is None else self.scaled(p.at) - p.total + p.weight for p in particles]
        return found[drawn(softmax(logs), coins.random())]

    def scaled(self, at: Evaluation) -> float:
        """Lambda times the reward."""
        return self._lambda(at.state.step) * at.value

    def _lambda(self, step: int) -> float:
        return self.lambda_ * ((1 + self.gamma) ** step - 1) if self.gamma else self.lambda_

    def _weighted(self, particle: Particle) -> Particle:
        """The particle with the potential of its last reward; one that could not be scored keeps what it had."""
        reward, before = particle.at.reward, particle.statistic
        if reward is None:
            return particle
        statistic = reward
        if self.potential == "max" and before is not None:
            statistic = max(before, reward)
        elif self.potential == "add":
            statistic = (before or 0.0) + reward
        growth = reward - (before or 0.0) if self.potential == "diff" else statistic
        log = self._lambda(particle.at.state.step) * growth
        return Particle(particle.at, statistic, particle.weight + log, particle.total + log)

    def looks(self, plan: Plan) -> tuple[int, ...]:
        """Steps done at each look: where a noise is injected next, so that copies part."""
        last = plan.steps if self.last is None else self.last
        near = {plan.next_noisy_step(step) for step in range(self.first, last + 1, self.every)}
        return tuple(sorted(near - {plan.steps}))

    def nfe(self, plan: Plan) -> int:
        """K C T."""
        return self.k * plan.nfe()

    def depth(self, plan: Plan) -> int:
        """C T."""
        return plan.nfe()
