"""Trials for hosts: each gets its share by its speed, and one that has just come back gets a share at all."""

from __future__ import annotations

import random
import time

import pytest
from fake_pool import study
from mortal_pools import HostPool

from bench.workers.dispatcher import TrialDispatcher
from bench.workers.pool import WorkerReport
from tts.engine.requests import EngineCounters


def test_a_host_that_has_come_back_gets_trials_while_another_one_is_kept_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one apart is as fast as before, so that as many hosts have a speed as may have trials."""
    of = study(engines={"batch": 4, "simulate": 0.0, "search_on": "engine"})
    dispatcher, now = TrialDispatcher(of, HostPool(3, of, random.Random(0), 0.0)), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    trials = iter(of.trials())
    for engine in range(3):
        dispatcher.start(next(trials), engine)
    now[0] = 1.0
    for engine in range(3):
        dispatcher.update(WorkerReport(engine, load=EngineCounters(10, 100, 1.0), wants=0))
    dispatcher.lose(2)
    assert dispatcher.next_starved([1, 2], left=50) == 2
