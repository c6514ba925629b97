"""A tree of trajectories without engines."""

from __future__ import annotations

from collections.abc import Iterable

from bench.study.trial import Context, Trial
from bench.workers.active_trial import ActiveTrial
from bench.workers.node import Handle, Served, Waiter
from bench.workers.trajectory_tree import TrajectoryTree
from tts.engine.requests import EvalRequest, EvalResult
from tts.plan import Plan
from tts.search.base import Problem
from tts.search.naive import Naive
from tts.search.segment import Segment, State

PLAN = Plan((1,) * 4, (True,) * 4)
PROBLEM = Problem(3, 1, PLAN, "a", ("b", "c"))


def active(pinned: int | None = None, rank: int = 0) -> ActiveTrial:
    """A trial at work; its search does not matter here."""
    return ActiveTrial(Trial("naive", Naive(), None, "a", 3, 0, 1, Context({}, {}, {})), PROBLEM, pinned, rank)


class Bench:
    """A tree and its requests to engines; :attr:`handles` holds the handles that were served last."""

    def __init__(self, engines: int = 1, share: bool = True, most: int = 1000, target: int = 1000) -> None:
        self.tree = TrajectoryTree(engines, share, most=most, target=target)
        self.requested: list[EvalRequest] = []
        self.released: list[int] = []
        self.served: list[Served] = []
        self.handles: list[Handle] = []

    def ask(self, trial: ActiveTrial, *segments: Segment) -> None:
        """Ask for segments, and hand out results that are at hand."""
        for place, segment in enumerate(segments):
            self.tree.ask(Waiter(trial, place, segment))
        self.served, self.handles = [], []
        self._serve(self.tree.at_hand())

    def send(self, work: float = 1e9) -> list[EvalRequest]:
        """Requests to engines; states that engines may forget are in :attr:`released`."""
        self.released, new = [], []
        for _, requests, released in self.tree.requests(work):
            new += requests
            self.released += released
        self.requested += new
        return new

    def answer(self, *requests: EvalRequest, errors: tuple[str, ...] = ()) -> list[Served]:
        """Answer requests: 10 forwards for a new state, 1 for each step of a look-ahead; the ticket is the reward."""
        self.served, self.handles = [], []
        for ticket, segment, rewards, *_ in requests:
            assert rewards is not None
            nfe = (10 if segment.noises or not isinstance(segment.start, State) else 0) + segment.ahead
            scores = {name: float(ticket) for name in rewards if name not in errors}
            failed = {name: f"{name} failed" for name in rewards if name in errors}
            self._serve(self.tree.answer(EvalResult(ticket, scores, nfe=nfe, errors=failed)))
        self._serve(self.tree.at_hand())
        return self.served

    def _serve(self, answers: Iterable[Served]) -> None:
        for served in answers:
            self.served.append(served)
            if not served.waiter.segment.whole:
                self.handles.append(self.tree.handle(served.waiter.trial, served.node))

    def state(self, trial: ActiveTrial, segment: Segment) -> Handle:
        """A trial's only handle of the state to which a segment leads."""
        self.ask(trial, segment)
        if not self.served:
            self.answer(*self.send())
        [handle], self.handles = self.handles, []
        return handle


def paid(served: list[Served]) -> list[tuple[ActiveTrial, bool]]:
    """Served trials, and whether each pays."""
    return [(each.waiter.trial, each.paid > 0) for each in served]
