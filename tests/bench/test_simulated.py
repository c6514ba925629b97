"""Engines that only sleep: results are the same everywhere, costs follow formulas, and the device is never idle."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from command_line import bench
from driver_processes import write
from fake_pool import Rows
from local_rows import values
from tiny_study import SHIPPED

from bench.benchmarks.resume import resume
from bench.benchmarks.simulated import simulated_study
from bench.run.driver import Driver
from bench.run.trial_queue import TrialQueue
from bench.store import reader as store
from bench.store.completed import CompletedTrials
from bench.store.row import TrialRow
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.study.trial import Trial
from bench.workers.backends import make_pool
from bench.workers.pool import WorkerReport, collect
from bench.workers.search_worker import SearchWorker
from bench.workers.simulated import SimulatedEngine
from tts.engine.batching import Engine
from tts.engine.requests import EngineCounters

Make = Callable[..., RunConfig]

PROGRAM = """
from local_rows import values
from tiny_study import TINY
from bench.study.config import RunConfig
print(values(RunConfig.model_validate({**TINY, "output": "unused", "engines": {**TINY["engines"], "simulate": 0.0}})))
"""


def test_values_are_the_same_in_every_process(tiny: Make, fresh_python: Callable[..., str]) -> None:
    here = values(tiny(engines={"simulate": 0.0}))
    assert len({value for _, value in here}) > len(here) / 3
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    assert fresh_python(PROGRAM, hash_seed=int(other)) == str(here)


def test_costs_are_those_of_the_formula(tiny: Make) -> None:
    study, rows = Study(tiny(engines={"simulate": 0.0})), Rows()
    Driver(study, make_pool(study), rows).run()
    for trial in study.trials():
        spent, formula = rows.rows[trial.key]["nfe"], trial.algorithm.nfe(study.plan)
        assert spent <= formula if trial.search == "mcts" else spent == formula


def test_a_simulated_run_is_never_taken_for_a_real_one(tiny: Make) -> None:
    assert Study(tiny(engines={"simulate": 0.0})).digest() != Study(tiny()).digest()


def test_what_needs_images_is_refused(tiny: Make, tmp_path: Path) -> None:
    made = tiny(model=SHIPPED, searches=["naive"], engines={"simulate": 0.0})
    config, run, image = write(made, tmp_path / "run.yaml"), made.output, tmp_path / "image.png"
    assert bench("run", config, "--no-report").code == 0
    trial = store.read(run, ["trial"])["trial"][0].as_py()
    for command in (
        ("doctor", config),
        ("calibrate", config),
        ("calibrate", config, "--precisions"),
        ("plan", config, "--measure"),
        ("replay", run, trial),
        ("verify", run),
        ("metrics", run, "--add", "frechet_judge"),
        ("generate", "--set", "engines.simulate=0", "--output", image),
    ):
        result = bench(*command)
        assert (result.code, "engines.simulate: there is no model" in result.err) == (2, True), command
        assert result.err.count("\n") == 1
    assert not image.exists()


def test_it_needs_no_weights(tiny: Make) -> None:
    gone: dict[str, Any] = {"name": "edm", "checkpoint": "https://example.org/none.pkl", "classes": 10}
    study = Study(tiny(model=gone, rewards=["brightness"], problems={"conditions": [0]}, engines={"simulate": 0.01}))
    assert isinstance(make_pool(study).worker, SimulatedEngine)  # type: ignore[attr-defined]


def test_it_has_the_calls_of_an_engine() -> None:
    calls = {name for name in vars(Engine) if not name.startswith("_")}
    assert calls <= set(dir(SimulatedEngine)) | {"load"}


def test_a_host_keeps_its_device_busy_with_full_batches() -> None:
    study = simulated_study(1, "engine", seconds=0.01)
    host = SearchWorker(study, SimulatedEngine(study))
    host.submit(islice(study.trials(), 400))
    assert max(busy_share(host) for _ in range(3)) > 0.8  # other programs may take the machine now and then
    assert host.load.rows / host.load.batches > 0.95 * 64


def busy_share(host: SearchWorker) -> float:
    """Share of three quarters of a second during which a host's device computes."""
    before, start = host.load.seconds, time.perf_counter()
    while time.perf_counter() - start < 0.75:
        host.advance()
    return (host.load.seconds - before) / (time.perf_counter() - start)


