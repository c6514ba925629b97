"""Handles of states: a held state stays, and an unheld one is released."""

from __future__ import annotations

import gc
import random
from copy import copy, deepcopy
from threading import Thread
from typing import Any

import pytest
from fake_pool import FakePool, Rows, study
from tree_bench import PROBLEM, Bench, active, paid

from bench.run.driver import Driver
from bench.study.trial import Trial
from bench.workers.node import Handle, Node
from tts.plan import Plan
from tts.search.base import Problem, Run
from tts.search.naive import Naive
from tts.search.segment import State

pytestmark = pytest.mark.usefixtures("no_collector")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_nobody_waits_for_any_more_is_released_at_once(bench: Bench) -> None:
    one = active()
    bench.ask(one, PROBLEM.trajectory())
    [request] = bench.send()
    one.over = True
    assert bench.answer(request) == []
    bench.ask(active(), PROBLEM.trajectory())
    assert len(bench.send()) == 1
    assert bench.released == [request.ticket]


def test_a_held_state_is_at_hand_until_its_last_handle_goes(bench: Bench) -> None:
    one, two, three = active(), active(), active()
    mine = bench.state(one, PROBLEM.trajectory())
    yours = bench.state(two, PROBLEM.trajectory())
    assert paid(bench.served) == [(two, False)]
    key = mine.key
    del mine
    assert (bench.send(), bench.released) == ([], [])
    assert not bench.tree.holds(one, yours)
    assert bench.tree.holds(two, yours)
    del yours
    assert (bench.send(), bench.released) == ([], [key])
    bench.ask(three, PROBLEM.trajectory())
    assert len(bench.send()) == 1
    assert bench.released == []


def test_a_trial_has_one_handle_of_a_node(bench: Bench) -> None:
    one = active()
    first, second = bench.state(one, PROBLEM.start()), bench.state(one, PROBLEM.start())
    assert first is second
    assert [copy(first), deepcopy([first])[0]] == [first, first]
    assert copy(first) is deepcopy([first])[0] is first


def test_only_what_a_trial_was_given_is_its_own(bench: Bench) -> None:
    one, two = active(), active()
    mine = bench.state(one, PROBLEM.start())
    assert bench.tree.holds(one, mine)
    assert not bench.tree.holds(two, mine)
    assert not bench.tree.holds(one, State(mine.key, mine.engine, mine.step, mine.noises))
    assert not bench.tree.holds(one, State(99, 0, 0, ()))


def test_what_a_running_segment_starts_from_stays(bench: Bench) -> None:
    one = active()
    start = bench.state(one, PROBLEM.start())
    bench.ask(one, PROBLEM.step(start, PROBLEM.noise(0)))
    key = start.key
    bench.tree.let_go(one)
    one.over = True
    [request] = bench.send()
    assert bench.released == []
    assert bench.answer(request) == []
    bench.send()
    assert sorted(bench.released) == [key, request.ticket]


def test_a_trial_that_has_ended_releases_all_whatever_refers_to_it(bench: Bench) -> None:
    one, two = active(), active()
    kept = [bench.state(one, PROBLEM.trajectory(k)) for k in range(2)]
    other = bench.state(two, PROBLEM.trajectory(1))
    bench.tree.let_go(one)
    bench.send()
    assert bench.released == [kept[0].key]
    assert not any(bench.tree.holds(one, state) for state in kept)
    bench.tree.let_go(two)
    del kept
    bench.send()
    assert bench.released == [other.key]
    del other
    assert (bench.send(), bench.released) == ([], [])


@pytest.mark.parametrize("where", ["here", "in another thread"])
def test_a_handle_in_a_cycle_is_released_when_garbage_is_collected(where: str, bench: Bench) -> None:
    one, two = active(), active()
    ring: list[Any] = [bench.state(one, PROBLEM.trajectory(0)), bench.state(one, PROBLEM.trajectory(1))]
    both = bench.state(two, PROBLEM.trajectory(1))
    keys = [state.key for state in ring]
    ring.append(ring)
    del ring
    assert (bench.send(), bench.released) == ([], [])
    if where == "here":
        gc.collect()
    else:
        collector = Thread(target=gc.collect)
        collector.start()
        collector.join()
    bench.send()
    assert bench.released == keys[:1]  # the second trial still holds the other state
    bench.tree.let_go(one)
    bench.tree.let_go(two)
    bench.send()
    assert bench.released == [both.key]


def test_a_handle_that_went_and_one_that_came_again_are_counted_apart(bench: Bench) -> None:
    one, two = active(), active()
    theirs = bench.state(two, PROBLEM.start())
    node = theirs.node
    for _ in range(3):
        bench.tree.handle(one, node)  # the handle is gone at once, which the tree has not noticed yet
    again = bench.tree.handle(one, node)
    assert (bench.send(), bench.released) == ([], [])
    bench.tree.let_go(two)
    assert (bench.send(), bench.released) == ([], [])
    assert bench.tree.holds(one, again)
    del again
    bench.send()
    assert bench.released == [node.key]


class Hoarder(Naive):
    """A search that ties every state into a reference cycle, and keeps another one for good."""

    kept: Any = None

    def run(self, problem: Problem) -> Run:
        """Naive sampling."""
        found = yield [problem.trajectory(k) for k in range(2)]
        ring: list[Any] = [*found]
        ring.append(ring)
        type(self).kept = found[1]
        return found[0]

    def nfe(self, plan: Plan) -> int:
        """Evaluations of two trajectories."""
        return 2 * plan.nfe()


def test_no_node_and_no_state_outlives_its_trials() -> None:
    """This holds without the garbage collector, and whatever searches do."""
    gc.collect()  # collect what other tests have left
    of, rows = study(), Rows()
    hoarders = [Trial("hoarder", Hoarder(), None, "brightness", 0, 0, seed, of.context) for seed in range(3)]
    pool = FakePool(2, of, random.Random(0))
    driver = Driver(of, pool, rows, trials=[*hoarders, *of.trials()])
    driver.run()
    assert Hoarder.kept is not None
    assert pool.states == [{}, {}]
    Hoarder.kept = None
    nodes = [found for found in gc.get_objects() if type(found) is Node]
    assert [node for node in nodes if not tied(node)] == []
    del nodes
    gc.collect()
    assert not any(type(found) is Node for found in gc.get_objects())


def tied(node: Node) -> bool:
    """Whether a handle in a cycle of :class:`Hoarder` refers to a node."""
    return any(type(found) is Handle for found in gc.get_referrers(node))
