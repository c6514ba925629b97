"""The benchmarks at tiny sizes: their figures mean what they say."""

from __future__ import annotations

import cProfile
import ctypes
import io
import json
import pstats
import subprocess
import sys
import time
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines
import tiny_study
import torch
import yaml
from driver_processes import said_by
from tiny_study import TINY
from typer.testing import CliRunner

from bench.benchmarks import encoding, on_engines, startup
from bench.benchmarks.__main__ import app
from bench.benchmarks.efficiency import Cell, Sizes, cells
from bench.benchmarks.encoding import WAYS, loaded
from bench.benchmarks.harness import CURVE, endless, make_study, timed
from bench.benchmarks.profiling import profile, split
from bench.benchmarks.ray_cost import RayCost
from bench.benchmarks.shared_work import curve_config, shared_work
from bench.benchmarks.simulated import simulated_study
from bench.benchmarks.trace_cost import trace_cost
from bench.benchmarks.windows import SHARES, FewOpen, Length, Window, steady
from bench.report.scaling import Uncollected
from bench.run.driver import Driver
from bench.study.study import Study
from bench.workers.backends import make_pool
from bench.workers.pool import LocalPool
from bench.workers.simulated import SimulatedEngine
from tts.engine.requests import EngineCounters
from tts.errors import SettingError

SHORT = Length(0.3, 0.1)
ENGINE: dict[str, Any] = {"backend": "local", "batch": 4, "threads": 1}


def small(search: str = "eps_greedy", **engines: Any) -> Study:
    """A study of ten problems with four steps of the small network."""
    made = make_study(CURVE[search], 10, steps=4, **{**ENGINE, **engines})
    return Study(made.config.model_copy(update={"model": tiny_study.small(steps=4)}))


@pytest.fixture(scope="module")
def cell() -> Cell:
    """A window of a real engine, with the bare network measured before and after it.

    Another one is measured, up to five times, if the machine stood still during it. There are two batches of problems:
    one is opened while the other runs, so that the engine is always full.
    """
    sizes = Sizes((8,), SHORT, bare_seconds=0.2, whole=("naive",))
    for _ in range(5):
        [found] = cells({"naive": small("naive")}, sizes)
        if found.window.load.batches > 3:
            break
    return found


def test_shares_add_up_to_1() -> None:
    window = Window(10.0, 2, EngineCounters(5, 40, 6.0, 1.0, 0.5, 0.25, 1.25), 0.1, 20)
    shares = window.shares()
    assert tuple(shares) == SHARES
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["host"] == pytest.approx(0.1)
    assert window.rows_per_second == 8.0  # 40 rows in 5 s: the 10 seconds are those of two engines
    assert window.full(10) == 0.8


def test_a_real_window_is_made_of_its_parts(cell: Cell) -> None:
    shares = cell.window.shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert all(-0.01 <= share <= 1.01 for share in shares.values())
    assert shares["denoiser"] > 0.5
    assert 0 < cell.efficiency < 3  # wide bounds, as the machine does other things as well
    assert cell.full == 1.0
    assert cell.whole is not None
    assert cell.whole.images == 10
    assert cell.cpu_efficiency is not None
    assert 0 < cell.cpu_efficiency < 3
    assert cell.whole_full is not None
    assert 0.9 < cell.whole_full <= 1.0
    record = cell.record()
    assert record["efficiency"] == pytest.approx(record["rows_per_second"] / record["bare_rows_per_second"])
    json.dumps(record)


def test_a_window_of_engines_that_sleep() -> None:
    study = simulated_study(1, "driver", seconds=0.01)
    with closing(LocalPool(study, SimulatedEngine(study))) as pool:
        window = steady(study, pool, Length(0.5, 0.1))
    assert window.full(64) == 1.0
    assert window.load.rows == 64 * window.load.batches > 0
    assert window.rows_per_second == pytest.approx(window.load.rows / window.seconds)
    assert window.rows_per_second < 1.1 * 6400  # a busy machine has fewer
    assert window.outcomes > 0


def test_a_pool_serves_one_study_after_another() -> None:
    """A second study begins after the engine has finished the first one's work."""
    first, second = small("beam", simulate=0.001), small("random", simulate=0.001)
    with closing(make_pool(first)) as pool:
        before = steady(endless(first, "driver"), pool, SHORT)
        whole = timed(second, pool)
        engine = pool.worker  # type: ignore[attr-defined]
        assert not engine.busy
        assert engine._states == {}
    assert before.outcomes > 0
    assert whole.images == 10
    assert whole.nfe == 10 * second.entries[0].algorithm.nfe(second.plan)


def test_only_so_many_problems_are_open() -> None:
    study = small("random", simulate=0.0)
    most = 0
    with closing(make_pool(study)) as pool:
        driver = Driver(study, pool, Uncollected())
        driver.work = work = FewOpen(study, pool, 3)

        def look(_: object) -> None:
            nonlocal most
            most = max(most, len(work.open))

        driver.progress = look
        assert driver.run().done == 10
    assert most == 3


@pytest.mark.parametrize("share", [True, False])
def test_work_that_trials_have_in_common(share: bool) -> None:
    """The trials of N = 1 and 2 are part of those of N = 4, and all rewards score the same images."""
    searches = [{"name": "best_of_n", "budget": {"N": [1, 2, 4]}}]
    found = shared_work("curve", curve_config(searches, 2, simulate=0, batch=64, oversupply=4, share=share))
    each = found.alone // (2 * 3 * (1 + 2 + 4))
    assert found.trials == 2 * 3 * 3
    if share:
        assert (found.together, found.separate) == (2 * 4 * each, 2 * (1 + 2 + 4) * each)
    else:
        assert found.together == found.separate == found.alone
    assert found.of_alone == found.together / found.alone


