"""An engine with a toy model, and the shortest loop that runs many searches on an engine."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tts.engine.batching import Engine
from tts.engine.requests import EvalRequest, EvalResult
from tts.recipe import Recipe
from tts.rewards.brightness import Brightness
from tts.rewards.compressibility import Compressibility
from tts.search.base import Problem, Search
from tts.search.segment import ALL, Evaluation, Segment, State
from tts.testing.toy_model import SAMPLER, BrokenModel, ConvModel, CrowdedModel, ToyModel

__all__ = [
    "SAMPLER",
    "BrokenModel",
    "ConvModel",
    "CrowdedModel",
    "Player",
    "ToyModel",
    "Trial",
    "toy_engine",
]


def toy_engine(model: ToyModel | None = None, batch: int = 6) -> Engine:
    """An engine with a device reward and a host reward."""
    rewards = {"brightness": Brightness().load(), "compressibility": Compressibility(max_bytes=600).load()}
    return Engine(model or ToyModel(), rewards, batch)


class Trial:
    """A search on a problem: at work, and afterwards with its result."""

    def __init__(self, search: Search, problem: Problem) -> None:
        self.search, self.problem = search, problem
        self.evaluations: list[tuple[float | None, Recipe]] = []
        self.outcomes: list[EvalResult] = []
        self.recipe: Recipe = ()
        self.steps = self._steps()

    def _steps(self) -> Generator[list[Segment], list[Evaluation], None]:
        chosen = yield from self.search.run(self.problem)
        self.recipe = chosen.state.noises
        yield [Segment(chosen.state, (), self.problem.condition, ALL)]

    @property
    def nfe(self) -> int:
        """Denoiser calls that the engine charged."""
        return sum(outcome.nfe for outcome in self.outcomes)

    @property
    def final(self) -> EvalResult:
        """All rewards and the image."""
        return self.outcomes[-1]

    @property
    def result(self) -> tuple[object, ...]:
        """Everything that must not depend on the engine's other work."""
        return self.evaluations, self.nfe, self.recipe, self.final.scores, self.final.image


@dataclass
class _Round:
    trial: Trial
    segments: dict[int, Segment]
    outcomes: dict[int, EvalResult] = field(default_factory=dict)


class Player:
    """Runs trials on one engine, like a driver: every trial has a round of segments in flight."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._tickets = itertools.count()
        self._rounds: dict[int, _Round] = {}

    def play(self, trials: Sequence[Trial]) -> None:
        """Run trials side by side to their ends."""
        for trial in trials:
            self._go_on(trial, None)
        while self.engine.busy:
            for outcome in self.engine.advance():
                self._take(outcome)

    def ask(self, *segments: Segment) -> list[EvalResult]:
        """Evaluate segments outside of any trial."""
        tickets = [next(self._tickets) for _ in segments]
        self.engine.submit(EvalRequest(ticket, segment) for ticket, segment in zip(tickets, segments, strict=True))
        answers: dict[int, EvalResult] = {}
        while self.engine.busy:
            answers |= {outcome.ticket: outcome for outcome in self.engine.advance()}
        return [answers[ticket] for ticket in tickets]

    def handle(self, ticket: int, segment: Segment) -> State:
        """A handle that releases its state when the last reference to it is gone."""
        state = State(ticket, 0, segment.stop, segment.recipe)
        weakref.finalize(state, self.engine.release, [ticket])
        return state

    def _go_on(self, trial: Trial, answers: list[Evaluation] | None) -> None:
        """Send a trial its evaluations and submit what it asks for next."""
        with suppress(StopIteration):
            segments = trial.steps.send(answers)  # type: ignore[arg-type]  # None starts a generator
            while not segments:
                segments = trial.steps.send([])
            tickets = [next(self._tickets) for _ in segments]
            asked = _Round(trial, dict(zip(tickets, segments, strict=True)))
            self._rounds |= dict.fromkeys(tickets, asked)
            self.engine.submit(EvalRequest(ticket, segment) for ticket, segment in asked.segments.items())

    def _take(self, outcome: EvalResult) -> None:
        asked = self._rounds.pop(outcome.ticket)
        asked.outcomes[outcome.ticket] = outcome
        if len(asked.outcomes) == len(asked.segments):
            self._go_on(asked.trial, [self._evaluation(asked, ticket) for ticket in asked.segments])

    def _evaluation(self, asked: _Round, ticket: int) -> Evaluation:
        segment, outcome = asked.segments[ticket], asked.outcomes[ticket]
        asked.trial.outcomes.append(outcome)
        scores = outcome.scores | dict.fromkeys(segment.rewards) if segment.whole else outcome.scores
        state, own = self.handle(ticket, segment), asked.trial.problem.reward
        found = Evaluation.of(state, segment, scores, own, outcome.nfe)
        asked.trial.evaluations.append((found.reward, segment.recipe))
        return found
