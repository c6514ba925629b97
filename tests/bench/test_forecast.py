"""``tts-bench plan``: its forecast equals what the run then costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import bench, refused
from stored_runs import rows, stored

from bench.commands.plan import plan as command
from bench.report.forecast_table import control_lines, lines
from bench.run.driver import Driver
from bench.run.forecast import Forecast, PointCost, _Rows, forecast
from bench.statistics.power import needed, problems_needed
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers import calibration
from bench.workers.calibration import Calibration
from bench.workers.pool import LocalPool
from bench.workers.rates import Rate

Make = Callable[..., RunConfig]

EXACT = ["naive", {"name": "best_of_n", "N": 2}, {"name": "random", "budget": {"N": [2, 3]}}]


def played(config: RunConfig) -> tuple[int, list[Any]]:
    """Forwards that the run computes, and its rows."""
    study, sink = Study(config), _Rows()
    pool = LocalPool(study)
    try:
        return Driver(study, pool, sink).run().nfe, sink.rows
    finally:
        pool.close()


@pytest.mark.slow
@pytest.mark.parametrize("share", [False, True])
def test_a_run_costs_what_was_said(share: bool, tiny: Make) -> None:
    """Three of four problems are played; each costs the same, except for work that its trials share."""
    problems = {"conditions": [0, 1], "seeds": 2}
    config = tiny(
        searches=EXACT, problems=problems, rewards=["brightness", "compressibility"], engines={"share": share}
    )
    said, (computed, found) = forecast(config, played=3), played(config)
    assert (said.problems, said.trials, said.shared) == (4, len(found), share)
    assert said.computed == (pytest.approx(computed, rel=0.1) if share else computed)
    assert said.exact
    assert said.charged == sum(row.nfe for row in found)
    assert said.decodes == sum(row.decodes for row in found)
    assert said.reward_calls == sum(row.reward_calls for row in found)
    for point in said.points:
        assert {point.nfe} == {row.nfe for row in found if (row.search, row.settings) == (point.search, point.settings)}


def test_a_search_that_decides_on_the_way_is_estimated(tiny: Make) -> None:
    said = forecast(tiny())
    assert not said.exact
    assert {point.search for point in said.points if not point.exact} == {"mcts"}


def test_a_shard_is_forecast_by_itself(tiny: Make) -> None:
    config = tiny(searches=["naive"], rewards=["brightness"], problems={"conditions": [0, 1], "seeds": 16})
    whole, half = forecast(config), forecast(config.model_copy(update={"shard": "1/2"}))
    assert (whole.trials, half.trials) == (32, 16)
    assert half.computed * 2 == whole.computed


def test_a_shard_without_trials_costs_nothing(tiny: Make) -> None:
    config = tiny(searches=["naive"], rewards=["brightness"], problems={"conditions": [0, 1], "seeds": 1}, shard="2/3")
    found = forecast(config)
    assert (found.trials, found.computed, found.depth, found.fill(2), found.useful_engines) == (0, 0, 0, None, 1)
    told = [*lines(found, 100.0, 2, 1.0), *control_lines([found])]
    assert told == ["trials: 0 of 2 problems; there are fewer trials than shards, so this one ends at once"]


def test_traces_are_counted_on_disk(tiny: Make) -> None:
    plain, traced = forecast(tiny()), forecast(tiny(trace=True))
    assert traced.row_bytes > plain.row_bytes
    assert traced.computed == plain.computed


POINT = PointCost("naive", "{}", 100, 10.0, 1, 1, 5, exact=True)
WHOLE = Forecast(100, (POINT,), computed=1000, shared=False, decodes=100, reward_calls=100, row_bytes=1, batch=10)


@pytest.mark.parametrize(("engines", "seconds"), [(1, 100), (4, 25), (20, 5), (1000, 5)])
def test_no_number_of_engines_beats_the_longest_chain(engines: int, seconds: float) -> None:
    assert WHOLE.useful_engines == 20
    assert WHOLE.hours(10.0, engines) * 3600 == pytest.approx(seconds)  # five passes of ten rows, at ten rows a second


@pytest.mark.parametrize(("engines", "fill", "batch"), [(1, 1.0, 200), (20, 1.0, 10), (40, 0.5, 5), (1000, 0.02, 1)])
def test_passes_are_padded_if_the_longest_chain_takes_longer_than_the_work(
    engines: int, fill: float, batch: int
) -> None:
    """Five passes at least; 1000 forwards fill no more than that many rows of them."""
    assert WHOLE.fill(engines) == pytest.approx(fill)
    assert WHOLE.full_batch(engines) == batch


def test_a_batch_that_the_run_fills_is_proposed() -> None:
    assert not any(line.startswith("padding") for line in lines(WHOLE, None, 20, None))
    [told] = [line for line in lines(WHOLE, None, 40, None) if line.startswith("padding")]
    assert told == (
        "padding: at least 50 % of the rows of passes, since this run has too few trials at a time for 40 engines with "
        "batches of 10; set engines.batch=5"
    )


@pytest.mark.parametrize(
    ("rate", "time", "speed"),
    [(20.0, "0:00:50", "20.0"), (0.02, "13:53:20", "0.02"), (1e-15, "11,574,074,074,074 days", "1e-15")],
)
def test_time_is_told_at_any_rate(rate: float, time: str, speed: str) -> None:
    told = next(line for line in lines(WHOLE, rate, 1, None) if line.startswith("time"))
    assert told.startswith(f"time: {time} on 1 engine")
    assert told.endswith(f" at {speed} forwards a second")


def test_the_command_says_all_of_it(tiny: Make, tmp_path: Path) -> None:
    config = tmp_path / "study.json"
    config.write_text(tiny(engines={"batch": "auto"}).model_dump_json())
    result = bench("plan", config)
    assert (result.code, result.err) == (0, "")
    assert "trials: 54 of 2 problems" in result.words
    assert "time: not known; give --rate" in result.words
    assert "engines that help" not in result.words
    assert not (tmp_path / "run").exists()
    result = bench("plan", config, "--set", "engines.batch=8", "--rate", "100", "--price", "2")
    assert "device-hours at 100.0 forwards a second" in result.words
    assert "at 2 a device-hour" in result.words
    assert "engines that help: up to" in result.words
    assert command.__doc__


def test_a_rate_is_measured_when_asked_for(tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How is tested in test_calibrate.py."""
    asked: list[Any] = []

    def measured(study: Study, batches: Any) -> Calibration:
        asked.append((study.config.model, batches))
        return Calibration("fake", (Rate(8, 123.0, 8 / 123.0, 100.0, None),))

    monkeypatch.setattr(calibration, "calibrate", measured)
    config = tiny(searches=["naive"])
    (tmp_path / "study.json").write_text(config.model_dump_json())
    assert "device-hours at 123.0 forwards a second" in bench("plan", tmp_path / "study.json", "--measure").words
    assert asked == [(config.model, [8])]


