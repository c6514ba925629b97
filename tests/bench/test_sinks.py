"""Sinks: what they are told about a run, and that none of them can stop it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import own_sinks
import pandas as pd
import pyarrow.parquet as pq
import pytest
from command_line import bench
from rich.console import Console
from sink_runs import FACTS, configured, means

from bench.report.runs import Run
from bench.report.sections import environment
from bench.report.summary import read_trials
from bench.run.driver import RunProgress
from bench.run.followers import Followers
from bench.run.start import run
from bench.run.status import read as status_of
from bench.run.tabulate import tabulate
from bench.sinks import tracking
from bench.sinks.tally import Tally
from bench.statistics.curves import curves
from bench.store import reader as store
from bench.store.row import TrialRow
from bench.store.storage import place
from bench.study.config import RunConfig
from bench.study.labels import curve_labels
from bench.study.study import Study
from tts.errors import SettingError, UnknownNameError


def started(config: RunConfig) -> str:
    """The output of a run."""
    said = io.StringIO()
    run(config, Console(file=said, width=1000))
    return said.getvalue()


@pytest.fixture
def told() -> Iterator[list[tuple[Any, ...]]]:
    """All events of the sink that keeps every event."""
    own_sinks.Kept.told.clear()
    yield own_sinks.Kept.told
    own_sinks.Kept.told.clear()


def test_a_sink_is_told_of_the_run_as_it_goes_on_and_at_its_end(tmp_path: Path, told: list[tuple[Any, ...]]) -> None:
    assert "sink" not in started(configured(tmp_path, {"name": "own_sinks:Kept", "seconds": 0}))
    assert [each[0] for each in told[:2]] == ["open", "numbers"]
    assert [each[0] for each in told[-3:]] == ["numbers", "curves", "end"]
    steps = [each[1] for each in told if each[0] == "numbers"]
    assert steps == sorted(steps)
    assert steps[-1] == 24
    last = told[-3][2]
    assert {name: value for name, value in last.items() if name.startswith("mean/")} == pytest.approx(means(tmp_path))
    rows = store.read(tmp_path).to_pandas()
    assert last["cost/nfe"] == rows["nfe"].sum()
    assert last["cost/reward_calls"] == rows["reward_calls"].sum()
    assert (last["progress/done"], last["progress/trials"], last["progress/failed"]) == (24, 24, 0)
    curve = [point for point in told[-2][1] if (point.reward, point.curve) == ("brightness", "best_of_n")]
    assert [(point.nfe, point.n) for point in curve] == [(14, 2), (21, 2)]
    assert told[-1] == ("end", "done")


def test_a_run_that_goes_on_goes_on_there(tmp_path: Path, told: list[tuple[Any, ...]]) -> None:
    """After a restart, rows of the first start count, and the sink sees the same run."""
    config = configured(tmp_path, {"name": "own_sinks:Kept", "seconds": 0})
    run(config, Console(quiet=True))
    whole = list(told)
    told.clear()
    first, *others = sorted((tmp_path / "trials").iterdir())
    assert others == []
    pq.write_table(pq.read_table(first).slice(0, 10), first)
    run(config, Console(quiet=True))
    assert told[0] == whole[0]
    assert min(each[1] for each in told if each[0] == "numbers") >= 10
    for name, value in whole[-3][2].items():
        if name.startswith(("mean/", "cost/nfe", "progress/done")):
            assert told[-3][2][name] == pytest.approx(value)
    assert [point[:3] for point in told[-2][1]] == [point[:3] for point in whole[-2][1]]


@pytest.mark.parametrize("how", ["fail", "exit"])
@pytest.mark.parametrize("at", ["open", "numbers", "curves", "end"])
def test_a_sink_that_fails_never_stops_a_run_and_is_told_of_once(
    tmp_path: Path, at: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "abcdef123456")
    said = started(configured(tmp_path, {"name": "own_sinks:Broken", "at": at, "how": how, "seconds": 0}))
    assert said.count("sink Broken: ") == 1
    assert "; the run goes on, and the sink is tried again with what follows" in said
    reason = "SystemExit: 3" if how == "exit" else "ConnectionError: no answer from https://host/x with ..."
    assert reason in said
    [status] = status_of(tmp_path)
    assert (status["state"], status["done"], status["failed"]) == ("done", 24, 0)
    assert reason in status["sinks"]["Broken"]
    assert "updates lost" in status["sinks"]["Broken"]
    assert store.read(tmp_path).num_rows == 24
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or b"abcdef123456" not in file.read_bytes()


def test_a_sink_whose_tracker_has_broken_gets_another_one(tmp_path: Path, told: list[tuple[Any, ...]]) -> None:
    run(configured(tmp_path, {"name": "own_sinks:Breaks", "seconds": 0}), Console(quiet=True))
    assert [each[0] for each in told[:2]] == ["open", "open"]
    assert [each[0] for each in told[-3:]] == ["numbers", "curves", "end"]
    [status] = status_of(tmp_path)
    assert status["sinks"] == {"Breaks": "1 updates lost; it answers again"}


def test_status_and_report_say_which_sink_failed(tmp_path: Path) -> None:
    run(configured(tmp_path, {"name": "own_sinks:Broken", "as": "mine", "at": "open"}), Console(quiet=True))
    assert "sink mine: 2 updates lost; ConnectionError: no answer from" in bench("status", tmp_path).words
    found = environment._sinks(Run(tmp_path, {}, pd.DataFrame()))
    assert found["sinks"].startswith("mine: 2 updates lost; ConnectionError")
    assert environment._sinks(Run(tmp_path / "handed-on", {}, pd.DataFrame())) == {}


def test_a_sink_that_hangs_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "END_SECONDS", 0.05)
    try:
        said = started(configured(tmp_path, {"name": "own_sinks:Broken", "at": "numbers", "how": "hang"}))
    finally:
        own_sinks.NEVER.set()
    own_sinks.NEVER.clear()
    assert "sink Broken: does not answer within 0.05 s of the end, and is left behind" in said
    assert store.read(tmp_path).num_rows == 24


def test_a_trial_that_is_stored_twice_counts_once(tmp_path: Path, told: list[tuple[Any, ...]]) -> None:
    """Rows of a copied part count once, as in all tables of the run."""
    config = configured(tmp_path, "own_sinks:Kept")
    run(config, Console(quiet=True))
    costs = told[-3][2]
    [part] = (tmp_path / "trials").iterdir()
    shutil.copy(part, part.with_name("part-copied.parquet"))
    with Followers(Study(config), place(tmp_path), lambda line: None).told(RunProgress(done=24)):
        pass
    assert told[-3][2]["cost/nfe"] == costs["cost/nfe"] == store.read(tmp_path)["nfe"].to_numpy().sum()


def test_stored_rows_are_counted_batch_by_batch(
    tmp_path: Path, told: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of a million trials goes on without a list of them."""
    config = configured(tmp_path, "own_sinks:Kept")
    run(config, Console(quiet=True))
    costs, events = told[-3][2], list[str]()
    read, add = store.batches, Tally.add

    def batches(*given: Any) -> Iterator[Any]:
        for batch in read(*given):
            for start in range(0, len(batch), 10):
                events.append("batch")
                yield batch.slice(start, 10)

    def counted(self: Tally, row: Any) -> Any:
        events.append("row")
        return add(self, row)

    monkeypatch.setattr(store, "batches", batches)
    monkeypatch.setattr(Tally, "add", counted)
    with Followers(Study(config), place(tmp_path), lambda line: None).told(RunProgress(done=24)):
        pass
    assert events == [event for rows in (10, 10, 4) for event in ("batch", *["row"] * rows)]
    assert told[-3][2]["cost/nfe"] == costs["cost/nfe"]


