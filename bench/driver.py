"""The driver: schedule, run, update, until every trial is stored.

It runs the searches, keeps every engine over-supplied with segments of many trials, and stores what is finished. It
knows nothing of tensors or of Ray.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.pools import Pool, Replies
from bench.record import identity_columns, recipe_column
from bench.study import Study
from bench.trial import Trial
from tts.engine import Job, Load, Outcome
from tts.errors import EngineError
from tts.search.base import Run
from tts.search.segment import ALL, Evaluation, Segment, State


class Sink(Protocol):
    """Where finished rows go; :class:`bench.store.Store` is one."""

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row."""
        ...

    def tick(self) -> None:
        """Called now and then."""
        ...


@dataclass
class Costs:
    """What a trial has spent so far."""

    nfe: int = 0
    decodes: int = 0
    reward_calls: int = 0
    device_seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one job."""
        self.nfe += outcome.nfe
        self.decodes += outcome.decodes
        self.reward_calls += outcome.reward_calls
        self.device_seconds += outcome.seconds


@dataclass
class OpenTrial:
    """A trial at work: its search, the segments it waits for, what came of them so far."""

    trial: Trial
    key: str
    search: Run
    costs: Costs = field(default_factory=Costs)
    answers: list[Evaluation | None] = field(default_factory=list)
    missing: int = 0
    winner: Evaluation | None = None


@dataclass(frozen=True)
class Ticket:
    """A job under way: whose it is, its place in the list that the search yielded, where it runs."""

    open: OpenTrial
    place: int
    engine: int
    segment: Segment


@dataclass
class Tally:
    """What a run has done so far, for progress bars and reports.

    ``nfe`` counts this start's forwards as they come back; ``planned`` is what the trials left at this start cost by
    formula (an upper bound for MCTS).
    """

    done: int = 0
    trials: int = 0
    nfe: int = 0
    planned: int = 0
    loads: dict[int, Load] = field(default_factory=dict)


class Driver:
    """Runs the trials of a study that are not done yet.

    Args:
        study: what to run.
        pool: where segments are evaluated.
        sink: takes a row for each finished trial.
        done: identities of trials to leave out.
        progress: called with the tally whenever it has changed.
        trials: which trials and in which order; left out: all, longest first.
    """

    def __init__(
        self,
        study: Study,
        pool: Pool,
        sink: Sink,
        done: set[str] | None = None,
        progress: Callable[[Tally], None] = lambda _: None,
        trials: Iterator[Trial] | None = None,
    ) -> None:
        self.study, self.pool, self.sink, self.progress = study, pool, sink, progress
        self.plan, self.tally = study.plan, Tally()
        self._todo = self._left(study.trials() if trials is None else trials, done or set())
        self._tickets: dict[int, Ticket] = {}
        self._next_ticket, self._open = 0, 0
        self._in_flight = [0] * pool.engines
        self._jobs: list[list[Job]] = [[] for _ in range(pool.engines)]
        self._released: list[list[int]] = [[] for _ in range(pool.engines)]

    def _left(self, trials: Iterator[Trial], done: set[str]) -> list[tuple[Trial, str]]:
        """Trials that are not done, the next one last."""
        keyed = [(trial, trial.key(self.study.context)) for trial in trials]
        left = [(trial, key) for trial, key in keyed if key not in done]
        self.tally.trials, self.tally.done = len(keyed), len(keyed) - len(left)
        self.tally.planned = sum(trial.algorithm.nfe(self.plan) for trial, _ in left)
        return left[::-1]

    def run(self) -> Tally:
        """Until every trial is stored.

        Raises:
            EngineError: an engine failed. What was stored stays, and the same command goes on from there.
        """
        self.progress(self.tally)
        while self._todo or self._open:
            self.schedule()
            self.dispatch()
            for replies in self.pool.wait():
                self.update(replies)
            self.sink.tick()
            self.progress(self.tally)
        self.dispatch()  # the states of the last trials
        return self.tally

    def schedule(self) -> None:
        """Open trials until every engine has enough segments waiting."""
        engines = self.study.config.engines
        target = engines.oversupply * engines.batch
        while self._todo and min(self._in_flight) < target:
            trial, key = self._todo.pop()
            opened = OpenTrial(trial, key, trial.algorithm.run(trial.problem(self.plan)))
            self._open += 1
            self._advance(opened, None)

    def dispatch(self) -> None:
        """Send every engine its new jobs, and the states that no search holds any more."""
        for engine, (jobs, released) in enumerate(zip(self._jobs, self._released, strict=True)):
            if jobs or released:
                forgotten = list(released)
                self.pool.submit(engine, list(jobs), forgotten)
                jobs.clear()
                del released[: len(forgotten)]  # in place: handles' finalizers hold this list, and may add to it now

    def update(self, replies: Replies) -> None:
        """Hand outcomes to their searches; each search whose list is complete goes on."""
        self.tally.loads[replies.engine] = replies.load
        for outcome in replies.outcomes:
            self._answer(self._tickets.pop(outcome.ticket), outcome)

    def _answer(self, ticket: Ticket, outcome: Outcome) -> None:
        opened = ticket.open
        self._in_flight[ticket.engine] -= 1
        self.tally.nfe += outcome.nfe
        opened.costs.add(outcome)
        if ticket.segment.reward == ALL:
            self._finish(opened, outcome)
            return
        state = self._state(outcome.ticket, ticket)
        opened.answers[ticket.place] = Evaluation(state, outcome.reward, outcome.nfe)
        opened.missing -= 1
        if not opened.missing:
            answers = [answer for answer in opened.answers if answer is not None]
            opened.answers = []
            self._advance(opened, answers)

    def _state(self, key: int, ticket: Ticket) -> State:
        """The handle of a job's state; when nothing refers to it any more, the engine is told."""
        segment = ticket.segment
        state = State(key, ticket.engine, segment.stop, segment.recipe)
        weakref.finalize(state, self._released[ticket.engine].append, key).atexit = False
        return state

    def _advance(self, opened: OpenTrial, answers: list[Evaluation] | None) -> None:
        """Let a search go on to the next list that is not empty, or to its end."""
        try:
            segments = opened.search.send(answers)  # type: ignore[arg-type]  # None starts a generator
            while not segments:
                segments = opened.search.send([])
        except StopIteration as stop:
            opened.winner = stop.value
            segments = [self._render(opened, stop.value)]
        opened.answers, opened.missing = [None] * len(segments), len(segments)
        for place, segment in enumerate(segments):
            self._send(opened, place, segment)

    def _render(self, opened: OpenTrial, winner: Evaluation) -> Segment:
        """The last segment of every trial: no step, all rewards, the image."""
        if winner.state.step != self.plan.steps:
            raise EngineError(
                f"search {opened.trial.search}: ended at step {winner.state.step} of {self.plan.steps}; "
                "a search must return an evaluation of a finished trajectory"
            )
        return Segment(winner.state, (), opened.trial.condition, ALL)

    def _send(self, opened: OpenTrial, place: int, segment: Segment) -> None:
        start = segment.start
        engine = start.engine if isinstance(start, State) else self._in_flight.index(min(self._in_flight))
        ticket, self._next_ticket = self._next_ticket, self._next_ticket + 1
        self._tickets[ticket] = Ticket(opened, place, engine, segment)
        self._in_flight[engine] += 1
        self._jobs[engine].append(Job(ticket, segment.without_history()))

    def _finish(self, opened: OpenTrial, outcome: Outcome) -> None:
        winner, scores = opened.winner, outcome.scores
        assert winner is not None  # set before the last segment was sent
        assert scores is not None  # it asked for all
        label = self.study.model.label(opened.trial.condition)
        self._released[winner.state.engine].append(outcome.ticket)
        self.sink.add(
            {
                **identity_columns(opened.trial, opened.key, label),
                "value": scores[opened.trial.reward],
                "nfe": opened.costs.nfe,
                "decodes": opened.costs.decodes,
                "reward_calls": opened.costs.reward_calls,
                "device_seconds": opened.costs.device_seconds,
                "noises": recipe_column(winner.state.noises),
                "image": outcome.image if self.study.config.images else None,
                **{f"score_{name}": value for name, value in scores.items()},
            }
        )
        self._open -= 1
        self.tally.done += 1
        self.tally.planned += opened.costs.nfe - opened.trial.algorithm.nfe(self.plan)
