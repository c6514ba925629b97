"""Which trials are to do, under way and done, and how often each was lost with its engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from bench.run.failures import Failure, History, Verdict, decide, halves
from bench.store.completed import CompletedTrials
from bench.study.study import Study
from bench.study.trial import Trial
from bench.workers.active_trial import Task

BLOCK = 1024  # trials whose identities are looked up at once


class TrialQueue:
    """Every trial of a run, made when it is needed: a run of a million has a few thousand in memory.

    Args:
        study: the run.
        done: trials to leave out.
        trials: which ones and in which order; None: those of the study's shard, problem by problem.
    """

    def __init__(self, study: Study, done: CompletedTrials, trials: Iterable[Trial] | None = None) -> None:
        self.study = study
        chosen = None if trials is None else list(trials)
        self.size, self.done, self.planned = _count(study, done, chosen)
        self.open: dict[str, Task] = {}
        self.suspects: deque[list[Task]] = deque()
        """Trials that may be why engines died, those together that run together."""
        self.histories: dict[str, History] = {}
        """Of the trials that were lost with an engine and have not ended."""
        self._again: deque[Task] = deque()  # to be begun before any other
        self._fresh = _left(study, done, iter(chosen) if chosen is not None else study.shard_trials())

    @property
    def unfinished(self) -> bool:
        """Whether any trial has neither result nor error yet."""
        return self.done < self.size

    @property
    def left(self) -> int:
        """Trials not begun or to be begun again, without those that need an engine of their own."""
        return self.size - self.done - len(self.open) - sum(map(len, self.suspects))

    def next(self) -> Task | None:
        """A trial to begin: those lost with an engine first."""
        task = self._take()
        return None if task is None else self._begin(task)

    def next_like(self, task: Task) -> Task | None:
        """The next trial to begin, if it is of the same problem; None if it is not."""
        following = self._take()
        if following is None or following.trial.shares_with(task.trial):
            return None if following is None else self._begin(following)
        self._again.appendleft(following)
        return None

    def _take(self) -> Task | None:
        return self._again.popleft() if self._again else next(self._fresh, None)

    def next_suspects(self) -> list[Task]:
        """Trials to begin together on an engine that has nothing else to do."""
        return [self._begin(task) for task in self.suspects.popleft()]

    def _begin(self, task: Task) -> Task:
        self.open[task.key] = task
        return task

    def finish(self, key: str) -> Task | None:
        """Take note of a trial's end; None if it has ended before."""
        task = self.open.pop(key, None)
        if task is not None:
            self.done += 1
            self.histories.pop(key, None)
        return task

    def lose(self, tasks: Sequence[Task], innocent: bool) -> list[Task]:
        """Put trials back that were at work on an engine that is lost.

        Args:
            tasks: those of one engine; if one of them is suspect, all are.
            innocent: whether none of them can be blamed.

        Returns:
            Those that are given up; they stay open until they are finished with an error.
        """
        failure = Failure(innocent, sum(task.alone for task in tasks))
        given_up, suspects = [], []
        for task in tasks:
            history = self.histories[task.key] = self.histories.get(task.key, History()).after(failure)
            verdict = decide(history, failure)
            if verdict is Verdict.fail:
                given_up.append(task)
                continue
            del self.open[task.key]
            if verdict is Verdict.retry:
                self._again.append(task)
            else:
                suspects.append(task._replace(alone=True))
        half = len(suspects) // 2 if halves((self.histories[task.key] for task in suspects), failure) else 0
        self.suspects.extend(group for group in (suspects[:half], suspects[half:]) if group)
        return given_up

    def put_back(self, tasks: Iterable[Task]) -> None:
        """Put trials back that had nothing at work on an engine that is lost."""
        for task in tasks:
            del self.open[task.key]
            self._again.append(task)


def _left(study: Study, done: CompletedTrials, trials: Iterator[Trial]) -> Iterator[Task]:
    while block := [Task(trial.key(study.context), trial) for trial in islice(trials, BLOCK)]:
        known = done.holds([task.key for task in block])
        yield from (task for task, is_done in zip(block, known, strict=True) if not is_done)


def _count(study: Study, done: CompletedTrials, chosen: list[Trial] | None) -> tuple[int, int, int]:
    """How many trials there are, how many of them are done, and the forwards that the others take."""
    plan = study.plan
    if chosen is None and not study.config.shard and len(done) == done.by_search.total():
        by_search = {(entry.name, entry.algorithm.text): entry.algorithm.nfe(plan) for entry in study.entries}
        spent = sum(by_search[search] * times for search, times in done.by_search.items())
        each = study.problems * len(study.searched)
        return study.size, len(done), each * sum(by_search.values()) - spent
    trials = iter(chosen) if chosen is not None else study.shard_trials()
    size = study.shard_size if chosen is None else len(chosen)
    left = planned = 0
    for task in _left(study, done, trials):
        left, planned = left + 1, planned + task.trial.algorithm.nfe(plan)
    return size, size - left, planned
