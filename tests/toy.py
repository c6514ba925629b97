"""A toy world for searches, without torch: a state is its recipe, and a reward is a function of a recipe."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeAlias

from tts.noise import Noise, derive_seed
from tts.plan import Plan
from tts.search.base import Problem, Search
from tts.search.beam import Beam
from tts.search.best_of_n import BestOfN
from tts.search.eps_greedy import EpsGreedy
from tts.search.mcts import MCTS
from tts.search.naive import Naive
from tts.search.random import PerStepRandom
from tts.search.segment import Evaluation, Segment, State
from tts.search.zero_order import ZeroOrder

Recipe: TypeAlias = tuple[Noise | None, ...]
Score: TypeAlias = Callable[[Recipe], float | None]

SEARCHES: dict[str, Search] = {
    "naive": Naive(),
    "best_of_n": BestOfN(N=3),
    "random": PerStepRandom(N=4),
    "beam": Beam(N=3, B=2),
    "zero_order": ZeroOrder(N=2, K=3),
    "eps_greedy": EpsGreedy(N=2, K=3),
    "eps_greedy_replacing": EpsGreedy(N=2, K=3, keep_best=False),
    "mcts": MCTS(N=2, S=5),
    "mcts_wide": MCTS(N=4, S=3),
}

EVERY = Plan((1, 1, 1, 1), (True,) * 4)
"""Every step costs one call and injects noise."""

GAPPY = Plan((2, 2, 2, 2, 2, 1), (False, True, False, True, True, False))
"""Like Heun's: nothing to choose at the ends and once in between."""

AHEAD = Plan((1, 1, 1, 0), (True,) * 4, opening=1, back=1)
"""Like DDIM's: a state has its prediction already."""

LATE = Plan((2, 2, 1), (False, False, True))
SILENT = Plan((2, 2, 1), (False, False, False))
PLANS = {"every": EVERY, "gappy": GAPPY, "ahead": AHEAD, "late": LATE, "silent": SILENT}


def luck(*parts: object) -> float:
    """A number in [0, 1) that is a pure function of the parts, without any pattern."""
    return derive_seed("luck", repr(parts)) / 2**63


def chaotic(recipe: Recipe) -> float:
    """A reward without any pattern: every state's is its own."""
    return luck(recipe)


def additive(recipe: Recipe) -> float:
    """A reward to which each noise adds its part, whatever came before."""
    return sum(luck(noise) for noise in recipe if noise is not None)


def constant(recipe: Recipe) -> float:
    """A reward that makes everything a tie."""
    return 0.5


class World:
    """Evaluates segments at once, counts what they cost and remembers them.

    Args:
        plan: steps and their costs.
        score: the reward of a recipe.
    """

    def __init__(self, plan: Plan, score: Score = chaotic) -> None:
        self.plan, self.score = plan, score
        self.rounds: list[list[Segment]] = []
        self.answers: list[list[Evaluation]] = []
        self._keys = itertools.count()

    def play(self, search: Search, seed: int = 0) -> Evaluation:
        """Run a search to its end and return what it chose."""
        run = search.run(Problem(3, seed, self.plan, "toy"))
        answers = None
        try:
            while True:
                segments = run.send(answers)
                answers = [self.evaluate(segment) for segment in segments]
                self.rounds.append(segments)
                self.answers.append(answers)
        except StopIteration as end:
            return end.value

    def evaluate(self, segment: Segment) -> Evaluation:
        """What an engine would answer."""
        recipe = segment.recipe
        reward = None if segment.reward is None else self.score(recipe)
        return Evaluation(State(next(self._keys), 0, segment.stop, recipe), reward, self.cost(segment))

    def cost(self, segment: Segment) -> int:
        """Denoiser calls of a segment."""
        return self.plan.spent(segment.first if isinstance(segment.start, State) else None, segment.noises)

    @property
    def nfe(self) -> int:
        """Denoiser calls of everything so far."""
        return sum(self.cost(segment) for segments in self.rounds for segment in segments)

    @property
    def depth(self) -> int:
        """Denoiser calls that had to follow one another."""
        return sum(max(map(self.cost, segments), default=0) for segments in self.rounds)

    @property
    def steps_taken(self) -> list[Recipe]:
        """The recipe up to each step that was computed, in order."""
        return [
            segment.recipe[: step + 2]
            for segments in self.rounds
            for segment in segments
            for step in range(segment.first, segment.first + len(segment.noises))
        ]


def transcript(name: str, plan: str, seed: int) -> str:
    """Everything that a search asks for on the chaotic reward, and what it returns, as text."""
    world = World(PLANS[plan])
    chosen = world.play(SEARCHES[name], seed)
    return repr([world.rounds, chosen])
