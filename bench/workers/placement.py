"""On which engines new trajectories begin."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from bench.workers.node import Node

SMALL = 0.25
"""Share of an engine's work up to which a problem's trajectories begin on one engine."""


def placed(nodes: Sequence[Node], work: Sequence[float], room: Sequence[int], free: Collection[int]) -> Iterator[int]:
    """The engine of each trajectory: of those with room the one with the least work left, so that all end together.

    A problem's trajectories begin on one engine. Were they spread, a search that drops some of them would go on where
    those happen to be that it keeps, and one engine would have much more left than another at a run's end. The
    trajectories of a problem that is large beside an engine's work are spread, or the other engines would wait for it.

    Args:
        nodes: new trajectories; those of a problem are neighbours.
        work: steps that are left on each engine.
        room: requests that each engine still takes; it may be negative.
        free: engines that take new trajectories.
    """
    work, room = list(work), list(room)
    mean = (sum(work[engine] for engine in free) + sum(node.work for node in nodes)) / len(free)
    sums: dict[int, float] = {}
    for node in nodes:
        sums[node.turn[0]] = sums.get(node.turn[0], 0.0) + node.work
    rank, engine = None, -1
    for node in nodes:
        if node.turn[0] != rank or sums[rank] > SMALL * mean:
            fed = [each for each in free if room[each] > 0] or free
            engine = min(fed, key=lambda each: (work[each], -room[each]))
        rank = node.turn[0]
        work[engine] += node.work
        room[engine] -= 1
        yield engine
