"""The trajectory tree: what several trials ask for is requested once, and the first one pays."""

from __future__ import annotations

import pytest
from tree_bench import PROBLEM, Bench, active, paid

from tts.search.segment import ALL, Segment, State

pytestmark = pytest.mark.usefixtures("no_collector")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_several_ask_for_is_requested_once_and_the_first_pays(bench: Bench) -> None:
    one, two, three = active(), active(), active()
    for trial in (one, two):
        bench.ask(trial, PROBLEM.trajectory(0), PROBLEM.trajectory(1))
    requests = bench.send()
    assert [request.segment for request in requests] == [PROBLEM.trajectory(0), PROBLEM.trajectory(1)]
    bench.ask(three, PROBLEM.trajectory(1))
    assert bench.send() == []
    assert paid(bench.answer(*reversed(requests))) == [
        (one, True),
        (two, False),
        (three, False),
        (one, True),
        (two, False),
    ]
    assert bench.tree.in_flight == [0]


def test_a_shared_prefix_is_requested_once_and_paths_part_after_it(bench: Bench) -> None:
    one, two = active(), active()
    starts = [bench.state(trial, PROBLEM.start()) for trial in (one, two)]
    assert [request.segment for request in bench.requested] == [PROBLEM.start()]
    assert starts[0] is not starts[1]
    assert starts[0] == starts[1]
    for trial, start, noises in zip((one, two), starts, ((0, 1), (1, 2)), strict=True):
        bench.ask(trial, *(PROBLEM.step(start, PROBLEM.noise(0, noise)) for noise in noises))
    requests = bench.send()
    assert [request.segment.noises for request in requests] == [(PROBLEM.noise(0, noise),) for noise in (0, 1, 2)]
    assert paid(bench.answer(*requests)) == [(one, True), (one, True), (two, False), (two, True)]


def test_the_condition_tells_equal_noises_apart(bench: Bench) -> None:
    segment = PROBLEM.trajectory()
    bench.ask(active(), segment, Segment(segment.start, segment.noises, 4, segment.rewards))
    assert len(bench.send()) == 2


def test_who_has_ended_does_not_pay(bench: Bench) -> None:
    one, two = active(), active()
    for trial in (one, two):
        bench.ask(trial, PROBLEM.trajectory())
    one.over = True
    assert paid(bench.answer(*bench.send())) == [(two, True)]


def test_a_held_state_is_scored_by_what_it_lacks(bench: Bench) -> None:
    one, two, three = active(), active(), active()
    mine = bench.state(one, PROBLEM.trajectory(scored="a"))
    for trial in (two, three):
        bench.ask(trial, PROBLEM.trajectory(scored=("a", "b")))
    [request] = bench.send()
    assert request.rewards == ("b",)
    assert isinstance(request.segment.start, State)
    assert (request.segment.start.key, request.segment.noises) == (mine.key, ())
    assert paid(bench.answer(request)) == [(two, False), (three, False)]
    assert {each.node for each in bench.served} == {mine.node}
    assert mine.node.result is not None
    assert mine.node.result.scores == {"a": float(mine.key), "b": float(request.ticket)}
    bench.send()
    assert bench.released == [request.ticket]  # the engine made a second state for the same node
    bench.ask(two, PROBLEM.trajectory(scored=("b", "a")), PROBLEM.score(mine, ("a", "b")))
    assert [place for (_, place, _), _, _ in bench.served] == [0, 1]


def test_rewards_are_gathered_until_the_request_is_sent_and_asked_for_anew_after(bench: Bench) -> None:
    one, two, three = active(), active(), active()
    bench.ask(one, PROBLEM.trajectory(scored="a"))
    bench.ask(two, PROBLEM.trajectory(scored="b"))
    [request] = bench.send()
    assert request.wants == ("a", "b")
    bench.ask(three, PROBLEM.trajectory(scored=("b", "c")))
    bench.ask(three, PROBLEM.trajectory(scored=()))
    assert bench.send() == []
    assert paid(bench.answer(request)) == [(one, True), (two, False), (three, False)]
    [again] = bench.send()
    assert again.wants == ("c",)
    assert paid(bench.answer(again)) == [(three, False)]


def test_a_reward_that_failed_is_not_asked_for_again(bench: Bench) -> None:
    bench.ask(active(), PROBLEM.trajectory())
    [served] = bench.answer(*bench.send(), errors=("a",))
    keep = bench.tree.handle(served.waiter.trial, served.node)
    bench.ask(active(), PROBLEM.trajectory())
    assert bench.send() == []
    [other] = bench.served
    assert other.node is keep.node
    assert other.node.result is not None
    assert other.node.result.errors == {"a": "a failed"}


def test_an_image_is_rendered_once_for_all_who_wait_and_leaves_no_state(bench: Bench) -> None:
    one, two, three = active(), active(), active()
    states = [bench.state(trial, PROBLEM.trajectory()) for trial in (one, two, three)]
    last = [Segment(state, (), 3, ALL) for state in states]
    bench.ask(one, last[0])
    bench.ask(two, last[1])
    [request] = bench.send()
    assert request.wants == (ALL,)
    assert [trial for trial, _ in paid(bench.answer(request))] == [one, two]
    bench.send()
    assert bench.released == [request.ticket]
    bench.ask(three, last[2])
    [again] = bench.send()
    assert [trial for trial, _ in paid(bench.answer(again))] == [three]


