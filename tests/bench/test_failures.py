"""The failure policy for trials whose engines are lost, case by case."""

from __future__ import annotations

import pytest

from bench.run.failures import NODES, NODES_ALONE, Failure, History, Verdict, decide, halves

DIED, AWAY = Failure(innocent=False), Failure(innocent=True)


@pytest.mark.parametrize(
    ("history", "failure", "verdict"),
    [
        (History(1, 0), DIED, Verdict.retry),
        (History(2, 0), DIED, Verdict.quarantine),
        (History(2, 3), DIED, Verdict.quarantine),
        (History(3, 0), Failure(False, suspects=8), Verdict.quarantine),
        (History(9, 0), Failure(False, suspects=2), Verdict.quarantine),
        (History(3, 0), Failure(False, suspects=1), Verdict.fail),
        (History(0, 1), AWAY, Verdict.retry),
        (History(1, NODES - 1), AWAY, Verdict.retry),
        (History(0, NODES), AWAY, Verdict.quarantine),
        (History(0, NODES_ALONE), Failure(True, suspects=3), Verdict.quarantine),
        (History(0, NODES_ALONE - 1), Failure(True, suspects=1), Verdict.quarantine),
        (History(0, NODES_ALONE), Failure(True, suspects=1), Verdict.fail),
    ],
)
def test_verdicts(history: History, failure: Failure, verdict: Verdict) -> None:
    assert decide(history, failure) is verdict


@pytest.mark.parametrize(
    ("histories", "failure", "split"),
    [
        ([History(3, 0), History(3, 0)], Failure(False, suspects=2), True),
        ([History(3, 0)], Failure(False, suspects=1), False),
        ([History(0, NODES), History(0, NODES_ALONE - 1)], Failure(True, suspects=2), False),
        ([History(0, NODES), History(0, NODES_ALONE)], Failure(True, suspects=2), True),
        ([History(0, NODES_ALONE)], Failure(True, suspects=1), False),
        ([History(0, NODES), History(0, NODES)], AWAY, False),
    ],
)
def test_a_group_is_halved_if_one_of_it_is_guilty_of_too_much(
    histories: list[History], failure: Failure, split: bool
) -> None:
    """Otherwise a trial that takes every machine down would hold up the trials beside it for ever."""
    assert halves(histories, failure) is split


def test_a_history_counts_and_tells() -> None:
    history = History().after(DIED).after(AWAY).after(DIED)
    assert history == History(2, 1)
    assert str(history) == "2 engines died while it ran and 1 machines went away while it ran"


@pytest.mark.parametrize("failure", [DIED, AWAY])
def test_whatever_happens_a_trial_ends(failure: Failure) -> None:
    history, suspects = History(), 0
    for losses in range(1, 100):  # noqa: B007  (read below)
        history = history.after(Failure(failure.innocent, suspects))
        verdict = decide(history, Failure(failure.innocent, suspects))
        if verdict is Verdict.fail:
            break
        suspects = 1 if verdict is Verdict.quarantine else 0
    assert losses == (NODES_ALONE if failure.innocent else 3)
