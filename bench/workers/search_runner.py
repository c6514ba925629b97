"""The searches of many trials at work on the same engines.

Searches are generators of segments; this keeps the engines supplied with the segments of as many trials as that takes,
hands the outcomes back, and makes a row of each trial that has ended. It knows nothing of tensors or of Ray, and runs
in the driver over many engines as well as beside one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable
from dataclasses import asdict
from functools import partial

from bench.store.row import TrialRow, error_row, identity_columns, recipe_columns
from bench.study.study import Study
from bench.study.trial import Trial
from bench.workers.active_trial import ActiveTrial, Lost
from bench.workers.node import Served, Waiter
from bench.workers.pool import Pool, WorkerReport
from bench.workers.trace import Trace
from bench.workers.trajectory_tree import TrajectoryTree
from tts.engine.requests import EvalResult
from tts.errors import SearchError, TTSError, text_of
from tts.search.rules import checked, chosen
from tts.search.segment import ALL, Evaluation, Segment, State

READY = 2
"""Batches of requests that an engine has before it at least: those of its next pass, and as many behind them."""

STRANGE = "ended with a state that it was not given; a search must return an evaluation as it came"


class SearchRunner:
    """Runs trials over the engines of a pool.

    Args:
        study: what the trials belong to.
        pool: where segments are evaluated.
    """

    def __init__(self, study: Study, pool: Pool) -> None:
        self.study, self.pool, self.plan = study, pool, study.plan
        self.open: dict[str, ActiveTrial] = {}
        self.nfe, self._charged, self._work = 0, 0, 0.0
        self.shares = study.config.engines.share
        self._last: Trial | None = None
        self._rank = 0
        engines = study.config.engines
        most = math.ceil(max(READY, engines.oversupply - 1) * engines.batch)
        target = math.ceil(engines.oversupply * engines.batch)
        self._tree = TrajectoryTree(pool.engines, self.shares, engines.batch, most, target)
        self._results: list[TrialRow] = []

    @property
    def ended(self) -> int:
        """Trials that have ended since the last update."""
        return len(self._results)

    def next_starved(self, among: Collection[int], left: int = 0) -> int | None:
        """The engine with the fewest segments in flight, if it has not enough, however many trials are left."""
        return self._tree.starved(among)

    def restrict_to(self, engines: Collection[int]) -> None:
        """Start new trajectories on these engines only."""
        self._tree.restrict_to(engines)

    def trials_on(self, engine: int) -> list[ActiveTrial]:
        """Open trials with segments or states on an engine."""
        return [opened for opened in self.open.values() if engine in opened.engines]

    def start(self, trial: Trial, engine: int = 0) -> None:
        """Begin a trial; on this engine alone, if it is to be alone."""
        if not (self.shares and self._last is not None and trial.shares_with(self._last)):
            self._rank += 1
        self._last = trial
        problem, pinned = trial.problem(self.plan, self.study.searched), engine if trial.alone else None
        opened = ActiveTrial(trial, problem, pinned, self._rank)
        if self.study.config.trace:
            opened.trace = Trace(trial.key)
        self.open[trial.key] = opened
        self._advance(opened, None)
        self._serve(self._tree.at_hand())

    def dispatch(self, left: int = 0) -> None:
        """Send every engine its new requests, and the states that no search refers to any more.

        Args:
            left: trials that are not begun.
        """
        for engine, requests, released in self._tree.requests(self._left(), self._length(), left > 0):
            self.pool.submit(engine, requests, released)

    def _left(self) -> float:
        """Steps that open trials still take on each engine, if they go on to share as much as they did so far."""
        return self._work * (1 + self.nfe) / (1 + self._charged) / self.pool.engines

    def _length(self) -> float:
        """Steps that an open trial still takes one after another, on average."""
        return sum(opened.left for opened in self.open.values()) / max(1, len(self.open))

    def update(self, report: WorkerReport) -> list[TrialRow]:
        """Hand results to their searches; each search whose list is complete goes on. Returns what has ended."""
        self._tree.scoring[report.engine] = report.scoring
        for result in report.outcomes:
            if self._tree.awaits(result.ticket):
                self.nfe += result.nfe
                self._serve(self._tree.answer(result))
        self._serve(self._tree.at_hand())
        ended, self._results = self._results, []
        return ended

    def lose(self, engine: int) -> Lost:
        """Give up an engine and every trial that it took part in; it may come back empty."""
        at_work, lost = self._tree.at_work(engine), self.trials_on(engine)
        for opened in lost:
            self._end(opened)
        self._tree.lose(engine)
        return Lost(
            [opened.trial for opened in lost if opened in at_work],
            [opened.trial for opened in lost if opened not in at_work],
        )

    def _end(self, opened: ActiveTrial) -> None:
        self._work -= opened.work
        opened.close()
        self._tree.let_go(opened)
        del self.open[opened.trial.key]

    def _serve(self, answers: Iterable[Served]) -> None:
        """Hand answers to their waiters."""
        for served in answers:
            if served.waiter.segment.whole:
                assert served.node.result is not None  # it is served
                self._finish(served.waiter.trial, served.node.result)
            else:
                self._deliver(served)

    def _deliver(self, served: Served) -> None:
        """Give a trial its evaluation; when its list is complete, its search goes on."""
        (opened, place, segment), node, paid = served
        outcome = node.result
        assert outcome is not None  # it is served
        known = isinstance(segment.start, State) and not segment.noises and not segment.ahead
        spent = EvalResult(outcome.ticket) if known else outcome  # a state that is only scored is paid for
        self._charge(opened, segment, spent, paid)
        for name in segment.rewards:
            if name in outcome.errors:
                self._fail(opened, outcome.errors[name])
                return
        state, own = self._tree.handle(opened, node), opened.problem.reward
        opened.answers[place] = Evaluation.of(state, segment, outcome.scores, own, spent.nfe)
        opened.missing -= 1
        if not opened.missing:
            answers = [answer for answer in opened.answers if answer is not None]
            self._note(opened, answers)
            opened.answers = []
            self._advance(opened, answers)

    def _charge(self, opened: ActiveTrial, segment: Segment, outcome: EvalResult, paid: int) -> None:
        """Add to a trial's costs what a segment costs it alone; ``paid``: forwards that were computed for it."""
        costs = opened.costs
        costs.nfe += outcome.nfe
        self._charged += outcome.nfe
        costs.shared_nfe += max(0, outcome.nfe - paid)
        costs.device_seconds += outcome.seconds
        if segment.rewards:
            costs.decodes += 1
            costs.reward_calls += len(self.study.rewards if segment.whole else segment.rewards)

    def _note(self, opened: ActiveTrial, answers: list[Evaluation]) -> None:
        """Record a list's evaluations for the row and the trace."""
        if opened.trial.algorithm.independent:
            opened.samples = [answer.reward for answer in answers]
        if opened.trace is not None:
            opened.trace.add(opened.asked, answers)

    def _advance(self, opened: ActiveTrial, answers: list[Evaluation] | None) -> None:
        """Let a search go on to the next list that is not empty, or to its end."""
        try:
            segments = self._next(opened, answers)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a fault of this search on this problem; the other trials go on
            fault = str(error) if isinstance(error, SearchError) else f"{type(error).__name__}: {text_of(error)}"
            ours = isinstance(error, TTSError) and not isinstance(error, SearchError)
            self._fail(opened, str(error) if ours else f"search {opened.trial.search}: {fault}")
            return
        opened.asked, opened.answers, opened.missing = segments, [None] * len(segments), len(segments)
        for place, segment in enumerate(segments):
            self._tree.ask(Waiter(opened, place, segment))

    def _next(self, opened: ActiveTrial, answers: list[Evaluation] | None) -> list[Segment]:
        """The next list of segments that is not empty; after a search's end, the one that renders its choice."""
        if answers is not None:
            opened.spend(answers)
        holds = partial(self._tree.holds, opened)
        try:
            while _is_empty(segments := opened.send(answers)):
                opened.spend([])
                answers = []
        except StopIteration as stop:
            opened.winner = chosen(stop.value, opened.problem)
            if not holds(opened.winner.state):
                raise SearchError(STRANGE) from None
            return [Segment(opened.winner.state, (), opened.trial.condition, ALL)]
        before = opened.work
        opened.measure()
        self._work += opened.work - before
        return checked(segments, opened.problem, holds)

    def _finish(self, opened: ActiveTrial, outcome: EvalResult) -> None:
        trial, winner, costs = opened.trial, opened.winner, opened.costs
        assert winner is not None  # set before the last segment was sent
        [last] = opened.asked
        self._charge(opened, last, outcome, paid=outcome.nfe)
        for error in outcome.errors.values():
            self._fail(opened, error)
            return
        devices = self.pool.describe()
        if opened.trace is not None:
            opened.trace.choose(last)
        row = TrialRow(
            **identity_columns(trial, self.study.model.label(trial.condition)),
            value=outcome.scores[trial.reward],
            **asdict(costs),
            wall_seconds=time.monotonic() - opened.since,
            device=" + ".join(sorted({devices[engine] or "?" for engine in opened.engines})),
            samples=opened.samples,
            **recipe_columns(winner.state.noises),
            image=outcome.image if self.study.config.images else None,
            image_sha256=outcome.image_sha256,
            scores=outcome.scores,
            features=outcome.features,
            evaluations=() if opened.trace is None else opened.trace.rows(),
        )
        opened.winner = None
        self._end(opened)
        self._results.append(row)

    def _fail(self, opened: ActiveTrial, reason: str) -> None:
        trial = opened.trial
        self._end(opened)
        self._results.append(error_row(trial, self.study.model.label(trial.condition), reason))


def _is_empty(yielded: object) -> bool:
    """Whether a search asks for nothing now; what is no list at all is a fault."""
    return isinstance(yielded, list | tuple) and not yielded