def test_a_look_ahead_is_a_node_of_its_own_and_costs_again_for_a_reward_that_it_lacks(bench: Bench) -> None:
    one, two, three = active(), active(), active()
    state = bench.state(one, PROBLEM.start())
    for trial in (one, two):
        bench.ask(trial, PROBLEM.score(state, "a", ahead=2), PROBLEM.score(state, "a"))
    requests = bench.send()
    assert [(request.segment.ahead, request.wants) for request in requests] == [(2, ("a",)), (0, ("a",))]
    served = bench.answer(*requests)
    assert [(trial, each.paid) for each, (trial, _) in zip(served, paid(served), strict=True)] == [
        (one, 2),
        (two, 0),
        (one, 0),
        (two, 0),
    ]
    ahead = bench.handles[0]
    assert (ahead.key, ahead.node.ahead, ahead.node.parent) == (requests[0].ticket, 2, state.node)
    assert bench.handles[2] is state
    bench.ask(three, PROBLEM.score(state, ("a", "b"), ahead=2))
    [more] = bench.send()
    assert (more.segment.start.step, more.segment.ahead, more.wants) == (0, 2, ("b",))
    assert [each.paid for each in bench.answer(more)] == [2]


def test_a_lost_engine_takes_its_nodes_and_no_others() -> None:
    bench = Bench(engines=2)
    one, two, three, four = (active() for _ in range(4))
    start = bench.state(one, PROBLEM.start(0))
    bench.ask(one, PROBLEM.step(start, PROBLEM.noise(0)))
    bench.ask(two, PROBLEM.start(1))
    bench.ask(four, PROBLEM.start(1))
    for trial in (two, three):
        bench.ask(trial, PROBLEM.start(0))  # the result is at hand
        assert paid(bench.served) == [(trial, False)]
    mine, elsewhere = bench.send()
    assert (start.engine, bench.tree.in_flight) == (0, [1, 1])
    assert (one.engines, two.engines, three.engines, four.engines) == ({0}, {0, 1}, {0}, {1})
    assert bench.tree.at_work(0) == {one}
    for trial in (one, two, three):
        trial.over = True
        bench.tree.let_go(trial)
    bench.tree.lose(0)
    assert bench.tree.in_flight == [0, 1]
    assert (bench.tree.awaits(mine.ticket), bench.tree.awaits(elsewhere.ticket)) == (False, True)
    assert paid(bench.answer(elsewhere)) == [(four, True)]
    kept = bench.handles
    bench.tree.restrict_to([1])
    again = active()
    bench.ask(again, PROBLEM.start(0))
    [request] = bench.send()
    assert bench.released == []  # the lost engine is told nothing
    assert paid(bench.answer(request)) == [(again, True)]
    assert again.engines == {1}
    bench.tree.let_go(four)
    bench.send()
    assert bench.released == [kept[0].key]


def test_an_engine_lost_while_a_shared_state_is_scored_leaves_nothing_to_find(bench: Bench) -> None:
    one, two = active(), active()
    state = bench.state(one, PROBLEM.trajectory(scored="a"))
    bench.ask(two, PROBLEM.trajectory(scored="b"))
    [scoring] = bench.send()
    for trial in (one, two):
        trial.over = True
        bench.tree.let_go(trial)
    bench.tree.lose(0)
    assert not bench.tree.awaits(scoring.ticket)
    del state
    three = active()
    bench.ask(three, PROBLEM.trajectory(scored="b"))
    [request] = bench.send()
    assert bench.released == []
    assert request.segment == PROBLEM.trajectory(scored="b")
    assert paid(bench.answer(request)) == [(three, True)]


def test_a_quarantined_trial_has_a_root_of_its_own() -> None:
    bench = Bench(engines=3)
    one, suspect, other = active(), active(pinned=2), active(pinned=2)
    for trial in (one, suspect, other):
        bench.ask(trial, PROBLEM.start(), PROBLEM.start())
    requests = bench.send()
    assert [(request.ticket, request.segment) for request in requests] == [(k, PROBLEM.start()) for k in range(3)]
    assert (one.engines, suspect.engines, other.engines) == ({0}, {2}, {2})
    served = bench.answer(*requests)
    assert paid(served) == [(trial, first) for trial in (one, suspect, other) for first in (True, False)]
    state = bench.tree.handle(suspect, served[2].node)
    bench.ask(suspect, PROBLEM.step(state, None), PROBLEM.step(state, None, scored="b"), PROBLEM.score(state, "c"))
    assert [request.wants for request in bench.send()] == [("a", "b"), ("c",)]
    bench.ask(active(), PROBLEM.start())
    assert len(bench.send()) == 1  # other trials do not find the suspect's node
    bench.tree.let_go(suspect)
    bench.ask(active(pinned=2), PROBLEM.start())
    assert len(bench.send()) == 1


def test_without_sharing_nothing_is_common_not_even_to_one_trial() -> None:
    bench = Bench(share=False)
    one = active()
    bench.ask(one, PROBLEM.start(), PROBLEM.start())
    first, second = bench.answer(*bench.send())
    assert first.paid
    assert second.paid
    state = bench.tree.handle(one, first.node)
    bench.ask(one, *[PROBLEM.step(state, None)] * 2, *[PROBLEM.score(state)] * 2)
    assert len(bench.send()) == 4
