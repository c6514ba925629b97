"""Messages between the driver and an engine's actor, without Ray's processes."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError

from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.on_ray import actors
from bench.workers.on_ray import pool as pools
from bench.workers.on_ray.actors import Whereabouts
from bench.workers.on_ray.paths import SearchPath
from bench.workers.on_ray.pool import ActorSlot, RayPool
from bench.workers.on_ray.scorers import ScorerActor
from bench.workers.pool import Worker, WorkerReport
from tts.engine.requests import EngineCounters
from tts.errors import EngineError

Make = Callable[..., RunConfig]


class OneByOne:
    """A worker that does a job in each pass and always has room for more."""

    device, flops, free_rows = "cpu", None, 1

    def __init__(self) -> None:
        self.load, self.jobs, self.began = EngineCounters(), list[Any](), queue.Queue[list[Any]]()

    @property
    def busy(self) -> bool:
        return bool(self.jobs)

    def submit(self, jobs: Iterable[Any]) -> None:
        self.jobs += jobs

    def release(self, keys: Iterable[Any]) -> None:
        assert not list(keys)

    def advance(self) -> list[Any]:
        self.began.put(list(self.jobs))
        return [self.jobs.pop(0)]

    def close(self) -> None:
        """Has nothing to end."""


class Actor(actors.WorkerActor):
    """Has such a worker."""

    def _made_worker(self, scorers: object) -> Worker:
        worker: Any = OneByOne()
        return worker  # type: ignore[no-any-return]


def test_a_machine_with_other_weights_computes_nothing(tiny: Make) -> None:
    with pytest.raises(EngineError, match="engine 3: its machine has other weights or another version"):
        Actor(tiny(), "another", 3)
    with pytest.raises(EngineError, match="scorers: a machine has other weights or another version"):
        ScorerActor(tiny(scorers={"rewards": ["brightness"]}), "another", SearchPath.own())


def test_a_pass_with_room_waits_until_the_driver_has_spoken(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll says that there is nothing to add; for as long as the driver is at work, the batch waits."""
    monkeypatch.setattr(actors, "ANSWER_SHARE", 1e8)
    study = Study(tiny())
    actor = Actor(study.config, study.digest(), 0)
    began: queue.Queue[list[Any]] = actor.worker.began  # type: ignore[attr-defined]
    actor.submit(["a", "b"], [])
    assert actor.poll().outcomes == ["a"]
    time.sleep(0.1)
    assert (began.get(), began.empty()) == (["a", "b"], True)
    assert actor.exchange(["c"], []).outcomes == ["b"]
    assert began.get() == ["b", "c"]
    assert actor.poll().outcomes == ["c"]
    assert began.get() == ["c"]


def test_jobs_go_with_the_poll_that_follows_a_report() -> None:
    said: list[tuple[str, int]] = []

    def call(name: str) -> Any:
        return SimpleNamespace(remote=lambda jobs, released: said.append((name, len(jobs))) or name)

    actor: Any = SimpleNamespace(exchange=call("exchange"), submit=call("submit"))
    pool = RayPool.__new__(RayPool)
    pool._slots = {0: ActorSlot(actor, None, 0.0)}
    for jobs in (["a"], ["b", "c"]):
        pool.submit(0, jobs, [])
        pool.submit(1, jobs, [])  # is gone
    assert said == [("exchange", 1), ("submit", 2)]


@pytest.mark.parametrize("arrived", [False, True])
def test_an_answer_that_was_long_in_coming_loses_no_engine(
    arrived: bool, tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that took minutes to start, or a driver that stood still with the report before it."""
    place = Whereabouts("cpu", "node", "host", 1)
    polls: list[str] = []
    actor: Any = SimpleNamespace(poll=SimpleNamespace(remote=lambda: polls.append("poll") or "later"))
    pool = RayPool.__new__(RayPool)
    pool.study, pool._again, pool._news, pool._finished_any = Study(tiny()), {}, [], False
    pending: Any = "answer"
    pool._slots = {0: ActorSlot(actor, pending, time.monotonic() - 1e4, place if arrived else None)}
    answers = {"answer": WorkerReport(0, ["a"]) if arrived else place}
    monkeypatch.setattr(ray, "wait", lambda refs, **_: ([ref for ref in refs if ref in answers], []))
    monkeypatch.setattr(ray, "get", answers.__getitem__)
    [report] = pool.wait()
    assert (report.lost, report.outcomes, report.device) == ((None, ["a"], None) if arrived else (None, [], "cpu"))
    assert not polls
    assert not pool.wait()
    assert polls == ["poll"]
    assert time.monotonic() - pool._slots[0].since < 60


@pytest.mark.parametrize("arrives", [True, False])
def test_engines_without_a_place_keep_nobody_waiting(
    arrives: bool, tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cluster has place for three, two of which are in use; the run begins with one, and says where that is."""
    monkeypatch.setattr(pools, "OTHERS_SECONDS", 0.2)
    pool = RayPool.__new__(RayPool)
    pool.study = Study(tiny(engines={"backend": "ray", "count": 3, "start_seconds": 60.0 if arrives else 0.2}))
    pool._news, pool._expected = [], 3
    pool._slots = {engine: ActorSlot(None, f"describe {engine}", 0.0) for engine in range(3)}  # type: ignore[arg-type]
    answers = {"describe 1": Whereabouts("H100", "node", "north", 1)} if arrives else {}
    monkeypatch.setattr(
        ray, "wait", lambda refs, **_: (time.sleep(0.01), [ref for ref in refs if ref in answers], [])[1:]
    )
    monkeypatch.setattr(ray, "get", answers.__getitem__)
    if not arrives:
        with pytest.raises(EngineError, match=r"no engine for engines\.start_seconds = 0\.2: the cluster has no place"):
            pool._wait_for_first()
        return
    start = time.monotonic()
    pool._wait_for_first()
    assert 0.2 < time.monotonic() - start < 30
    assert [(report.engine, report.device, report.where) for report in pool.wait()] == [(1, "H100", "north")]


@pytest.mark.parametrize(
    ("said", "preempted", "innocent"),
    [
        ("The actor died because its node has died. Node Id: ab", False, True),
        ("The actor is dead because its worker process has died. It ran on node ab", False, False),
        ("gone", True, True),
        ("gone", False, False),
    ],
)
def test_no_trial_is_to_blame_for_a_node_that_goes_away(said: str, preempted: bool, innocent: bool) -> None:
    assert pools._is_of_the_machine(RayActorError(error_msg=said, preempted=preempted)) is innocent
