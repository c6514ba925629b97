"""The trials to do, under way and done, and how often each was lost with its engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from bench.run.failures import Failure, History, Verdict, decide, halves
from bench.store.completed import CompletedTrials
from bench.study.study import Study
from bench.study.trial import Trial

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
        self.open: dict[str, Trial] = {}
        self.suspects: deque[list[Trial]] = deque()
        """Trials that may have killed engines, in the groups in which they run."""
        self.histories: dict[str, History] = {}
        """Losses of the trials that were lost with an engine and have not ended."""
        self._again: deque[Trial] = deque()  # to be begun before any other
        self._fresh = _left(done, iter(chosen) if chosen is not None else study.shard_trials())

    @property
    def unfinished(self) -> bool:
        """Whether any trial has neither result nor error yet."""
        return self.done < self.size

    @property
    def left(self) -> int:
        """Trials not begun or to be begun again, without those that need an engine of their own."""
        return self.size - self.done - len(self.open) - sum(map(len, self.suspects))

    def next(self) -> Trial | None:
        """A trial to begin: those lost with an engine first."""
        trial = self._take()
        return None if trial is None else self._begin(trial)

    def next_like(self, trial: Trial) -> Trial | None:
        """The next trial to begin, if it is of the same problem; None if it is not."""
        following = self._take()
        if following is None or following.shares_with(trial):
            return None if following is None else self._begin(following)
        self._again.appendleft(following)
        return None

    def _take(self) -> Trial | None:
        return self._again.popleft() if self._again else next(self._fresh, None)

    def next_suspects(self) -> list[Trial]:
        """Trials to begin together on an engine that has nothing else to do."""
        return [self._begin(trial) for trial in self.suspects.popleft()]

    def _begin(self, trial: Trial) -> Trial:
        self.open[trial.key] = trial
        return trial

    def finish(self, key: str) -> Trial | None:
        """Note a trial's end; None if it has ended before."""
        trial = self.open.pop(key, None)
        if trial is not None:
            self.done += 1
            self.histories.pop(key, None)
        return trial

    def lose(self, trials: Sequence[Trial], innocent: bool) -> list[Trial]:
        """Put trials back that were at work on an engine that is lost.

        Args:
            trials: those of one engine; if one of them is suspect, all are.
            innocent: whether none of them can be blamed.

        Returns:
            Those that are given up; they stay open until they are finished with an error.
        """
        failure = Failure(innocent, sum(trial.alone for trial in trials))
        given_up, suspects = [], []
        for trial in trials:
            history = self.histories[trial.key] = self.histories.get(trial.key, History()).after(failure)
            verdict = decide(history, failure)
            if verdict is Verdict.fail:
                given_up.append(trial)
                continue
            del self.open[trial.key]
            if verdict is Verdict.retry:
                self._again.append(trial)
            else:
                suspects.append(replace(trial, alone=True))
        half = len(suspects) // 2 if halves((self.histories[trial.key] for trial in suspects), failure) else 0
        self.suspects.extend(group for group in (suspects[:half], suspects[half:]) if group)
        return given_up

    def put_back(self, trials: Iterable[Trial]) -> None:
        """Put trials back that had nothing at work on an engine that is lost."""
        for trial in trials:
            del self.open[trial.key]
            self._again.append(trial)


def _left(done: CompletedTrials, trials: Iterator[Trial]) -> Iterator[Trial]:
    while block := list(islice(trials, BLOCK)):
        known = done.holds([trial.key for trial in block])
        yield from (trial for trial, is_done in zip(block, known, strict=True) if not is_done)


def _count(study: Study, done: CompletedTrials, chosen: list[Trial] | None) -> tuple[int, int, int]:
    """How many trials there are, how many of them are done, and the forwards that the others take."""
    plan = study.plan
    by_search = {(entry.name, entry.algorithm.text): entry.algorithm.nfe(plan) for entry in study.entries}
    known = len(done) == done.by_search.total() and done.by_search.keys() <= by_search.keys()
    if chosen is None and not study.config.shard and known:
        spent = sum(by_search[search] * times for search, times in done.by_search.items())
        each = study.problems * len(study.searched)
        return study.size, len(done), each * sum(by_search.values()) - spent
    trials = iter(chosen) if chosen is not None else study.shard_trials()
    size = study.shard_size if chosen is None else len(chosen)
    left = planned = 0
    for trial in _left(done, trials):
        left, planned = left + 1, planned + trial.algorithm.nfe(plan)
    return size, size - left, planned
