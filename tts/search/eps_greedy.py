"""Epsilon-greedy local search of each step's noise (Ramesh and Mardani 2025, arXiv 2506.03164)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.noise import Noise
from tts.plan import Plan
from tts.search.base import Problem, Run, Search, searched_nfe, step_by_step
from tts.search.segment import Evaluation, State, best


class LocalSearch(Search):
    """K rounds around a pivot noise at each step; what zero-order and epsilon-greedy search share.

    A round tries N candidates: each the pivot moved by ``lambda sqrt(d) u`` in a random direction, u uniform in
    [0, 1], or with probability :meth:`exploration` a fresh noise. The round's best becomes the pivot, and the last
    pivot is the step's noise. Its state is kept, so that the winner is not computed again.
    """

    budget: ClassVar[str] = "K"
    N: int = Field(4, ge=1, description="candidates a round")
    K: int = Field(20, ge=1, description="rounds a step")
    lambda_: float = Field(0.15, gt=0, alias="lambda", description="largest move, relative to the noise's length")
    keep_best: bool = Field(
        True, description="keep a pivot that no candidate of the next round beats; the study always replaced it"
    )

    def exploration(self) -> float:
        """Probability of a fresh noise in place of a move."""
        return 0.0

    @property
    def ordinal(self) -> bool:
        """It asks for the best only."""
        return True

    def run(self, problem: Problem) -> Run:
        """At each step K rounds of N candidates around the pivot; the best of a round is the next pivot."""
        coins = problem.coins()

        def choose(state: State) -> Run:
            step, pivot, winner = state.step, problem.noise(state.step), None
            for k in range(self.K):
                noises = []
                for n in range(k * self.N, (k + 1) * self.N):
                    fresh, radius = coins.random() < self.exploration(), self.lambda_ * coins.random()
                    noise = problem.noise(step, 1 + n)
                    noises.append(noise if fresh else pivot.moved(noise.seed, radius))
                candidates: list[Evaluation] = yield [problem.step(state, noise) for noise in noises]
                if winner is not None and self.keep_best:
                    candidates = [winner, *candidates]
                winner = best(candidates)
                last = winner.state.noises[-1]
                pivot = last if isinstance(last, Noise) else pivot
            assert winner is not None  # K >= 1
            return winner

        return step_by_step(problem, choose)

    def nfe(self, plan: Plan) -> int:
        """N K C on each step that injects noise, C on the others."""
        return searched_nfe(plan, self.N * self.K)

    def depth(self, plan: Plan) -> int:
        """K C on each step that injects noise, C on the others."""
        return searched_nfe(plan, self.K)


class EpsGreedy(LocalSearch):
    """Moves around a pivot, mixed with fresh noises: each candidate is fresh with probability eps."""

    advice: ClassVar[str] = (
        "Rounds that continue from the best noise so far pay if small moves of a noise change the reward "
        "gradually. It needs K rounds one after another."
    )
    eps: float = Field(0.4, ge=0, le=1, description="probability of a fresh noise")

    def exploration(self) -> float:
        """Eps."""
        return self.eps