def test_mistakes_are_one_line(tiny: Make, tmp_path: Path) -> None:
    config = tmp_path / "study.json"
    config.write_text(tiny().model_dump_json())
    refused("--pilot and --difference go together", "plan", config, "--pilot", tmp_path)
    refused("--pilot and --difference go together", "plan", config, "--difference", "1")
    refused("--rate: --measure finds the rate itself", "plan", config, "--rate", "100", "--measure")
    refused("did you mean 'naive'", "plan", config, "--set", "searches=[naiv]")


# How many problems


def test_the_number_of_problems_is_that_of_tables() -> None:
    """Cohen 1988: d = 0.5, level 0.05, power 0.8 needs 34 pairs (n + z^2/2 of the normal approximation)."""
    assert problems_needed(2.0, 1.0) == 34
    assert problems_needed(1.0, 1.0) == 10
    assert problems_needed(0.0, 1.0) >= 2


def test_so_many_problems_see_it_four_times_of_five() -> None:
    spread, difference = 1.7, 0.6
    n = problems_needed(spread, difference)
    draws = np.random.default_rng(0).normal(difference, spread, (4000, n))
    t = draws.mean(1) / (draws.std(1, ddof=1) / np.sqrt(n))
    from scipy.stats import t as student

    assert np.mean(np.abs(t) > student.ppf(0.975, n - 1)) == pytest.approx(0.8, abs=0.02)


def test_a_pilot_tells_how_many(tiny: Make, tmp_path: Path) -> None:
    from bench.report.summary import read_trials

    run, config = stored(tmp_path / "pilot", rows(8)), tmp_path / "study.json"
    config.write_text(tiny().model_dump_json())
    near, far = (needed(read_trials(run), difference) for difference in (0.05, 0.1))
    assert len(near) == len(far) > 0
    assert (near["problems"] > far["problems"]).any()
    assert (near["n"] == 8).all()
    result = bench("plan", config, "--pilot", run, "--difference", "0.05")
    assert "problems to see a difference of 0.05 (80 %)" in result.words