def test_counting_and_computing_agree() -> None:
    searches = [{"name": "best_of_n", "budget": {"N": [1, 2]}}]
    config = curve_config(searches, 1, batch=4)
    config = config.model_copy(update={"model": tiny_study.small(steps=4)})
    asleep = config.model_copy(update={"engines": config.engines.model_copy(update={"simulate": 0.0})})
    real, counted = shared_work("curve", config), shared_work("curve", asleep)
    assert (real.together, real.separate, real.alone) == (counted.together, counted.separate, counted.alone)


def test_the_cost_of_ray_is_the_median_of_rounds() -> None:
    assert RayCost("naive", [10.0, 20.0, 10.0], [9.0, 20.0, 5.0]).ratio == 0.9


def test_a_profile_names_what_is_not_the_network() -> None:
    found = profile(small("random"), SHORT)
    total = found.network + sum(found.host.values())
    assert found.seconds == pytest.approx(total)
    assert found.network > 0.3 * total
    assert any(name.startswith(("tts/engine/batching.py:", "bench/workers/search_runner.py:")) for name in found.host)
    assert "forward passes" in found.words()
    json.dumps(found.record())


def test_a_builtins_time_is_its_callers() -> None:
    def ours() -> None:
        time.sleep(0.02)

    profiler = cProfile.Profile()
    profiler.enable()
    ours()
    torch.nn.functional.relu(torch.zeros(3))
    profiler.disable()
    network, host = split(pstats.Stats(profiler))
    assert next(seconds for name, seconds in host.items() if name.endswith("ours > time.sleep")) >= 0.02
    assert 0 < network < 0.02


def test_phases_of_a_start_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def ran(command: list[str]) -> tuple[float, str]:
        now = time.time()
        return 9.0, "noise\n" + json.dumps([["import", now + 1], ["model", now + 3], ["first", now + 3.5]])

    monkeypatch.setattr(startup, "_timed", ran)
    found = startup.first_forward("local", repeats=1)
    assert found.seconds == pytest.approx(3.5, abs=0.1)
    assert sum(found.phases.values()) == pytest.approx(found.seconds)
    assert found.phases["model"] == pytest.approx(2)
    assert found.met
    assert not startup.Startup("ray", 12.5, {}, 12.0).met


def test_a_run_stops_at_its_first_forward_pass(tmp_path: Path) -> None:
    """The times that it prints are in order, and lie between the start and the end of its process."""
    begin = time.time()
    told = said_by("bench.benchmarks.startup:main", "local", str(tmp_path / "run"))
    marks = json.loads(told.splitlines()[-1])
    ends = [at for _, at in marks]
    assert marks[-1][0] == "first forward pass"
    assert begin < ends[0] <= ends[-1] < time.time()
    assert ends == sorted(ends)


def test_a_command_writes_what_it_prints(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        app, ["shared-work", "--problems", "1", "--no-reference", "--no-real", "--output", str(tmp_path)]
    )
    assert run.exit_code == 0, run.output
    [path] = tmp_path.iterdir()
    content = json.loads(path.read_text())
    assert {"records", "versions", "git"} == content.keys()
    assert all(record["of_separate"] <= 1 for record in content["records"])
    assert "together" in run.output


def test_every_command_and_option_has_a_help_text() -> None:
    from typer.main import get_command

    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert command.help, name
        assert all(getattr(parameter, "help", None) for parameter in command.params), name


def test_settings_vary_in_every_combination() -> None:
    found = on_engines._combinations(["model.precision=fp32,fp16", "model.compile=true,false"])
    assert len(found) == 4
    assert found[1] == ["model.precision=fp32", "model.compile=false"]
    with pytest.raises(SettingError, match="expected KEY=VALUE,VALUE"):
        on_engines._combinations(["precision"])


def test_the_cost_of_a_trace_is_that_of_the_same_work() -> None:
    """Only facts that hold on any machine are checked."""
    found = trace_cost("naive", problems=2, pairs=1, steps=4, batch=2)
    assert found.search == "naive"
    assert found.wall > 0
    assert 0.2 < found.cpu < 5


def in_this_process(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    """What one of the benchmark's processes prints; each would import for ten seconds what this one has."""
    assert command[:3] == [sys.executable, "-m", encoding.__name__]
    ctypes.CDLL(None).malloc_trim(0)  # what is loaded now is on top of what is resident
    said = io.StringIO()
    with redirect_stdout(said):
        encoding.main(*command[3:])
    return subprocess.CompletedProcess(command, 0, said.getvalue())


def test_an_engine_with_a_store_is_measured_without_text_encoders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", in_this_process)
    folder = tiny_pipelines.save(tiny_pipelines.stable_diffusion(), tmp_path / "it")
    study = {
        **TINY,
        "model": {"name": "stable-diffusion", "id": str(folder), "sampler": {"steps": 2}},
        "rewards": ["brightness"],
        "searches": ["naive"],
        "problems": {"conditions": ["a tench"]},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    found = loaded(str(tmp_path / "study.yaml"), [])
    assert [(each.what, each.prompts) for each in found] == [*zip(WAYS.values(), (3, 1, 1), strict=True)]
    assert all(each.mebibytes > 0 and each.device_mebibytes == 0 for each in found)
    assert all(each.cpu_seconds > 0 and each.seconds > 0 for each in found)