def test_numbers_are_made_only_for_a_sink_whose_time_has_come(told: list[tuple[Any, ...]]) -> None:
    """A run reports at each wait of its driver, which is far more often than a sink needs."""
    asked = list[int]()

    def numbers() -> dict[str, float]:
        asked.append(1)
        return {}

    cases: list[tuple[dict[str, Any], int]] = [({}, 0), ({"kept": own_sinks.Kept(seconds=1000)}, 1)]
    for sinks, times in cases:
        asked.clear()
        following = tracking.Tracking(sinks, FACTS, Tally({}), lambda line: None)
        for step in range(5):
            following.tell(step, numbers)
        following.end(5, {}, "done")
        assert len(asked) == times


def test_a_stopped_run_says_so(tmp_path: Path, told: list[tuple[Any, ...]]) -> None:
    followers = Followers(Study(configured(tmp_path, "own_sinks:Kept")), place(tmp_path), lambda line: None)
    with pytest.raises(KeyboardInterrupt), followers.told(RunProgress(done=5)):
        raise KeyboardInterrupt
    assert told[-1] == ("end", "stopped")
    assert told[-3][1] == 5


def test_what_a_results_folder_names_as_sinks_is_not_opened(tmp_path: Path, told: list[tuple[Any, ...]]) -> None:
    """A manifest is data: a run made from it opens none of its sinks."""
    run(configured(tmp_path / "run", "own_sinks:Kept", problems={"conditions": [0]}), Console(quiet=True))
    assert store.read_manifest(tmp_path / "run")["config"]["sinks"] == ["own_sinks:Kept"]
    told.clear()
    assert tabulate(str(tmp_path / "run"), 2, None, [], True, Console(quiet=True)).trajectories == 2
    assert bench("curves", tmp_path / "run").code == 0
    assert told == []


