"""The searches of many trials at work on the same engines.

Searches are generators of segments; this keeps the engines supplied with the segments of as many trials as that takes,
hands the outcomes back, and makes a row of each trial that has ended. It knows nothing of tensors or of Ray, and runs
in the driver over many engines as well as beside one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from bench.pools import Pool, Replies
from bench.record import error_row, identity_columns, recipe_column
from bench.study import Study
from bench.trial import Trial
from tts.errors import TTSError
from tts.jobs import Job, Outcome
from tts.noise import Noise
from tts.plan import Plan
from tts.search.base import Run
from tts.search.segment import ALL, Evaluation, Segment, State

Recipe: TypeAlias = tuple[Noise | None, ...]


class Task(NamedTuple):
    """A trial to run, with its identity; ``alone``: on one engine, and nothing else there meanwhile."""

    key: str
    trial: Trial
    alone: bool = False


class Result(NamedTuple):
    """The row of a trial that has ended."""

    key: str
    row: dict[str, Any]

    @property
    def error(self) -> str | None:
        """Why the trial has failed, if it has."""
        return self.row.get("error")


class Lost(NamedTuple):
    """The trials that an engine took with it: those with work there at that moment, and those with states only."""

    at_work: list[Task]
    others: list[Task]


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


@dataclass(eq=False)
class OpenTrial:
    """A trial at work: its search, the segments it waits for, what came of them so far, the engines it has used.

    ``pinned``: the only engine it may use; ``over``: its outcomes interest nobody any more.
    """

    task: Task
    search: Run
    pinned: int | None = None
    costs: Costs = field(default_factory=Costs)
    answers: list[Evaluation | None] = field(default_factory=list)
    missing: int = 0
    winner: Evaluation | None = None
    engines: set[int] = field(default_factory=set)
    over: bool = False


class Ticket(NamedTuple):
    """A job under way: whose it is, its place in the list that the search yielded, where it runs."""

    open: OpenTrial
    place: int
    engine: int
    segment: Segment


def _run(trial: Trial, plan: Plan) -> Run:
    """A trial's search at work; it begins when it is first asked, where its faults are caught."""
    return (yield from trial.algorithm.run(trial.problem(plan)))


class Handle(State):
    """A state that tells its engine's list of states to forget when nothing refers to it any more."""

    __slots__ = ("_released",)

    def __init__(self, key: int, engine: int, step: int, noises: Recipe, released: list[int]) -> None:
        super().__init__(key, engine, step, noises)
        object.__setattr__(self, "_released", released)

    def __del__(self) -> None:
        self._released.append(self.key)  # type: ignore[attr-defined]


