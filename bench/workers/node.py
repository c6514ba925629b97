"""Parts of a trajectory tree: nodes, their waiters, and the handles by which searches refer to them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, TypeAlias
from weakref import ref

from bench.workers.active_trial import ActiveTrial
from tts.engine.requests import EvalRequest, EvalResult
from tts.search.segment import Segment, State

Children: TypeAlias = "dict[Hashable, Node]"
"""Nodes by their edges: what is equal for all segments that lead to the same state."""


NOWHERE = -1
"""No engine yet."""


class Waiter(NamedTuple):
    """A trial that waits for a segment: which one, and the segment's place in the list that its search yielded."""

    trial: ActiveTrial
    place: int
    segment: Segment


class Node:
    """A state, running (an engine computes it) or held (an engine has it).

    Args:
        key: names the state in its engine.
        engine: which one; :data:`NOWHERE` until a new trajectory is placed.
        segment: leads to the state.
        parent: the node that the segment starts from; None: it starts from an initial noise.
        shared: whether segments that start from it may have their nodes in common.

    Attributes:
        step, noises: of the state.
        final: whether it is an image with all its scores, and its state is of no use to anyone.
        ahead: how far its scores look ahead of the state.
        children: nodes that start from it; None: they are not shared.
        result: what came of it, later scorings included; None while it is running.
        segment: what its engine is asked for at present; None: nothing.
        turn: when: the rank of the trial that asked first, and the ticket.
        length: steps that those who wait for it still need, one after another.
        waiters: those who wait for that.
        work: steps, in all, that they still need, as far as they wait for nothing else.
        uses: its handles, requests that start from it, answers that are being served; it is held while there are any.
    """

    __slots__ = (
        "_edge",
        "_siblings",
        "ahead",
        "children",
        "engine",
        "final",
        "key",
        "length",
        "noises",
        "parent",
        "result",
        "segment",
        "step",
        "turn",
        "uses",
        "waiters",
        "work",
    )

    def __init__(self, key: int, engine: int, segment: Segment, parent: Node | None, shared: bool) -> None:
        self.key, self.engine, self.parent = key, engine, parent
        self.step, self.noises, self.final, self.ahead = segment.stop, segment.recipe, segment.whole, segment.ahead
        self.children: Children | None = {} if shared else None
        self.result: EvalResult | None = None
        self.segment: Segment | None = segment
        self.waiters: list[Waiter] = []
        self.uses, self.work = 0, 0.0
        self.turn, self.length = (0, key), 0
        self._siblings: Children | None = None
        self._edge: Hashable = None

    def link(self, siblings: Children, edge: Hashable) -> None:
        """List the node under its edge, so that other trials find it."""
        self._siblings, self._edge = siblings, edge
        siblings[edge] = self

    def unlink(self) -> None:
        """Take the node, and all that starts from it, out of the tree, so that no trial finds them."""
        if self._siblings is not None and self._siblings.get(self._edge) is self:
            del self._siblings[self._edge]
        if self.children:
            self.children.clear()

    def is_where(self, segment: Segment) -> bool:
        """Whether a segment that starts from it leads nowhere else, and sees no other image."""
        return not (segment.noises or segment.whole or segment.ahead or self.ahead)

    def lacks(self, segment: Segment) -> tuple[str, ...]:
        """The segment's rewards that it has not been scored by."""
        result = self.result
        if result is None or not segment.rewards:
            return segment.rewards
        return tuple(name for name in segment.rewards if name not in result.scores and name not in result.errors)

    def answers(self, segment: Segment) -> bool:
        """Whether all that the segment asks for is there."""
        return self.result is not None and (self.final or not self.lacks(segment))

    @property
    def start(self) -> Node | None:
        """What its engine's request starts from: its parent, or itself if its state is there."""
        return self.parent if self.result is None else self

    @property
    def wanted(self) -> bool:
        """Whether anyone still waits for it."""
        return any(not waiter.trial.over for waiter in self.waiters)

    def join(self, waiter: Waiter) -> None:
        """Let one more wait for it."""
        self.waiters.append(waiter)
        self.length = max(self.length, waiter.trial.left)

    def request(self) -> EvalRequest:
        """What its engine is asked for: the rewards that anyone waits for and nobody has yet, each once."""
        assert self.segment is not None  # it has a ticket
        names = dict.fromkeys(name for waiter in self.waiters for name in self.lacks(waiter.segment))
        return EvalRequest(self.turn[1], self.segment, tuple(names), self.length)


class Handle(State):
    """A trial's hold on a node: a search goes on from it. Its copies are itself."""

    __slots__ = ("node",)
    node: Node

    def __init__(self, node: Node) -> None:
        super().__init__(node.key, node.engine, node.step, node.noises)
        object.__setattr__(self, "node", node)

    def __copy__(self) -> Handle:
        """Itself: a copy would not keep the state."""
        return self

    def __deepcopy__(self, memo: object) -> Handle:
        """Itself, as for a shallow copy."""
        return self


class Grip(ref[Handle]):
    """Tells when a handle is gone, and which node it was of; None: that is taken note of already."""

    __slots__ = ("handles", "node")
    node: Node | None
    handles: dict[int, Grip]
    """Where it stands itself: those of one trial, by their nodes' keys."""


class Served(NamedTuple):
    """An answer; ``paid``: forwards that were computed for this waiter; others are shared with who has paid them."""

    waiter: Waiter
    node: Node
    paid: int
