"""``engines.batch: auto``: which batch is chosen, where it is kept, and that resumed and shared runs use the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import bench, refused
from driver_processes import write
from killed_measuring import dies
from rich.console import Console
from test_memory import SMALL, room_for

from bench.run import start as running
from bench.run.start import run
from bench.store import reader as store
from bench.study.config import AUTO, RunConfig
from bench.study.study import Study
from bench.workers import calibration as calibrate
from bench.workers import rates as measuring
from bench.workers.calibration import Calibration, measure, no_gain, parse_batches
from bench.workers.rates import Rate, _peak, rates_of
from tts.errors import DeviceMemoryError, EngineError, RunMismatchError, SettingError

Make = Callable[..., RunConfig]
QUIET = Console(quiet=True)


def rate(batch: int, rows_per_second: float, obstacle: str | None = None) -> Rate:
    """A measurement."""
    return Rate(batch, rows_per_second, batch / rows_per_second, 100.0 + batch, obstacle)


def measured(*rates: Rate) -> Calibration:
    """Some measurements."""
    return Calibration("fake", rates)


def auto(make: Make, **changes: Any) -> RunConfig:
    """A small study that leaves its batch open."""
    return make(**SMALL, engines={"batch": "auto"}, **changes)


def number(config: RunConfig) -> int:
    """The batch that a run's manifest states."""
    manifest = store.read_manifest(config.output)
    assert manifest["resolved"]["numerics"]["batch"] == manifest["config"]["engines"]["batch"]
    return int(manifest["config"]["engines"]["batch"])


def says(monkeypatch: pytest.MonkeyPatch, batch: int, before: Callable[[], object] = lambda: None) -> list[Study]:
    """Replace measuring: it calls ``before`` and finds ``batch``. Returns the list of studies that were measured."""
    studies: list[Study] = []

    def fake(study: Study, batches: Sequence[int] | None = None) -> Calibration:
        studies.append(study)
        before()
        return measured(rate(1, 1.0), rate(batch, 10.0))

    monkeypatch.setattr(calibrate, "calibrate", fake)
    return studies


@pytest.mark.parametrize(
    ("rates", "chosen"),
    [
        ([rate(1, 50), rate(8, 96.9), rate(16, 97.1), rate(32, 100)], 16),
        ([rate(1, 50), rate(8, 50)], 1),
        ([rate(8, 100), rate(16, 110, "the network"), rate(32, 90)], 8),
    ],
)
def test_the_smallest_that_is_nearly_the_best_and_that_engines_can_use(rates: list[Rate], chosen: int) -> None:
    assert measured(*rates).batch == chosen


def test_none_may_be_usable() -> None:
    with pytest.raises(EngineError, match=r"with none of the sizes 4, 8 .*\(reward clip\)"):
        _ = measured(rate(4, 1, "reward clip"), rate(8, 1, "reward clip")).batch


def test_larger_ones_are_tried_for_as_long_as_they_bring_something() -> None:
    rates = [rate(1, 50), rate(2, 100), rate(4, 99), rate(8, 120), rate(16, 121), rate(32, 100)]
    assert [no_gain(rates[:n]) for n in range(1, 7)] == [False] * 5 + [True]


def test_measuring_the_embedded_model(tiny: Make) -> None:
    found = measure(Study(tiny(**SMALL, engines={"batch": 5})), [1, 2], seconds=0.05)
    assert [rate.batch for rate in found.rates] == [1, 2]
    assert all(rate.rows_per_second == pytest.approx(rate.batch / rate.seconds) for rate in found.rates)
    assert all(rate.mebibytes > 50 and rate.obstacle is None for rate in found.rates)
    assert found.limit is None
    assert found.device != ""


def test_a_size_without_memory_ends_the_list(tiny: Make) -> None:
    tried: list[int] = []
    with room_for(4):
        rates = rates_of(Study(tiny(**SMALL)), [2, 4, 8, 16], 0.01, tried.append)
        found = [next(rates).batch, next(rates).batch]
        with pytest.raises(DeviceMemoryError):
            next(rates)
    assert found == [2, 4]
    assert tried == [2, 4, 8]


def test_a_process_that_is_killed_ends_the_list_too(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "_tell_all", dies)
    found = measure(Study(tiny()), [1, 2, 4])
    assert found == Calibration("fake", (rate(1, 10.0),), limit=2)


