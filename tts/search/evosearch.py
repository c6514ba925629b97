"""EvoSearch: a population of trajectories, mutated at some of their steps (He et al. 2025, arXiv 2505.17618)."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from tts.noise import Noise, Turn
from tts.plan import Plan
from tts.search.base import INITIAL, Problem, Run, Search
from tts.search.initial import start_of
from tts.search.segment import Evaluation, Segment, State, best

START = -1
"""The generation that mutates initial noises."""


@dataclass
class Rollout:
    """A whole trajectory: the states before its mutable steps by step, and its end once it is there."""

    states: dict[int, State] = field(default_factory=dict)
    end: Evaluation | None = None

    @property
    def value(self) -> float:
        """Reward of the final image."""
        return -math.inf if self.end is None else self.end.value


class EvoSearch(Search):
    """Each generation belongs to a step: elites stay, the others are mutants that run from that step to the end.

    The first population is P whole trajectories. A mutant of an initial noise is ``sqrt(1 - beta^2) x + beta n``. A
    mutant of a state repeats the last step with its noise moved by a whole noise's length, which adds noise of the
    injected size. The parent is the best of a random 90 % of all trajectories that passed this step. Final images are
    scored; like the released code, it has no crossover.
    """

    advice: ClassVar[str] = (
        "Large budgets with rewards that need final images: generations at the initial noise and at later "
        "steps, where children keep the image of their parents so far."
    )
    budget: ClassVar[str] = "P"
    needs_injection: ClassVar[bool] = False  # the initial noises differ
    P: int = Field(8, ge=1, description="trajectories per generation")
    elites: int = Field(2, ge=1, description="trajectories that stay as they are, at most P")
    beta: float = Field(0.2, gt=0, le=1, description="share of a fresh noise in a mutated initial noise")
    at: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0.0, 0.4, 0.6, 0.8), description="steps of the generations, as shares of all; 0: the initial noise"
    )

    def run(self, problem: Problem) -> Run:
        """Run the first population to the end, then breed each generation from its step."""
        plan, coins = problem.plan, problem.coins()
        generations = self.generations(plan)
        everyone = [Rollout() for _ in range(self.P)]
        starts = [problem.noise(INITIAL, k) for k in range(self.P)]
        yield from self._begin(problem, everyone, starts, 0)
        for step in generations:
            children = [Rollout() for _ in range(self._mutants)]
            known = [each for each in everyone if step == START or step in each.states]
            parents = [self._parent(known, coins) for _ in children]
            if children and step == START:
                turns = [Turn(problem.noise(INITIAL, len(everyone) + k).seed, self.beta) for k in range(len(children))]
                mutants = [start_of(_end(p)).with_move(turn) for p, turn in zip(parents, turns, strict=True)]
                yield from self._begin(problem, children, mutants, len(everyone))
            elif children:
                yield from self._mutate(problem, parents, children, step, len(everyone))
            everyone += children
        return best(_end(each) for each in everyone)

    def _parent(self, known: Sequence[Rollout], coins: random.Random) -> Rollout:
        return max(coins.sample(known, math.ceil(0.9 * len(known))), key=lambda each: each.value)

    def _begin(self, problem: Problem, rollouts: list[Rollout], starts: list[Noise], first: int) -> Run:
        """Whole trajectories from initial noises, with steps' noises of their own."""
        stop = self._next(problem.plan, 0)
        scored = problem.reward if stop == problem.plan.steps else None
        segments = [
            Segment(start, problem.default(0, stop, first + k), problem.condition, scored)
            for k, start in enumerate(starts)
        ]
        found = yield segments
        return (yield from self._roll_out(problem, rollouts, found, first))

    def _mutate(self, problem: Problem, parents: list[Rollout], children: list[Rollout], step: int, first: int) -> Run:
        """The step once more with a noise that is moved, and on with noises of their own."""
        stop, segments = self._next(problem.plan, step + 1), []
        for k, parent in enumerate(parents):
            before = _end(parent).state.noises[1 + step]
            assert isinstance(before, Noise)  # generations are at steps that inject one
            moved = before.moved(problem.noise(step, first + k).seed, 1.0)
            actions = (moved, *problem.default(step + 1, stop, first + k))
            scored = problem.reward if stop == problem.plan.steps else None
            segments.append(Segment(parent.states[step], actions, problem.condition, scored))
        found = yield segments
        return (yield from self._roll_out(problem, children, found, first))

    def _roll_out(self, problem: Problem, rollouts: list[Rollout], found: list[Evaluation], first: int) -> Run:
        """On to the end, with a state kept before each mutable step."""
        while (step := found[0].state.step) < problem.plan.steps:
            for rollout, at in zip(rollouts, found, strict=True):
                rollout.states[step] = at.state
            stop = self._next(problem.plan, step + 1)
            scored = stop == problem.plan.steps
            found = yield [problem.onward(at.state, stop, first + k, scored=scored) for k, at in enumerate(found)]
        for rollout, at in zip(rollouts, found, strict=True):
            rollout.end = at
        return found[0]

    def _next(self, plan: Plan, step: int) -> int:
        """The next step to keep a state before."""
        return min((mutable for mutable in self.generations(plan) if mutable >= step), default=plan.steps)

    @property
    def _mutants(self) -> int:
        return self.P - min(self.elites, self.P)

    def generations(self, plan: Plan) -> list[int]:
        """The steps whose noises are mutated, those that lead to the given shares or the next ones that inject noise;
        :data:`START` is the initial noise.
        """
        steps = {plan.next_noisy_step(max(0, round(share * plan.steps) - 1)) for share in self.at if share}
        return [*[START][: self.at.count(0)], *sorted(steps - {plan.steps})]

    def nfe(self, plan: Plan) -> int:
        """P C, and of each generation the P - elites mutants' ways to the end."""
        ways = [plan.nfe(None if step == START else step) for step in self.generations(plan)]
        return self.P * plan.nfe() + self._mutants * sum(ways)

    def depth(self, plan: Plan) -> int:
        """C, and each generation's way to the end."""
        ways = [plan.nfe(None if step == START else step) for step in self.generations(plan)]
        return plan.nfe() + (sum(ways) if self._mutants else 0)


def _end(rollout: Rollout) -> Evaluation:
    assert rollout.end is not None  # it has run to the end before anyone asks
    return rollout.end