class Searches:
    """Runs trials over the engines of a pool.

    Args:
        study: what the trials belong to.
        pool: where segments are evaluated.
    """

    def __init__(self, study: Study, pool: Pool) -> None:
        self.study, self.pool, self.plan = study, pool, study.plan
        self.open: dict[str, OpenTrial] = {}
        self.nfe = 0
        self.in_flight = [0] * pool.engines
        self._target = study.config.engines.oversupply * study.config.engines.batch
        self._tickets: dict[int, Ticket] = {}
        self._next_ticket = 0
        self._results: list[Result] = []
        self._jobs: list[list[Job]] = [[] for _ in range(pool.engines)]
        self._released: list[list[int]] = [[] for _ in range(pool.engines)]
        self._free = list(range(pool.engines))

    def hungry(self, among: Collection[int], left: int = 0) -> int | None:
        """The engine with the fewest segments in flight, if it has not enough, however many trials are left."""
        engine = min(among, key=self.in_flight.__getitem__, default=None)
        return engine if engine is not None and self.in_flight[engine] < self._target else None

    def use(self, engines: Collection[int]) -> None:
        """Start new trajectories on these engines only."""
        self._free = sorted(engines)

    def users(self, engine: int) -> list[OpenTrial]:
        """Open trials with segments or states on an engine."""
        return [opened for opened in self.open.values() if engine in opened.engines]

    def start(self, task: Task, engine: int = 0) -> None:
        """Begin a trial; on this engine alone, if it is to be alone."""
        opened = OpenTrial(task, _run(task.trial, self.plan), engine if task.alone else None)
        self.open[task.key] = opened
        self._advance(opened, None)

    def dispatch(self) -> None:
        """Send every engine its new jobs, and the states that no search holds any more."""
        for engine, (jobs, released) in enumerate(zip(self._jobs, self._released, strict=True)):
            if jobs or released:
                forgotten = list(released)
                self.pool.submit(engine, list(jobs), forgotten)
                jobs.clear()
                del released[: len(forgotten)]  # in place: handles hold this list, and may add to it now

    def update(self, replies: Replies) -> list[Result]:
        """Hand outcomes to their searches; each search whose list is complete goes on. Returns what has ended."""
        for outcome in replies.outcomes:
            ticket = self._tickets.pop(outcome.ticket, None)
            if ticket is not None:  # else of an engine that was given up
                self._answer(ticket, outcome)
        results, self._results = self._results, []
        return results

    def lose(self, engine: int) -> Lost:
        """Give up an engine and every trial that it took part in; it may come back empty."""
        at_work = {ticket.open.task.key for ticket in self._tickets.values() if ticket.engine == engine}
        lost = self.users(engine)
        for opened in lost:
            self._end(opened)
        self._tickets = {key: ticket for key, ticket in self._tickets.items() if ticket.engine != engine}
        self.in_flight[engine], self._jobs[engine] = 0, []
        self._released[engine] = []  # another list: handles of the states that are gone go on filling the old one
        tasks = [opened.task for opened in lost]
        return Lost(
            [task for task in tasks if task.key in at_work], [task for task in tasks if task.key not in at_work]
        )

    def _end(self, opened: OpenTrial) -> None:
        opened.over = True
        opened.search.close()
        opened.answers.clear()
        del self.open[opened.task.key]

    def _answer(self, ticket: Ticket, outcome: Outcome) -> None:
        opened = ticket.open
        self.in_flight[ticket.engine] -= 1
        self.nfe += outcome.nfe
        if opened.over:
            self._released[ticket.engine].append(outcome.ticket)
            return
        opened.costs.add(outcome)
        if outcome.error is not None:
            self._released[ticket.engine].append(outcome.ticket)
            self._fail(opened, outcome.error)
            return
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
        recipe = ticket.segment.recipe
        return Handle(key, ticket.engine, len(recipe) - 1, recipe, self._released[ticket.engine])

    def _advance(self, opened: OpenTrial, answers: list[Evaluation] | None) -> None:
        """Let a search go on to the next list that is not empty, or to its end."""
        try:
            segments = self._next(opened, answers)
        except Exception as error:  # a fault of this search on this problem; the other trials go on
            ours = isinstance(error, TTSError)
            reason = str(error) if ours else f"search {opened.task.trial.search}: {type(error).__name__}: {error}"
            self._fail(opened, reason)
            return
        opened.answers, opened.missing = [None] * len(segments), len(segments)
        for place, segment in enumerate(segments):
            self._send(opened, place, segment)

    def _next(self, opened: OpenTrial, answers: list[Evaluation] | None) -> list[Segment]:
        try:
            segments = opened.search.send(answers)  # type: ignore[arg-type]  # None starts a generator
            while not segments:
                segments = opened.search.send([])
        except StopIteration as stop:
            opened.winner = stop.value
            segments = [self._render(opened, stop.value)]
        return segments

    def _render(self, opened: OpenTrial, winner: Evaluation) -> Segment:
        """The last segment of every trial: no step, all rewards, the image."""
        if winner.state.step != self.plan.steps:
            raise ValueError(
                f"ended at step {winner.state.step} of {self.plan.steps}; a search must return an evaluation of a "
                "finished trajectory"
            )
        return Segment(winner.state, (), opened.task.trial.condition, ALL)

    def _send(self, opened: OpenTrial, place: int, segment: Segment) -> None:
        engine = self._engine_for(opened, segment)
        ticket, self._next_ticket = self._next_ticket, self._next_ticket + 1
        self._tickets[ticket] = Ticket(opened, place, engine, segment)
        opened.engines.add(engine)
        self.in_flight[engine] += 1
        self._jobs[engine].append(Job(ticket, segment))

    def _engine_for(self, opened: OpenTrial, segment: Segment) -> int:
        """A state's own engine; for a new trajectory the one with the least to do."""
        if isinstance(segment.start, State):
            return segment.start.engine
        if opened.pinned is not None:
            return opened.pinned
        return min(self._free, key=self.in_flight.__getitem__)

    def _finish(self, opened: OpenTrial, outcome: Outcome) -> None:
        task, winner, scores, costs = opened.task, opened.winner, outcome.scores, opened.costs
        assert winner is not None  # set before the last segment was sent
        assert scores is not None  # it asked for all
        self._released[winner.state.engine].append(outcome.ticket)
        devices = self.pool.describe()
        row = {
            **identity_columns(task.trial, task.key, self.study.model.label(task.trial.condition)),
            "value": scores[task.trial.reward],
            "nfe": costs.nfe,
            "decodes": costs.decodes,
            "reward_calls": costs.reward_calls,
            "device_seconds": costs.device_seconds,
            "device": " + ".join(sorted({devices[engine] or "?" for engine in opened.engines})),
            "noises": recipe_column(winner.state.noises),
            "image": outcome.image if self.study.config.images else None,
            **{f"score_{name}": value for name, value in scores.items()},
        }
        opened.winner = None
        self._end(opened)
        self._results.append(Result(task.key, row))

    def _fail(self, opened: OpenTrial, reason: str) -> None:
        task = opened.task
        self._end(opened)
        label = self.study.model.label(task.trial.condition)
        self._results.append(Result(task.key, error_row(task.trial, task.key, label, reason)))
