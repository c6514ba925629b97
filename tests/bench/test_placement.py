"""On which engines new trajectories begin."""

from __future__ import annotations

from collections.abc import Sequence

from tree_bench import Bench, active

from bench.workers.node import NOWHERE, Node
from bench.workers.placement import placed
from tts.noise import Noise
from tts.search.segment import Segment

ROOM = 100


def nodes(*works: Sequence[float]) -> list[Node]:
    """New trajectories of some problems, each with the steps that depend on it."""
    found = []
    for rank, problem in enumerate(works):
        for work in problem:
            node = Node(len(found), NOWHERE, Segment(Noise(len(found)), (None,), 3), None, shared=True)
            node.turn, node.work = (rank, len(found)), work
            found.append(node)
    return found


def test_a_small_problem_begins_on_one_engine() -> None:
    """And each on the one with the least work."""
    works = [(10.0, 10.0)] * 10
    assert list(placed(nodes(*works), [0.0, 0.0], [ROOM] * 2, [0, 1])) == [0, 0, 1, 1] * 5
    assert list(placed(nodes(*works), [60.0, 0.0], [ROOM] * 2, [0, 1])) == [1] * 6 + [0, 0, 1, 1] * 3 + [0, 0]


def test_a_large_problem_is_spread() -> None:
    """Else engines would wait for the one that has it."""
    assert list(placed(nodes((1.0,) * 6), [0.0] * 3, [ROOM] * 3, range(3))) == [0, 1, 2, 0, 1, 2]
    few = nodes((1.0,) * 3, (1.0,) * 3, (1.0,) * 3)
    assert list(placed(few, [0.0] * 2, [ROOM] * 2, [0, 1])) == [0, 1, 0, 1, 0, 1, 0, 1, 0]


def test_an_engine_that_lacks_requests_goes_before_one_with_less_work() -> None:
    """Those whose trials are narrow for a while would starve."""
    works = [(1.0,)] * 10
    assert list(placed(nodes(*works), [90.0, 0.0], [3, 2], [0, 1])) == [1, 1, 0, 0, 0, *[1] * 5]


def test_only_free_engines_take_trajectories() -> None:
    assert list(placed(nodes((1.0,), (1.0,)), [0.0, 5.0, 9.0], [ROOM] * 3, [1, 2])) == [1, 1]


def test_work_is_what_those_who_wait_still_need() -> None:
    """It goes with the answer; a waiter that joins adds its own."""
    bench = Bench(engines=2)
    one, two = active(rank=1), active(rank=2)
    one.work, two.work = 8.0, 6.0
    for trial in (one, two):
        trial.asked = [Segment(Noise(0), (None,), 3), Segment(Noise(1), (None,), 3)]
        bench.ask(trial, *trial.asked)
    [first, second] = bench.send()
    assert sorted(bench.tree.work) == [7.0, 7.0]
    assert bench.tree.in_flight == [1, 1]
    bench.answer(first)
    assert sorted(bench.tree.work) == [0.0, 7.0]
    bench.answer(second)
    assert bench.tree.work == [0.0, 0.0]


def test_trials_are_begun_until_engines_have_enough() -> None:
    """Those that are not placed yet count."""
    bench = Bench(engines=2, target=2)
    for k in range(4):
        assert bench.tree.starved([0, 1]) is not None
        bench.ask(active(rank=k), Segment(Noise(k), (None,), 3))
    assert bench.tree.starved([0, 1]) is None
    bench.send()
    assert bench.tree.in_flight == [2, 2]
    assert bench.tree.starved([0, 1]) is None
    assert bench.tree.starved([]) is None
