"""The searches of many trials at work on the same engines.

Searches are generators of segments; this keeps the engines supplied with the segments of as many trials as that takes,
hands the outcomes back, and makes a row of each trial that has ended. It knows nothing of tensors or of Ray, and runs
in the driver over many engines as well as beside one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection
from dataclasses import asdict

from bench.store.row import TrialRow, error_row, identity_columns, recipe_columns
from bench.study.study import Study
from bench.workers.active_trial import ActiveTrial, Lost, Result, Task
from bench.workers.pool import Pool, WorkerReport
from bench.workers.shared import Asker, Common, Known, Work
from bench.workers.trace import Trace
from tts.engine.requests import EvalResult
from tts.errors import SearchError, TTSError
from tts.search.rules import checked, chosen
from tts.search.segment import ALL, Evaluation, Segment, State

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
        self.nfe = 0
        self.shares = study.config.engines.share
        self.in_flight = [0] * pool.engines
        self._target = study.config.engines.oversupply * study.config.engines.batch
        self._common = Common(self.shares)
        self._works: dict[int, Work] = {}
        self._next_ticket = 0
        self._at_hand: deque[tuple[Asker, Known]] = deque()
        self._results: list[Result] = []
        self._new: list[list[int]] = [[] for _ in range(pool.engines)]
        self._released: list[list[int]] = [[] for _ in range(pool.engines)]
        self._free = list(range(pool.engines))

    def next_starved(self, among: Collection[int], left: int = 0) -> int | None:
        """The engine with the fewest segments in flight, if it has not enough, however many trials are left."""
        engine = min(among, key=self.in_flight.__getitem__, default=None)
        return engine if engine is not None and self.in_flight[engine] < self._target else None

    def restrict_to(self, engines: Collection[int]) -> None:
        """Start new trajectories on these engines only."""
        self._free = sorted(engines)

    def trials_on(self, engine: int) -> list[ActiveTrial]:
        """Open trials with segments or states on an engine."""
        return [opened for opened in self.open.values() if engine in opened.engines]

    def start(self, task: Task, engine: int = 0) -> None:
        """Begin a trial; on this engine alone, if it is to be alone."""
        opened = ActiveTrial(task, task.trial.problem(self.plan, self.study.searched), engine if task.alone else None)
        if self.study.config.trace:
            opened.trace = Trace(task.key)
        self.open[task.key] = opened
        self._advance(opened, None)
        self._hand_out()

    def dispatch(self) -> None:
        """Send every engine its new jobs, and the states that no search holds any more."""
        for engine, (new, released) in enumerate(zip(self._new, self._released, strict=True)):
            if new or released:
                forgotten = list(released)
                self.pool.submit(engine, [self._works[ticket].job(ticket) for ticket in new], forgotten)
                new.clear()
                del released[: len(forgotten)]  # in place: handles hold this list, and may add to it now

    def update(self, report: WorkerReport) -> list[Result]:
        """Hand outcomes to their searches; each search whose list is complete goes on. Returns what has ended."""
        for outcome in report.outcomes:
            work = self._works.pop(outcome.ticket, None)
            if work is not None:  # else of an engine that was given up
                self._answer(work, outcome)
        self._hand_out()
        results, self._results = self._results, []
        return results

    def lose(self, engine: int) -> Lost:
        """Give up an engine and every trial that it took part in; it may come back empty."""
        mine = [work for work in self._works.values() if work.engine == engine]
        at_work = {asker.open.task.key for work in mine for asker in work.waiting}
        lost = self.trials_on(engine)
        for opened in lost:
            self._end(opened)
        self._works = {ticket: work for ticket, work in self._works.items() if work.engine != engine}
        self._common.lose(engine)
        self.in_flight[engine], self._new[engine] = 0, []
        self._released[engine] = []  # another list: handles of the states that are gone go on filling the old one
        tasks = [opened.task for opened in lost]
        return Lost(
            [task for task in tasks if task.key in at_work], [task for task in tasks if task.key not in at_work]
        )

    def _end(self, opened: ActiveTrial) -> None:
        opened.close()
        del self.open[opened.task.key]

    def _answer(self, work: Work, outcome: EvalResult) -> None:
        """Hand a job's outcome to all who asked for it."""
        self.in_flight[work.engine] -= 1
        self.nfe += outcome.nfe
        released = self._released[work.engine]
        if work.segment.whole or work.of is not None or not work.waiting:
            released.append(outcome.ticket)
            state = work.of
        else:
            asked = work.segment
            state = Known(outcome.ticket, work.engine, asked.stop, asked.recipe, released, outcome, asked.ahead)
        self._common.end(work, None if work.of is not None else state)
        if work.of is not None:
            work.of.outcome.scores.update(outcome.scores)
            work.of.outcome.errors.update(outcome.errors)
        paid = outcome.nfe
        for asker in work.askers:
            if asker.open.over:
                continue
            if asker.segment.whole:
                self._finish(asker.open, outcome)
            else:
                assert state is not None  # somebody waits for it
                self._deliver(asker, state, paid)
            paid = 0
        for asker in work.later:
            if not asker.open.over:
                self._send(asker)

    def _hand_out(self) -> None:
        """Give trials what was at hand when they asked for it."""
        while self._at_hand:
            asker, state = self._at_hand.popleft()
            if not asker.open.over:
                self._deliver(asker, state, paid=0)

    def _deliver(self, asker: Asker, state: Known, paid: int) -> None:
        """Give a trial its evaluation; when its list is complete, its search goes on.

        Args:
            paid: forwards that were computed for it; the others it shares with a trial that has paid them.
        """
        opened, segment, outcome = asker.open, asker.segment, state.outcome
        known = isinstance(segment.start, State) and not segment.noises and not segment.ahead
        spent = EvalResult(outcome.ticket) if known else outcome  # a state that is only scored is paid for
        self._charge(opened, segment, spent, paid)
        for name in segment.rewards:
            if name in outcome.errors:
                self._fail(opened, outcome.errors[name])
                return
        own = opened.problem.reward
        opened.answers[asker.place] = Evaluation.of(state, segment, outcome.scores, own, spent.nfe)
        opened.missing -= 1
        if not opened.missing:
            answers = [answer for answer in opened.answers if answer is not None]
            self._note(opened, answers)
            opened.answers = []
            self._advance(opened, answers)

    def _charge(self, opened: ActiveTrial, segment: Segment, outcome: EvalResult, paid: int) -> None:
        costs = opened.costs
        costs.nfe += outcome.nfe
        costs.shared_nfe += max(0, outcome.nfe - paid)
        costs.device_seconds += outcome.seconds
        if segment.rewards:
            costs.decodes += 1
            costs.reward_calls += len(self.study.rewards if segment.whole else segment.rewards)

    def _note(self, opened: ActiveTrial, answers: list[Evaluation]) -> None:
        """Take down what a row and the trace tell of a list's evaluations."""
        if opened.task.trial.algorithm.independent:
            opened.samples = [answer.reward for answer in answers]
        if opened.trace is not None:
            opened.trace.add(opened.asked, answers)

    def _advance(self, opened: ActiveTrial, answers: list[Evaluation] | None) -> None:
        """Let a search go on to the next list that is not empty, or to its end."""
        try:
            segments = self._next(opened, answers)
        except (Exception, SystemExit) as error:  # a fault of this search on this problem; the other trials go on
            fault = str(error) if isinstance(error, SearchError) else f"{type(error).__name__}: {error}"
            ours = isinstance(error, TTSError) and not isinstance(error, SearchError)
            self._fail(opened, str(error) if ours else f"search {opened.task.trial.search}: {fault}")
            return
        opened.asked, opened.answers, opened.missing = segments, [None] * len(segments), len(segments)
        for place, segment in enumerate(segments):
            self._send(Asker(opened, place, segment))

    def _next(self, opened: ActiveTrial, answers: list[Evaluation] | None) -> list[Segment]:
        """The next list of segments that is not empty; after a search's end, the one that renders its choice."""
        if answers is not None:
            opened.meter.add(sum(answer.nfe for answer in answers))
        try:
            while not (segments := opened.send(answers)):
                opened.meter.add(0)
                answers = []
        except StopIteration as stop:
            opened.winner = chosen(stop.value, opened.problem)
            if not self._common.holds(opened.winner.state):
                raise SearchError(STRANGE) from None
            return [Segment(opened.winner.state, (), opened.task.trial.condition, ALL)]
        return checked(segments, opened.problem, self._common.holds)

    def _send(self, asker: Asker) -> None:
        """See that a trial gets a segment's outcome: it is at hand, or under way, or becomes a job."""
        common = self._common
        key = common.key(asker)
        if (work := common.under_way(key)) is not None:
            self._join(work, asker)
        elif (state := common.state(asker, key)) is None:
            self._begin(Work(key, self._engine_for(asker), asker.segment), asker)
        elif state.answers(asker.segment):
            asker.open.engines.add(state.engine)
            self._at_hand.append((asker, state))
        else:
            self._score(asker, state)

    def _score(self, asker: Asker, state: Known) -> None:
        """Have a state that is at hand scored by more rewards."""
        again = Segment(state, (), asker.segment.condition, state.lacks(asker.segment), state.ahead)
        key = self._common.key_of_more(asker._replace(segment=again))
        if (work := self._common.under_way(key)) is not None:
            self._join(work, asker)
        else:
            self._begin(Work(key, state.engine, again, of=state), asker)

    def _join(self, work: Work, asker: Asker) -> None:
        work.join(asker)
        asker.open.engines.add(work.engine)

    def _begin(self, work: Work, asker: Asker) -> None:
        """Make a job of a segment that nobody has asked for before."""
        ticket, self._next_ticket = self._next_ticket, self._next_ticket + 1
        self._works[ticket] = work
        self._common.begin(work)
        self._join(work, asker)
        self.in_flight[work.engine] += 1
        self._new[work.engine].append(ticket)

    def _engine_for(self, asker: Asker) -> int:
        """A state's own engine; for a new trajectory the one with the least to do."""
        start, pinned = asker.segment.start, asker.open.pinned
        if isinstance(start, State):
            return start.engine
        if pinned is not None:
            return pinned
        return min(self._free, key=self.in_flight.__getitem__)

    def _finish(self, opened: ActiveTrial, outcome: EvalResult) -> None:
        task, winner, costs = opened.task, opened.winner, opened.costs
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
            **identity_columns(task.trial, task.key, self.study.model.label(task.trial.condition)),
            value=outcome.scores[task.trial.reward],
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
        self._results.append(Result(task.key, row))

    def _fail(self, opened: ActiveTrial, reason: str) -> None:
        task = opened.task
        self._end(opened)
        label = self.study.model.label(task.trial.condition)
        self._results.append(Result(task.key, error_row(task.trial, task.key, label, reason)))
