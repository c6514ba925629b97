"""The tree of trajectories that trials share: work that several of them ask for is done once.

A trajectory is its noise: segments that start from the same state, or from the same initial noise of one condition,
with the same noises lead to the same state, whichever searches, budgets and rewards ask for them. So naive sampling
is inside best-of-N, a small N inside a large one, and the first steps of all searches are the same.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Collection, Hashable, Iterator

from bench.workers.active_trial import ActiveTrial
from bench.workers.node import NOWHERE, Children, Grip, Handle, Node, Served, Waiter
from bench.workers.placement import placed
from tts.engine.requests import EvalRequest, EvalResult
from tts.engine.turns import Turns
from tts.search.segment import Segment, State

TOGETHER = 4.0
"""Batches of rows from which the last trials go on evenly: were the first of them to go first, the last ones would wait
for their own rounds in passes of mostly padding."""


class TrajectoryTree:
    """The states of all trials on some engines: finds or makes nodes, and asks engines for what is missing.

    An engine may forget a state as soon as no search refers to it and nothing that starts from it is running; the
    states of a trial that has ended at once, whatever still refers to them.

    Args:
        engines: how many.
        share: whether trials share; one that is kept to an engine of its own shares with itself only.
        batch: rows of an engine's passes.
        target: requests that each engine should have, those that wait here included.
        most: requests that an engine has before it at a time; others wait here, those of the first problems in front.
    """

    def __init__(
        self, engines: int, share: bool, batch: int = 1, most: int = sys.maxsize, target: int = sys.maxsize
    ) -> None:
        self.in_flight = [0] * engines
        self.work = [0.0] * engines
        """Steps that are left of those who wait for each engine."""
        self.scoring = [0] * engines
        """Of those in flight, the ones that only wait for their scores, as far as engines have said."""
        self._share = share
        self._free: Collection[int] = range(engines)
        self._root: Children = {}
        self._private: dict[ActiveTrial, Children] = {}
        self._running: dict[int, Node] = {}
        self._held: dict[int, Node] = {}
        self._handles: dict[ActiveTrial, dict[int, Grip]] = {}
        self._gone: deque[Grip] = deque()
        self._at_hand: deque[Served] = deque()
        self._last_start: Node | None = None
        self._tickets = 0
        self._batch, self._most, self._target = batch, most, target
        self._unplaced: list[Node] = []
        self._new = [Turns[Node](batch) for _ in range(engines)]
        self._released: list[list[int]] = [[] for _ in range(engines)]

    def restrict_to(self, engines: Collection[int]) -> None:
        """Begin new trajectories on these engines only."""
        self._free = sorted(engines)

    def starved(self, among: Collection[int]) -> int | None:
        """The engine with the fewest requests, if these engines have not enough."""
        room = sum(max(0, self._target - self.in_flight[engine]) for engine in among)
        return min(among, key=self.in_flight.__getitem__) if room > len(self._unplaced) else None

    def ask(self, waiter: Waiter) -> None:
        """Register a trial for a segment's answer, which is at hand, under way, or requested now."""
        self._sweep()
        siblings, edge, node = self._find(waiter)
        if node is None:
            node = self._make(waiter, siblings, edge)
        elif node.answers(waiter.segment):
            waiter.trial.engines.add(node.engine)
            node.uses += 1
            self._at_hand.append(Served(waiter, node, paid=0))
            return
        elif node.segment is None:
            self._score(node, waiter)
        node.join(waiter)
        self._expect(node, waiter.trial.share)
        if node.engine != NOWHERE:
            waiter.trial.engines.add(node.engine)

    def requests(
        self, work: float = 0.0, length: float = 0.0, more: bool = False
    ) -> Iterator[tuple[int, list[EvalRequest], list[int]]]:
        """For each engine with anything new, its requests and the states that it may forget.

        Args:
            work: steps that are still to be taken on each engine.
            length: steps that a trial still takes one after another, on average.
            more: whether trials follow that are not begun.
        """
        self._sweep()
        self._place()
        together = not more and work <= TOGETHER * self._batch * length
        for engine, (waiting, released) in enumerate(zip(self._new, self._released, strict=True)):
            before = self.in_flight[engine] - len(waiting) - self.scoring[engine]
            new = waiting.take_all() if together else waiting.take(self._most - before, work)
            if new or released:
                self._released[engine] = []
                yield engine, [node.request() for node in new], released

    def awaits(self, ticket: int) -> bool:
        """Whether a result is wanted; one of an engine that was given up is not."""
        return ticket in self._running

    def answer(self, result: EvalResult) -> Iterator[Served]:
        """Serve a node's waiters in the order in which they asked; a waiter that asked too late for more rewards asks
        again."""
        self._leave_last_start()
        node, paid = self._running.pop(result.ticket), result.nfe
        self.in_flight[node.engine] -= 1
        self._expect(node, -node.work)
        self._last_start = node.start
        node.uses += 1
        self._settle(node, result)
        waiters, node.waiters, node.segment = node.waiters, [], None
        late = [waiter for waiter in waiters if not node.answers(waiter.segment)]
        for waiter in waiters:
            if not waiter.trial.over and waiter not in late:
                yield Served(waiter, node, paid)
                paid = 0
        for waiter in late:
            if not waiter.trial.over:
                self.ask(waiter)
        self._leave(node)

    def at_hand(self) -> Iterator[Served]:
        """Serve the waiters whose answers were at hand, until there are none."""
        while self._at_hand:
            served = self._at_hand.popleft()
            if not served.waiter.trial.over:
                yield served
            self._leave(served.node)
        self._leave_last_start()

    def handle(self, trial: ActiveTrial, node: Node) -> Handle:
        """A trial's handle of a node, the same one for as long as the trial refers to it."""
        handles = self._handles.get(trial)
        if handles is None:
            handles = self._handles[trial] = {}
        grip = handles.get(node.key)
        handle = None if grip is None else grip()
        if handle is None:
            handle = Handle(node)
            grip = handles[node.key] = Grip(handle, self._gone.append)
            grip.node, grip.handles = node, handles
            node.uses += 1
        return handle

    def holds(self, trial: ActiveTrial, state: State) -> bool:
        """Whether a state is one that the trial was given, and no copy of one."""
        grip = self._handles.get(trial, {}).get(state.key)
        return grip is not None and grip() is state

    def let_go(self, trial: ActiveTrial) -> None:
        """Release all that a trial which has ended may still refer to."""
        handles = self._handles.pop(trial, {})
        for grip in handles.values():
            self._drop(grip)
        handles.clear()
        self._private.pop(trial, None)

    def at_work(self, engine: int) -> set[ActiveTrial]:
        """The trials that wait for an engine."""
        unsent = set(self._new[engine])
        mine = (node for node in self._running.values() if node.engine == engine and node not in unsent)
        return {waiter.trial for node in mine for waiter in node.waiters if not waiter.trial.over}

    def lose(self, engine: int) -> None:
        """Forget what an engine had."""
        for nodes in (self._running, self._held):
            for key in [key for key, node in nodes.items() if node.engine == engine]:
                nodes.pop(key).unlink()
        self.in_flight[engine], self.scoring[engine], self.work[engine] = 0, 0, 0.0
        self._new[engine], self._released[engine] = Turns(self._batch), []

    def _find(self, waiter: Waiter) -> tuple[Children | None, Hashable, Node | None]:
        """Among which nodes a segment's node belongs and by which edge, and the node if it is there."""
        segment, start = waiter.segment, waiter.segment.start
        if isinstance(start, Handle):
            siblings = start.node.children
            if siblings is not None and start.node.is_where(segment):
                return None, None, start.node
            edge: Hashable = (segment.noises, segment.whole, segment.ahead)
        else:
            siblings = self._root_of(waiter.trial)
            edge = (segment.condition, start, segment.noises, segment.whole, segment.ahead)
        return siblings, edge, None if siblings is None else siblings.get(edge)

    def _root_of(self, trial: ActiveTrial) -> Children | None:
        """The nodes that start from initial noises, as far as a trial may share them."""
        if not self._share:
            return None
        return self._root if trial.pinned is None else self._private.setdefault(trial, {})

    def _make(self, waiter: Waiter, siblings: Children | None, edge: Hashable) -> Node:
        """Request a segment that nobody has asked for before."""
        start = waiter.segment.start
        parent = start.node if isinstance(start, Handle) else None
        new = NOWHERE if waiter.trial.pinned is None else waiter.trial.pinned
        engine = new if parent is None else parent.engine
        node = Node(self._tickets, engine, waiter.segment, parent, siblings is not None)
        if siblings is not None:
            node.link(siblings, edge)
        self._run(node, waiter.trial.rank)
        return node

    def _score(self, node: Node, waiter: Waiter) -> None:
        """Request more rewards of a state that is held."""
        state, segment = State(node.key, node.engine, node.step, node.noises), waiter.segment
        node.segment = Segment(state, (), segment.condition, node.lacks(segment), node.ahead)
        self._run(node, waiter.trial.rank)

    def _run(self, node: Node, rank: int) -> None:
        """Put what a node's engine is asked for under the next ticket."""
        if node.start is not None:
            node.start.uses += 1
        self._running[self._tickets] = node
        node.turn, node.length = (rank, self._tickets), 0
        self._tickets += 1
        if node.engine == NOWHERE:
            self._unplaced.append(node)
        else:
            self._new[node.engine].add([node])
            self.in_flight[node.engine] += 1

    def _place(self) -> None:
        """Choose engines for new trajectories, all that are asked for since the last time together."""
        new, self._unplaced = self._unplaced, []
        room = [self._target - many for many in self.in_flight]
        for node, engine in zip(new, placed(new, self.work, room, self._free), strict=True):
            node.engine = engine
            self._new[engine].add([node])
            self.in_flight[engine] += 1
            self.work[engine] += node.work
            for waiter in node.waiters:
                waiter.trial.engines.add(engine)

    def _expect(self, node: Node, work: float) -> None:
        """So many steps more depend on a node."""
        node.work += work
        if node.engine != NOWHERE:
            self.work[node.engine] += work

    def _settle(self, node: Node, result: EvalResult) -> None:
        """Take a result in: the node is held from now on, if anyone wants its state."""
        if node.result is not None:  # of a scoring, which leaves a second state in its engine
            node.result.scores.update(result.scores)
            node.result.errors.update(result.errors)
            self._released[node.engine].append(result.ticket)
            return
        node.result = result
        if node.final or not node.wanted:
            node.unlink()
            self._released[node.engine].append(result.ticket)
        else:
            self._held[node.key] = node

    def _leave_last_start(self) -> None:
        """Let go of what the last request that was answered started from.

        Until then those who are served at hand, who are behind, may come to it as well.
        """
        if self._last_start is not None:
            self._leave(self._last_start)
        self._last_start = None

    def _sweep(self) -> None:
        """Note the handles that are gone.

        They go at any moment, those in reference cycles in any thread that collects garbage; so that is not the moment
        to change anything.
        """
        while self._gone:
            grip = self._gone.popleft()
            if grip.node is not None and grip.handles.get(grip.node.key) is grip:
                del grip.handles[grip.node.key]
            self._drop(grip)

    def _drop(self, grip: Grip) -> None:
        """Note, once, that a handle is of no use any more."""
        node, grip.node = grip.node, None
        if node is not None:
            self._leave(node)

    def _leave(self, node: Node) -> None:
        """Count one user of a node less; after the last one, let its engine forget the state."""
        node.uses -= 1
        if not node.uses and self._held.pop(node.key, None) is not None:
            self._released[node.engine].append(node.key)
            node.unlink()
