"""A toy world for searches, without torch: a state is its recipe, and a reward is a function of a recipe."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping
from typing import TypeAlias

from tts.noise import derive_seed
from tts.plan import Plan
from tts.recipe import Recipe
from tts.search import rules
from tts.search.base import Problem, Search
from tts.search.segment import Evaluation, Segment, State

Score: TypeAlias = Callable[[Recipe], float | None]

CONDITION = 3
REWARD = "toy"

EVERY = Plan((1, 1, 1, 1), (True,) * 4, levels=(9, 3, 0.9, 0.2, 0), leaps=(1,) * 4)
"""Every step costs one call and injects noise."""

GAPPY = Plan(
    (2, 2, 2, 2, 2, 1), (False, True, False, True, True, False), levels=(80, 9, 3, 0.9, 0.2, 0.05, 0), leaps=(1,) * 6
)
"""Like Heun's: nothing to choose at the ends and once in between."""

AHEAD = Plan((1, 1, 1, 0), (True,) * 4, initial_nfe=1, levels=(9, 3, 0.9, 0.2, 0), back=1, leaps=(1, 1, 1, 0))
"""Like DDIM's: a state has its prediction already."""

LATE = Plan((2, 2, 1), (False, False, True), levels=(9, 3, 0.9, 0), leaps=(1,) * 3)
SILENT = Plan((2, 2, 1), (False, False, False), levels=(9, 3, 0.9, 0), leaps=(1,) * 3)
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


def huge(recipe: Recipe) -> float:
    """A reward whose exponential no float can hold, of both signs."""
    return 1e6 * (luck(recipe) - 0.5)


def nothing(recipe: Recipe) -> None:
    """A reward that cannot score anything."""


def picky(recipe: Recipe) -> float | None:
    """Cannot score half of the recipes, and calls the others bad."""
    return None if luck("picky", recipe) < 0.5 else chaotic(recipe) - 100


class World:
    """Evaluates segments at once, counts what they cost and remembers them.

    Args:
        plan: steps and their costs.
        score: the reward of a recipe, named :data:`REWARD`.
        more: other rewards that a search may ask for, by name.
        keep: whether :attr:`rounds` and :attr:`answers` are kept; else states live as long as the search holds them.
    """

    def __init__(
        self, plan: Plan, score: Score = chaotic, keep: bool = True, more: Mapping[str, Score] | None = None
    ) -> None:
        self.plan, self.keep = plan, keep
        self.scores: dict[str, Score] = {REWARD: score, **(more or {})}
        self.rounds: list[list[Segment]] = []
        self.answers: list[list[Evaluation]] = []
        self.nfe, self.depth = 0, 0
        self._given: list[tuple[Evaluation, ...]] = []
        self._keys = itertools.count()
        self._held: weakref.WeakSet[State] = weakref.WeakSet()

    def play(self, search: Search, seed: int = 0) -> Evaluation:
        """Run a search to its end and return what it chose.

        Raises:
            SearchError: the search does what no search may do.
        """
        problem = Problem(CONDITION, seed, self.plan, REWARD, tuple(self.scores))
        run, meter = rules.begin(search, problem), rules.Meter(search, self.plan)
        answers: list[Evaluation] = []
        try:
            yielded: object = next(run)
            while True:
                answers = []  # the states that the search has let go are freed here
                segments = rules.checked(yielded, problem, self._held.__contains__)
                answers = [self.evaluate(segment) for segment in segments]
                meter.add(self._note(segments, answers))
                del segments
                yielded = run.send(answers)
        except StopIteration as end:
            return rules.chosen(end.value, problem)

    def evaluate(self, segment: Segment) -> Evaluation:
        """What an engine would answer; a look ahead is so many steps without noise."""
        recipe = segment.recipe
        seen = (*recipe, *[None] * min(segment.ahead, self.plan.steps - segment.stop))
        scores = {name: self.scores[name](seen) for name in segment.rewards}
        state = State(next(self._keys), 0, segment.stop, recipe)
        self._held.add(state)
        return Evaluation.of(state, segment, scores, REWARD, self.cost(segment))

    def cost(self, segment: Segment) -> int:
        """Denoiser calls of a segment."""
        taken = self.plan.spent(segment.first if isinstance(segment.start, State) else None, segment.noises)
        return taken + self.plan.nfe_ahead(segment.stop, segment.ahead)

    def _note(self, segments: list[Segment], answers: list[Evaluation]) -> int:
        """Note a list of segments, and return the calls that it cost."""
        costs = [answer.nfe for answer in answers]
        self.nfe += sum(costs)
        self.depth += max(costs, default=0)  # calls that had to follow one another
        if self.keep:
            self.rounds.append(segments)
            self.answers.append(answers)
            self._given.append(tuple(answers))
        return sum(costs)

    @property
    def changed(self) -> bool:
        """Whether the search has changed a list that it was given."""
        return [tuple(answers) for answers in self.answers] != self._given

    @property
    def steps_taken(self) -> list[Recipe]:
        """The recipe up to each action that was computed, in order."""
        return [
            segment.recipe[: len(segment.recipe) - left]
            for segments in self.rounds
            for segment in segments
            for left in reversed(range(len(segment.noises)))
        ]


def transcript(search: Search, plan: Plan, seed: int, score: Score = chaotic) -> str:
    """Everything that a search asks for, and what it returns, as text."""
    world = World(plan, score)
    chosen = world.play(search, seed)
    return repr([world.rounds, chosen])