def test_an_error_of_a_users_own_code_is_told_and_is_no_limit(
    tiny: Make, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {"name": "fragile_rewards:Unloadable", "as": "own"}
    with pytest.raises(EngineError, match=r"^KeyError: 'no such key'$"):
        measure(Study(tiny(rewards=["brightness", given])), [1], seconds=0.01)
    assert capfd.readouterr().err == ""


def test_a_machine_that_does_not_tell_its_peak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "status"
    monkeypatch.setattr(measuring, "Path", lambda _: status)
    found = [_peak("cpu")]
    for text in ("Name:\tpython\n", "Name:\tpython\nVmHWM:\t    2048 kB\n"):
        status.write_text(text)
        found.append(_peak("cpu"))
    assert found[0] == found[1] > 50
    assert found[2] == 2


@pytest.mark.parametrize(
    ("tried", "words"),
    [(2, "out of memory with engines.batch = 2, the smallest that was tried; set "), (None, "out of memory; set ")],
)
def test_the_smallest_size_may_be_too_large_or_the_model_alone(
    tried: int | None, words: str, tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(program: object, arguments: object, told: calibrate._Told) -> Iterator[Rate]:
        told.trying = tried
        return iter(())

    monkeypatch.setattr(calibrate, "_answers", ends)
    with pytest.raises(DeviceMemoryError, match=words):
        measure(Study(tiny()), [2, 4])


def test_a_run_keeps_what_it_measured(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    config, studies = auto(tiny), says(monkeypatch, 4)
    assert config.engines.batch == AUTO
    assert config.model_dump(mode="json")["engines"]["batch"] == "auto"
    finished = run(config, QUIET)
    assert finished.study.config.engines.batch == number(config) == 4
    calibration = store.read_manifest(config.output)["calibration"]
    assert calibration["batch"] == 4
    assert [rate["rows_per_second"] for rate in calibration["rates"]] == [1.0, 10.0]
    assert run(config, QUIET).counts is None  # the run is done, and nothing is measured again
    assert len(studies) == 1


def test_resuming_takes_the_number_that_was_recorded(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tiny(**SMALL, engines={"batch": 3}), QUIET)
    studies, config = says(monkeypatch, 8), auto(tiny)
    for part in (Path(config.output) / "trials").iterdir():
        part.unlink()
    finished = run(config, QUIET)
    assert finished.counts is not None
    assert finished.counts.done == 2
    assert (studies, number(config)) == ([], 3)
    assert "calibration" not in store.read_manifest(config.output)


def test_another_configuration_is_refused_all_the_same(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tiny(**SMALL, engines={"batch": 3}), QUIET)
    studies = says(monkeypatch, 8)
    with pytest.raises(RunMismatchError, match="belongs to another configuration"):
        run(auto(tiny, seed=1), QUIET)
    assert studies == []


def test_a_shard_takes_what_another_has_measured_meanwhile(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def other() -> None:
        with pytest.MonkeyPatch.context() as patch:
            says(patch, 2)
            run(auto(tiny, shard="1/2"), QUIET)

    says(monkeypatch, 4, before=other)
    config = auto(tiny, shard="0/2")
    assert run(config, QUIET).study.config.engines.batch == number(config) == 2
    assert len(store.done(config.output)) == 2


def test_a_shard_whose_engines_have_started_with_another_batch_starts_them_again(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    make_pool = running.make_pool

    def late(study: Study) -> Any:
        batches.append(study.config.engines.batch)
        if len(batches) == 1:  # the other shard writes the manifest while this one's engines start
            with pytest.MonkeyPatch.context() as patch:
                says(patch, 2)
                run(auto(tiny, shard="1/2"), QUIET)
        return make_pool(study)

    says(monkeypatch, 4)
    monkeypatch.setattr(running, "make_pool", late)
    config = auto(tiny, shard="0/2")
    run(config, QUIET)
    assert batches == [4, 2, 2]
    assert number(config) == 2
    assert len(store.done(config.output)) == 2


@pytest.mark.parametrize(
    ("engines", "message"),
    [
        ({"batch": "auto", "simulate": 0.0}, "engines.batch: auto measures a model"),
        ({"batch": "automatic"}, "engines.batch = 'automatic': Input should be a valid integer"),
        ({"batch": 0}, "engines.batch = 0: Input should be greater than or equal to 1, or auto"),
    ],
)
def test_what_cannot_be_measured_is_refused(engines: dict[str, Any], message: str, tiny: Make, tmp_path: Path) -> None:
    config = write(tiny(), tmp_path / "run.yaml")
    sets = [word for key, value in engines.items() for word in ("--set", f"engines.{key}={value}")]
    refused(message, "run", config, *sets)
    assert not (tmp_path / "run").exists()


def test_elsewhere_auto_is_refused(tiny: Make) -> None:
    with pytest.raises(SettingError, match="tts-bench calibrate finds"):
        Study(auto(tiny))


@pytest.mark.parametrize("text", ["", "0", "1,x", "1,,2"])
def test_sizes_are_numbers(text: str) -> None:
    with pytest.raises(SettingError, match="--batches"):
        parse_batches(text)


def test_the_command_prints_a_table_and_a_number(tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[int] | None] = []

    def fake(study: Study, batches: Sequence[int] | None) -> Calibration:
        asked.append(batches)
        return Calibration("fake", (rate(1, 5.0), rate(4, 10.0, "the network"), rate(8, 9.0)), limit=16)

    monkeypatch.setattr(calibrate, "calibrate", fake)
    config = write(auto(tiny), tmp_path / "run.yaml")
    result = bench("calibrate", config, "--batches", "8,1,4")
    assert (result.code, asked) == (0, [(1, 4, 8)])
    assert "engines.batch: 8" in result.words
    for words in ("rows are not independent: the network", "out of memory", "on fake"):
        assert words in result.words
