"""Beam search over the noises (Ramesh and Mardani 2025, arXiv 2506.03164)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.plan import Plan
from tts.search.base import Problem, Run, Search, searched_nfe
from tts.search.segment import best, top


class Beam(Search):
    """B states with N noises each; the best B of the B N predicted images survive; the best final image wins.

    With ``lookahead`` a candidate's predicted image is the one after so many deterministic steps from it to the end, on
    a coarser grid: diffusion latent beam search (Oshima et al. 2025, arXiv 2501.19252; theirs are 6 of DDIM).
    """

    advice: ClassVar[str] = (
        "Large budgets, and rewards for which the best step of now is not on the best way: one kept state is "
        "greedy, two are a good deal less so. With lookahead it judges later images, at their price."
    )
    budget: ClassVar[str] = "N"
    added: ClassVar[frozenset[str]] = frozenset({"lookahead"})
    N: int = Field(4, ge=1, description="noises tried from each state")
    B: int = Field(2, ge=1, description="states that survive a step")
    lookahead: int = Field(0, ge=0, description="deterministic steps to the image that a candidate is judged by")

    @property
    def ordinal(self) -> bool:
        """It asks for the best only."""
        return True

    def run(self, problem: Problem) -> Run:
        """At each step every beam tries N noises; the best B predictions are the next beams."""
        plan = problem.plan
        beams = yield [problem.start(stream) for stream in range(self.B)]
        for step in plan.noisy_steps:
            if beams[0].state.step < step:
                beams = yield [problem.advance(beam.state, step) for beam in beams]
            candidates = yield [
                problem.step(beam.state, problem.noise(step, k, stream), ahead=self.lookahead)
                for stream, beam in enumerate(beams)
                for k in range(self.N)
            ]
            beams = top(candidates, self.B)
        finals = yield [problem.advance(beam.state, scored=True) for beam in beams]
        return best(finals)

    def nfe(self, plan: Plan) -> int:
        """B N C on each step that injects noise, B C on the others; B N looks ahead on each step that injects noise."""
        return searched_nfe(plan, self.B * self.N, streams=self.B) + self.B * self.N * self._looking(plan)

    def depth(self, plan: Plan) -> int:
        """C T, and a look ahead on each step that injects noise."""
        return plan.nfe() + self._looking(plan)

    def _looking(self, plan: Plan) -> int:
        return sum(plan.nfe_ahead(step + 1, self.lookahead) for step in plan.noisy_steps)
