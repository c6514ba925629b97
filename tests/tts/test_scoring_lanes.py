"""Lanes: rewards run side by side, and none waits for another."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from scored_levels import Level, scored, wanted
from torch import Tensor

from tts.engine.scoring import Scorer
from tts.plan import Condition
from tts.search.segment import ALL
from tts.testing.toy_model import ToyModel


class Gate(Level):
    """A host reward that blocks until a test releases it."""

    def __init__(self) -> None:
        super().__init__(True)
        self.open = threading.Event()

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        assert self.open.wait(timeout=20)
        return super().score(images, conditions)


def test_a_slow_reward_delays_only_who_asked_for_it() -> None:
    gate = Gate()
    scorer = Scorer(ToyModel(), {"slow": gate, "fast": Level(True)}, batch=4)
    for want in (wanted(1, "slow"), wanted(2, "fast"), wanted(3, ALL), wanted(4, "fast")):
        scorer.add(want)
    scorer.flush(partial=True)
    found = [scorer.collect(wait=True)]
    scorer.add(wanted(5, "fast"))  # in a later batch
    scorer.flush(partial=True)
    found.append(scorer.collect(wait=True))
    assert [[score.ticket for score in scores] for scores in found] == [[2, 4], [5]]
    gate.open.set()
    late = scored(scorer, [])
    assert {ticket: score.scores for ticket, score in late.items()} == {
        1: {"slow": 1.0},
        3: {"slow": 3.0, "fast": 3.0},
    }
    assert late[3].image is not None


def test_an_incomplete_batch_grows_while_it_would_only_wait() -> None:
    """One is at work and one waits; the others would wait behind it, and cost as much each as all of them together.
    Those who ask for something else do not wait."""
    gate, fast = Gate(), Level(True)
    scorer = Scorer(ToyModel(), {"slow": gate, "fast": fast}, batch=8, threads=1)
    for ticket in range(5):
        scorer.add(wanted(ticket, "slow"))
        scorer.flush(partial=True)
    scorer.add(wanted(6, "fast"))
    scorer.flush(partial=True)
    assert [found.ticket for found in scorer.collect(wait=True)] == [6]
    gate.open.set()
    assert sorted(scored(scorer, [])) == [0, 1, 2, 3, 4]
    assert (gate.batches, fast.batches) == ([1, 1, 3], [1])


def test_a_scorer_that_is_closed_ends_the_wait_of_its_rewards() -> None:
    """Work that has not begun is never done."""

    class Waiting(Gate):
        begun = threading.Semaphore(0)

        def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
            self.begun.release()
            return super().score(images, conditions)

        def close(self) -> None:
            self.open.set()

    reward = Waiting()
    scorer = Scorer(ToyModel(), {"it": reward}, batch=1)
    for ticket in (1, 2):
        scorer.add(wanted(ticket, "it"))
    scorer.flush(partial=True)
    assert reward.begun.acquire(timeout=20)
    scorer.close()
    assert reward.batches == [1]


def test_scores_are_in_one_order_whichever_lane_is_first() -> None:
    gate = Gate()
    scorer = Scorer(ToyModel(), {"b": gate, "a": Level(True), "c": Level(False)}, batch=2)
    scorer.add(wanted(3, ALL))
    scorer.flush(partial=True)
    gate.open.set()
    [found] = scored(scorer, []).values()
    assert list(found.scores) == ["c", "b", "a"]


class Concurrent(Level):
    """A reward that several threads may call, and that returns only once that many have."""

    def __init__(self, threads: int, **ways: object) -> None:
        super().__init__(True)
        self.barrier = threading.Barrier(threads, timeout=20)
        vars(self).update(ways)

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        self.barrier.wait()
        return super().score(images, conditions)


def test_what_can_be_divided_has_the_threads_of_the_host() -> None:
    reward = Concurrent(3, divisible=True)
    found = scored(Scorer(ToyModel(), {"it": reward}, batch=6, threads=3), [wanted(k, "it") for k in range(6)])
    assert {ticket: score.scores["it"] for ticket, score in found.items()} == {k: float(k) for k in range(6)}
    assert reward.batches == [2, 2, 2]


def test_a_service_is_asked_for_several_batches_at_once() -> None:
    reward = Concurrent(2, concurrency=2)
    found = scored(Scorer(ToyModel(), {"it": reward}, batch=2), [wanted(k, "it") for k in range(4)])
    assert {ticket: score.scores["it"] for ticket, score in found.items()} == {k: float(k) for k in range(4)}
    assert reward.batches == [2, 2]