def test_sinks_change_no_result_and_no_identity(tmp_path: Path, told: list[tuple[Any, ...]]) -> None:
    with_sink, without = configured(tmp_path / "a", "own_sinks:Kept"), configured(tmp_path / "b")
    assert Study(with_sink).digest() == Study(without).digest()
    for config in (with_sink, without):
        run(config, Console(quiet=True))
    ours, theirs = (store.read(tmp_path / name, ["trial", "value", "recipe_hash", "nfe"]) for name in "ab")
    assert ours.sort_by("trial").equals(theirs.sort_by("trial"))


@pytest.mark.parametrize(
    ("sink", "message"),
    [
        ({"name": "wandb", "api_key": "x"}, "'api_key' may be a secret, and a configuration is stored"),
        ({"name": "mlflow", "password": "x"}, "'password' may be a secret"),
        ({"name": "tensorboard", "foldr": "x"}, "sink tensorboard: unknown key 'foldr'; did you mean 'folder'"),
        ({"name": "mlflow", "uri": "https://user:word@host"}, "sinks"),
    ],
)
def test_a_wrong_sink_is_refused_before_the_run(tmp_path: Path, sink: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        run(configured(tmp_path / "run", sink), Console(quiet=True))
    assert not (tmp_path / "run").exists()


def test_an_unknown_sink_and_one_that_is_not_installed_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownNameError, match="unknown sink 'wandbb'; did you mean 'wandb'"):
        run(configured(tmp_path, "wandbb"), Console(quiet=True))
    monkeypatch.setattr("bench.sinks.base.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"mlflow is not installed; pip install 'diffusion-tts-bench\[mlflow\]'"):
        run(configured(tmp_path, "mlflow"), Console(quiet=True))


def row(name: str, image: bytes | None) -> TrialRow:
    costs: dict[str, Any] = {"nfe": 7, "shared_nfe": 0, "decodes": 1, "reward_calls": 1, "device_seconds": 0.0}
    problem: dict[str, Any] = {"condition": "0", "label": "x", "seed": 0, "problem_seed": 0, "reward": "brightness"}
    identity: dict[str, Any] = {"trial": name, "search": name, "settings": "{}", "budget": None, "budget_value": None}
    return TrialRow(**identity, **problem, **costs, value=0.5, image=image)


def test_the_first_image_of_each_point_is_sent_once(told: list[tuple[Any, ...]]) -> None:
    sinks = {"kept": own_sinks.Kept(seconds=0, images=2)}
    following = tracking.Tracking(sinks, FACTS, Tally({}), lambda line: None)
    for name, image in (("a", b"1"), ("a", b"2"), ("b", None), ("b", b"3"), ("c", b"4")):
        following.add(row(name, image))
        following.tell(1, dict)
    following.end(5, {}, "done")
    images = [each[1:] for each in told if each[0] == "image"]
    assert images == [("image/brightness/a", b"1"), ("image/brightness/b", b"3")]


def test_curves_are_named_by_what_tells_them_apart() -> None:
    entries = [
        ("pruned", '{"N":4,"at":[0.5],"keep":[0.5]}', "N"),
        ("pruned", '{"N":8,"at":[0.5],"keep":[0.5]}', "N"),
        ("pruned", '{"N":4,"at":[0.2],"keep":[0.5]}', "N"),
        ("naive", "{}", None),
    ]
    assert list(curve_labels(entries).values()) == ["pruned at=[0.5]", "pruned at=[0.5]", "pruned at=[0.2]", "naive"]


def test_curves_are_named_as_reports_name_them(tmp_path: Path, told: list[tuple[Any, ...]]) -> None:
    """This holds even if a search leaves a setting at a default that its record omits."""
    candidates: list[Any] = ["naive", {"name": "naive", "candidate": 1}, {"name": "naive", "candidate": 2}]
    run(configured(tmp_path, "own_sinks:Kept", searches=candidates), Console(quiet=True))
    assert {point.curve for point in told[-2][1]} == set(curves(read_trials(tmp_path))["curve"])
