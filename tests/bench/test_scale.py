"""Scaling studies: nothing is measured twice, and all measurements are of the same work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from command_line import bench, refused, size, tree
from own_searches import BROKEN
from rich.console import Console

from bench.report import scaling as scaling
from bench.report.scaling import Plan, parse_engines, scale
from bench.run.driver import EngineStatus, RunProgress
from bench.study.config import RunConfig
from bench.workers.pool import LocalPool, WorkerReport
from tts.engine.requests import EngineCounters
from tts.errors import DataError, EngineError, SettingError

QUIET = Console(quiet=True)
SIMULATED: dict[str, Any] = {"backend": "local", "simulate": 0.0}


@pytest.mark.parametrize(("text", "engines"), [("1", (1,)), ("1,2,4,8", (1, 2, 4, 8)), (" 8, 1 ,8", (1, 8))])
def test_numbers_of_engines(text: str, engines: tuple[int, ...]) -> None:
    assert parse_engines(text) == engines


@pytest.mark.parametrize("text", ["", "1,,2", "0", "1,0", "-1", "two", "1.5", "1 2", "1,2,"])
def test_what_is_no_list_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"^--engines .*: expected numbers with commas between, for example 1,2"):
        parse_engines(text)


class Pool:
    """Engines that do nothing; some may be missing."""

    def __init__(self, engines: int, there: int) -> None:
        self.engines, self.there, self.closed = engines, there, False

    def describe(self) -> list[str | None]:
        return ["fake"] * self.there + [None] * (self.engines - self.there)

    def wait(self) -> list[WorkerReport]:
        return []

    def close(self) -> None:
        self.closed = True


class Lab:
    """Stands for pools and drivers: notes what is measured, and fails when told to."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        self.pools: list[Pool] = []
        self.fail_after: int | None = None
        self.there: int | None = None
        self.loads: Callable[[int, int], list[EngineStatus]] = lambda engines, run: [
            EngineStatus("fake", load=EngineCounters(run, 10 * run, 1.0 * run)) for _ in range(engines)
        ]

    def make_pool(self, study: Any) -> Pool:
        count = study.config.engines.count
        self.pools.append(Pool(count, count if self.there is None else self.there))
        return self.pools[-1]

    def driver(self, study: Any, pool: Pool, sink: Any, **_: Any) -> Lab:
        if self.fail_after is not None and len(self.runs) >= self.fail_after:
            raise KeyboardInterrupt
        self.runs.append((pool.engines, study.size))
        self.last = study
        return self

    def run(self) -> RunProgress:
        """Run the study; an engine's load is counted from its start."""
        engines, images = self.runs[-1]
        number = sum(count == engines for count, _ in self.runs)
        return RunProgress(images, images, nfe=7 * images, engines=self.loads(engines, number))


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Measurements without engines."""
    made = Lab()
    monkeypatch.setattr(scaling, "make_pool", made.make_pool)
    monkeypatch.setattr(scaling, "Driver", made.driver)
    yield made
    assert all(pool.closed for pool in made.pools)


@contextmanager
def interrupted() -> Iterator[None]:
    """Expect an interruption by Ctrl-C."""
    with pytest.raises(KeyboardInterrupt):
        yield


def rows(folder: Path) -> list[dict[str, Any]]:
    """The recorded values."""
    found: list[dict[str, Any]] = pq.read_table(folder / "scaling.parquet").to_pylist()
    return found


@pytest.mark.usefixtures("drawn")
def test_strong_keeps_the_problems_and_weak_those_of_each_engine(
    lab: Lab, tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = tiny(searches=["naive"], engines=SIMULATED)
    table = scale(config, Plan(("strong", "weak"), (1, 3), 2), tmp_path, QUIET)
    assert lab.runs == [(1, 6), (1, 6), (3, 6), (3, 6), (1, 6), (1, 6), (3, 18), (3, 18)]
    assert [pool.engines for pool in lab.pools] == [1, 3, 1, 3]  # engines start once for all repeats
    assert [(row["mode"], row["engines"], row["repeat"], row["images"], row["nfe"]) for row in rows(tmp_path)] == [
        ("strong", 1, 0, 6, 42), ("strong", 1, 1, 6, 42), ("strong", 3, 0, 6, 42), ("strong", 3, 1, 6, 42),
        ("weak", 1, 0, 6, 42), ("weak", 1, 1, 6, 42), ("weak", 3, 0, 18, 126), ("weak", 3, 1, 18, 126),
    ]  # fmt: skip
    assert list(table["n"]) == [2] * 4
    assert {path.name for path in tmp_path.iterdir()} == {
        "scaling.parquet", "scaling-summary.parquet", "scaling.png"
    }  # fmt: skip
    assert pq.read_table(tmp_path / "scaling-summary.parquet").num_rows == 4
    assert size(tmp_path / "scaling.png")[0] > 500


def test_busy_seconds_are_those_of_one_run_alone(lab: Lab, tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    """An engine without work may send no report during a run; that must not count as negative work."""
    first = [
        EngineStatus("fake", load=EngineCounters(1, 10, 2.0)),
        EngineStatus("fake", load=EngineCounters(1, 10, 3.0)),
    ]
    second = [EngineStatus("fake", load=EngineCounters(4, 40, 9.0)), EngineStatus("fake")]
    third = [
        EngineStatus("fake", load=EngineCounters(4, 40, 9.0)),
        EngineStatus("fake", load=EngineCounters(2, 20, 7.0)),
    ]
    lab.loads = lambda _, run: [first, second, third][run - 1]
    scale(tiny(searches=["naive"], engines=SIMULATED), Plan(("strong",), (2,), 3), tmp_path, QUIET)
    assert [row["busy_seconds"] for row in rows(tmp_path)] == [5.0, 7.0, 4.0]


def test_a_study_goes_on_where_it_was_interrupted(lab: Lab, tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    config, plan = tiny(searches=["naive"], engines=SIMULATED), Plan(("strong",), (1, 2), 3)
    lab.fail_after = 4
    with interrupted():
        scale(config, plan, tmp_path, QUIET)
    before = rows(tmp_path)
    assert [(row["engines"], row["repeat"]) for row in before] == [(1, 0), (1, 1), (1, 2), (2, 0)]
    lab.fail_after = None
    scale(config, plan, tmp_path, QUIET)
    assert lab.runs[4:] == [(2, 6), (2, 6)]
    assert rows(tmp_path)[:4] == before
    assert [(row["engines"], row["repeat"]) for row in rows(tmp_path)[4:]] == [(2, 1), (2, 2)]
    scale(config, plan, tmp_path, QUIET)
    scale(config, plan._replace(repeats=4), tmp_path, QUIET)
    assert lab.runs[6:] == [(1, 6), (2, 6)]


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"searches": ["naive", "random"]}, {"engines": {**SIMULATED, "simulate": 0.5}}],
    ids=["seed", "searches", "simulated seconds"],
)
def test_the_folder_of_another_configuration_is_refused_untouched(
    changes: dict[str, Any], lab: Lab, tiny: Callable[..., RunConfig], tmp_path: Path
) -> None:
    values = {"searches": ["naive"], "engines": SIMULATED}
    scale(tiny(**values), Plan(("strong",), (1,), 1), tmp_path, QUIET)
    before = tree(tmp_path)
    with pytest.raises(SettingError, match=r"scaling\.parquet: belongs to another configuration; choose another"):
        scale(tiny(**{**values, **changes}), Plan(("strong",), (1,), 1), tmp_path, QUIET)
    assert tree(tmp_path) == before
    assert len(lab.runs) == 1


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_a_damaged_file_is_refused(content: bytes, lab: Lab, tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    (tmp_path / "scaling.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"scaling\.parquet: not a file of measurements"):
        scale(tiny(engines=SIMULATED), Plan(("strong",), (1,), 1), tmp_path, QUIET)
    pd.DataFrame({"other": [1]}).to_parquet(tmp_path / "scaling.parquet")
    with pytest.raises(DataError, match="not a file of measurements"):
        scale(tiny(engines=SIMULATED), Plan(("strong",), (1,), 1), tmp_path, QUIET)
    assert not lab.runs


def test_engines_that_are_not_there_are_not_measured(lab: Lab, tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    lab.there = 3
    with pytest.raises(EngineError, match="4 engines are to be measured, and the cluster has place for 3"):
        scale(tiny(engines=SIMULATED), Plan(("strong",), (4,), 1), tmp_path, QUIET)
    assert not list(tmp_path.iterdir())


def test_a_run_that_lost_an_engine_is_no_measurement(lab: Lab, tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    lab.loads = lambda _, run: [EngineStatus("fake", losses=run - 1, loss="silent")]
    with pytest.raises(EngineError, match="an engine was lost, so that nothing was measured: silent"):
        scale(tiny(engines=SIMULATED), Plan(("strong",), (1,), 2), tmp_path, QUIET)
    assert len(rows(tmp_path)) == 1


def test_a_trial_that_fails_is_no_measurement(
    tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BROKEN, "3")
    monkeypatch.setattr(scaling, "make_pool", LocalPool)
    config = tiny(searches=["own_searches:Fickle"], engines=SIMULATED)
    with pytest.raises(EngineError, match="nothing was measured: search Fickle: RuntimeError: no luck with 3"):
        scale(config, Plan(("strong",), (1,), 1), tmp_path, QUIET)
    assert not list(tmp_path.iterdir())


def test_wrong_engines_are_refused_before_anything_starts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused("--engines 1,x: expected numbers", "scale", "quickstart", "--engines", "1,x", "--output", out)
    (tmp_path / "file").write_text("x")
    refused("cannot be written to", "scale", "quickstart", "--output", tmp_path / "file" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_study_on_ray_from_its_command(tmp_path: Path, ray_address: str) -> None:
    """Two engines share the images of one; how much faster they are is not checked on a shared machine."""
    arguments = [
        *("scale", "quickstart", "--engines", "1,2", "--mode", "strong", "--repeats", 1, "--output", tmp_path / "out"),
        *("--set", "engines.simulate=0.005", "--set", "engines.batch=4", "--set", "searches=[naive]"),
        *("--set", "problems.seeds=2", "--set", f"output={tmp_path / 'unused'}"),
        *("--set", f"engines.address={ray_address}"),
    ]
    result = bench(*arguments)
    assert (result.code, result.err) == (0, "")
    assert result.out.endswith(f"{tmp_path / 'out'}: scaling.parquet, scaling-summary.parquet, scaling.png\n")
    found = rows(tmp_path / "out")
    assert [(row["mode"], row["engines"], row["repeat"], row["devices"]) for row in found] == [
        ("strong", 1, 0, "simulated"),
        ("strong", 2, 0, "simulated"),
    ]
    assert found[0]["images"] == found[1]["images"] > 0
    assert all(0 < row["busy_seconds"] <= row["engines"] * row["seconds"] for row in found)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    again = bench(*arguments)
    assert again.code == 0
    assert "strong scaling, 1 engine" not in again.out
    assert rows(tmp_path / "out") == found