class UnevenPool:
    """Hosts in threads whose devices differ in speed."""

    def __init__(self, study: Study, seconds: list[float]) -> None:
        self.engines, self.study = len(seconds), study
        self.hosts = [SearchWorker(study, SimulatedEngine(study)) for _ in seconds]
        for host, each in zip(self.hosts, seconds, strict=True):
            host.engine.seconds = each  # type: ignore[attr-defined]
        self.pool = ThreadPoolExecutor(len(seconds))

    def submit(self, engine: int, jobs: Sequence[Trial], released: Iterable[int]) -> None:
        self.hosts[engine].submit(jobs)

    def wait(self) -> list[WorkerReport]:
        """Reports of a tenth of a second's work of each host."""
        return list(self.pool.map(self._work, range(self.engines)))

    def _work(self, engine: int) -> WorkerReport:
        host, ended, end = self.hosts[engine], list[TrialRow](), time.monotonic() + 0.1
        while time.monotonic() < end:
            if host.busy:
                ended += host.advance()
            else:
                time.sleep(0.005)
        return collect(engine, host, ended)

    def describe(self) -> list[str | None]:
        return [f"kind {engine}" for engine in range(self.engines)]

    def close(self) -> None:
        self.pool.shutdown()


def test_engines_of_unequal_speed_all_have_work_until_the_end(tiny: Make) -> None:
    searches = [{"name": "eps_greedy", "N": 4, "K": 1}]
    study = Study(
        tiny(
            searches=searches,
            rewards=["brightness"],
            problems={"conditions": "all", "seeds": 30},
            engines={"batch": 16, "simulate": 0.01, "search_on": "engine"},
        )
    )
    pool, rows = UnevenPool(study, [0.01, 0.03]), Rows()
    start = time.monotonic()
    counts = Driver(study, pool, rows).run()
    seconds = time.monotonic() - start
    pool.close()
    fast, slow = (status.load.rows for status in counts.engines)
    assert 2.0 < fast / slow < 4.5  # the ratio of their speeds is 3
    ideal = (fast + slow) / 16 / (1 / 0.01 + 1 / 0.03)
    assert seconds < 1.5 * ideal + 1
    assert {row["device"] for row in rows.rows.values()} == {"simulated"}


def test_counters_tell_what_was_done_since_the_last_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.workers.on_ray import actors

    seen: list[tuple[str, float]] = []

    class Meter:
        def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
            self.name = name

        def set_default_tags(self, tags: dict[str, str]) -> None:
            assert tags == {"engine": "3"}

        def inc(self, value: float) -> None:
            seen.append((self.name, value))

        set = inc

    monkeypatch.setattr(actors, "Counter", Meter)
    monkeypatch.setattr(actors, "Gauge", Meter)
    meters = actors.Meters(3)
    meters.show(WorkerReport(3, load=EngineCounters(2, 64, 0.0)))
    meters.show(WorkerReport(3, load=EngineCounters(2, 64, 0.0)))
    meters.show(WorkerReport(3, load=EngineCounters(5, 128, 50.0)))  # a pass ended between the two numbers
    meters.show(WorkerReport(3, load=EngineCounters(5, 160, 100.0)))
    assert [found for found in seen if found[0] != "tts_busy"] == [
        ("tts_rows", 64),
        ("tts_batches", 2),
        ("tts_rows", 64),
        ("tts_batches", 3),
        ("tts_rows", 32),
    ]
    assert [value for name, value in seen if name == "tts_busy"] == [0.0, 0.0, 1.0, 1.0]


def test_a_million_trials_are_not_made_before_they_are_needed() -> None:
    study = simulated_study(1, "driver")
    assert study.size == 1_000_000
    start = time.perf_counter()
    queue = TrialQueue(study, CompletedTrials())
    first = [queue.next() for _ in range(10)]
    assert time.perf_counter() - start < 2.0
    assert len({trial.key for trial in first if trial is not None}) == 10
    assert (queue.size, queue.done, queue.left) == (1_000_000, 0, 999_990)
    assert queue.planned == 1_000_000 * study.entries[0].algorithm.nfe(study.plan)


def test_a_large_run_goes_on_soon_and_in_little_memory() -> None:
    """The run has a fiftieth of the trials that ``make bench`` measures."""
    found = resume(planned=20_000, done=18_000)
    assert found.seconds < 6
    assert found.start_seconds < 2
    assert found.mebibytes < 400


@pytest.mark.parametrize("seconds", [-0.1, "fast"])
def test_a_pass_takes_some_time_or_none(seconds: object, tiny: Make) -> None:
    with pytest.raises(Exception, match="simulate"):
        tiny(engines={"simulate": seconds})
