"""Sinks: what they are told of a run, and that none of them can stop it."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import own_sinks
import pandas as pd
import pyarrow.parquet as pq
import pytest
from command_line import bench
from PIL import Image
from rich.console import Console
from tiny_study import TINY

from bench.report.runs import Run
from bench.report.sections import environment
from bench.report.summary import read_trials
from bench.run.driver import RunProgress
from bench.run.followers import Followers
from bench.run.start import run
from bench.run.status import read as status_of
from bench.run.tabulate import tabulate
from bench.sinks import tracking
from bench.sinks.base import CurvePoint, RunFacts
from bench.sinks.mlflow import MLflow, named
from bench.sinks.registry import SINKS
from bench.sinks.tally import Tally
from bench.sinks.wandb import WandB
from bench.statistics.curves import curves
from bench.store import reader as store
from bench.store.row import TrialRow
from bench.store.storage import place
from bench.study.config import RunConfig
from bench.study.labels import curve_labels
from bench.study.study import Study
from tts.errors import SettingError, UnknownNameError
from tts.settings import parse

SEARCHES: list[Any] = ["naive", {"name": "best_of_n", "budget": {"N": [2, 3]}}, {"name": "random", "N": 3}]
FACTS = RunFacts("a run", "0" * 32, "results/a-run", None, {"seed": 3})


def configured(folder: Path, *sinks: Any, **changes: Any) -> RunConfig:
    """Some searches, on an engine that computes nothing."""
    engines = {"backend": "local", "batch": 4, "simulate": 0.0}
    values = {**TINY, "searches": SEARCHES, "engines": engines, "output": str(folder), "sinks": list(sinks), **changes}
    return parse(RunConfig, values, "study")


def started(config: RunConfig) -> str:
    """What a run prints."""
    said = io.StringIO()
    run(config, Console(file=said, width=1000))
    return said.getvalue()


@pytest.fixture
def told() -> Iterator[list[tuple[Any, ...]]]:
    """What the sink that keeps everything was told."""
    own_sinks.Kept.told.clear()
    yield own_sinks.Kept.told
    own_sinks.Kept.told.clear()


def means(folder: Path) -> dict[str, float]:
    """Of the stored rows, by reward and search."""
    frame = store.read(folder).to_pandas()
    found = frame.groupby(["reward", "search", frame["budget_value"].fillna(0)])["value"].mean()
    points = {"naive": "naive", "best_of_n": "best_of_n N=%g", "random": "random"}
    return {
        f"mean/{reward}/{points[name] % n if n else points[name]}": mean for (reward, name, n), mean in found.items()
    }


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
    """The rows of its first start count, and it is the same run to the sink."""
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
    """As in every table of it."""
    config = configured(tmp_path, "own_sinks:Kept")
    run(config, Console(quiet=True))
    costs = told[-3][2]
    [part] = (tmp_path / "trials").iterdir()
    shutil.copy(part, part.with_name("part-copied.parquet"))
    with Followers(Study(config), place(tmp_path), lambda line: None).told(RunProgress(done=24)):
        pass
    assert told[-3][2]["cost/nfe"] == costs["cost/nfe"] == store.read(tmp_path)["nfe"].to_numpy().sum()


def test_numbers_are_made_only_for_a_sink_whose_time_has_come(told: list[tuple[Any, ...]]) -> None:
    """A run tells of each wait of its driver."""
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
    """Its manifest is data; a run that is made of it has none of its sinks."""
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


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(file, format="PNG")
    return file.getvalue()


POINTS = [CurvePoint("brightness", "naive", 7.0, 0.25, 2), CurvePoint("brightness", "random", 21.0, 0.5, 2)]


def test_event_files_of_tensorboard(tmp_path: Path) -> None:
    """As TensorBoard itself reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(configured(tmp_path / "run", {"name": "tensorboard", "seconds": 0}), Console(quiet=True))
    tracker = SINKS.make({"name": "tensorboard", "folder": str(tmp_path / "run" / "tensorboard")})[1].open(FACTS)
    tracker.image("image/brightness/naive", png(), 7)
    tracker.end("done")
    found = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    found.Reload()
    for name, mean in means(tmp_path / "run").items():
        assert found.Scalars(name)[-1].value == pytest.approx(mean)
        assert found.Scalars(name)[-1].step == 24
    assert [event.step for event in found.Scalars("curve/brightness/best_of_n")] == [14, 21]
    [image] = found.Images("image/brightness/naive")
    assert (image.width, image.height, image.step, image.encoded_image_string) == (6, 4, 7, png())
    with pytest.raises(SettingError, match="folder: is needed, as the results are in an object store"):
        SINKS.make("tensorboard")[1].open(FACTS)


class FakeClient:
    """MLflow's client, as far as the sink asks it."""

    calls: list[tuple[Any, ...]] = []  # noqa: RUF012
    runs: list[Any] = []  # noqa: RUF012

    def __init__(self, tracking_uri: str | None) -> None:
        self.calls.append(("client", tracking_uri))

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return f"id of {name}"

    def search_runs(self, experiments: list[str], query: str, max_results: int) -> list[Any]:
        self.calls.append(("search", experiments, query))
        return self.runs

    def create_run(self, experiment: str, tags: dict[str, str], run_name: str) -> Any:
        self.calls.append(("create", experiment, tags, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="r1"))

    def update_run(self, run: str, status: str) -> None:
        self.calls.append(("update", run, status))

    def log_dict(self, run: str, value: dict[str, Any], file: str) -> None:
        self.calls.append(("dict", run, value, file))

    def log_batch(self, run: str, metrics: list[Any]) -> None:
        self.calls.append(("batch", run, [(each.key, each.value, each.step) for each in metrics]))

    def log_artifact(self, run: str, file: str, folder: str) -> None:
        self.calls.append(("artifact", run, Path(file).name, Path(file).read_bytes(), folder))

    def set_terminated(self, run: str, status: str) -> None:
        self.calls.append(("terminated", run, status))


def metric(key: str, value: float, timestamp: int, step: int) -> SimpleNamespace:
    return SimpleNamespace(key=key, value=value, step=step)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[FakeClient]:
    module, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    module.MlflowClient, entities.Metric = FakeClient, metric  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    monkeypatch.setattr(FakeClient, "calls", [])
    monkeypatch.setattr(FakeClient, "runs", [])
    return FakeClient


def test_what_mlflow_is_asked(client: type[FakeClient]) -> None:
    tracker = MLflow(uri="http://localhost:5000").open(FACTS)
    tracker.image("image/brightness/random N=3", b"png", 5)
    tracker.numbers({"mean/brightness/pruned keep=[0.5]": 0.5}, 24)
    tracker.curves(POINTS, 24)
    tracker.end("stopped")
    assert client.calls == [
        ("client", "http://localhost:5000"),
        ("search", ["id of tts-bench"], f"tags.`tts_bench.identity` = '{FACTS.identity}'"),
        ("create", "id of tts-bench", {"tts_bench.identity": FACTS.identity, "output": "results/a-run"}, "a run"),
        ("dict", "r1", {"seed": 3}, "config.json"),
        ("artifact", "r1", "image_brightness_random_N=3.png", b"png", "images"),
        ("batch", "r1", [("mean/brightness/pruned keep__0.5_", 0.5, 24)]),
        ("batch", "r1", [("curve/brightness/naive", 0.25, 7), ("curve/brightness/random", 0.5, 21)]),
        ("dict", "r1", {"curves": [point._asdict() for point in POINTS]}, "curves.json"),
        ("terminated", "r1", "KILLED"),
    ]
    assert named("a=b;c/d-e.f g:h") == "a_b_c/d-e.f g:h"


def test_mlflow_goes_on_with_the_run_that_it_knows(client: type[FakeClient], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeClient, "runs", [SimpleNamespace(info=SimpleNamespace(run_id="r0"))])
    MLflow().open(FACTS).end("done")
    assert client.calls[-2:] == [("update", "r0", "RUNNING"), ("terminated", "r0", "FINISHED")]


class FakeRun:
    """A run of Weights & Biases."""

    def __init__(self) -> None:
        self.logged: list[tuple[dict[str, Any], int]] = []
        self.summary: dict[str, float] = {}
        self.code: int | None = None

    def log(self, values: dict[str, Any], step: int) -> None:
        self.logged.append((values, step))

    def finish(self, exit_code: int) -> None:
        self.code = exit_code


def test_what_wandb_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made, given, module = FakeRun(), dict[str, Any](), ModuleType("wandb")
    asked = list[str]()

    def init(**values: Any) -> FakeRun:
        asked.append("init")
        given.update(values)
        return made

    def setup(settings: dict[str, Any]) -> None:
        asked.append(f"setup, silent: {settings['silent']}")

    module.init, module.Settings = init, lambda **values: values  # type: ignore[attr-defined]
    module.setup = setup  # type: ignore[attr-defined]
    module.Image = lambda image: ("image", image.size)  # type: ignore[attr-defined]
    module.Table = lambda columns, data: ("table", columns, data)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    tracker = WandB(mode="offline", folder=tmp_path / "files").open(FACTS)
    tracker.numbers({"progress/done": 5.0}, 5)
    tracker.image("image/brightness/naive", png(), 5)
    tracker.curves(POINTS, 24)
    tracker.end("stopped")
    expected = {
        "project": "tts-bench",
        "id": FACTS.identity,
        "resume": "allow",
        "mode": "offline",
        "config": {"seed": 3},
    }
    assert given.items() >= expected.items()
    assert given["settings"] == {
        "console": "off", "silent": True, "disable_git": True, "disable_code": True,
        "x_disable_stats": True, "x_disable_meta": True, "init_timeout": 25,
    }  # fmt: skip
    assert asked == ["setup, silent: True", "init"]  # else it would ask for a key at the terminal
    table = ("table", ["reward", "curve", "nfe", "mean", "n"], [list(point) for point in POINTS])
    assert made.logged == [
        ({"progress/done": 5.0}, 5), ({"image/brightness/naive": ("image", (6, 4))}, 5), ({"curves": table}, 24)
    ]  # fmt: skip
    assert made.summary == {"curve/brightness/naive": 0.25, "curve/brightness/random": 0.5}
    assert (made.code, (tmp_path / "files").is_dir()) == (1, True)


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
    """Also where one leaves a setting at a default that its settings do not hold."""
    candidates: list[Any] = ["naive", {"name": "naive", "candidate": 1}, {"name": "naive", "candidate": 2}]
    run(configured(tmp_path, "own_sinks:Kept", searches=candidates), Console(quiet=True))
    assert {point.curve for point in told[-2][1]} == set(curves(read_trials(tmp_path))["curve"])


def test_they_are_listed() -> None:
    words = bench("list", "sinks").words
    assert all(name in words for name in ("tensorboard", "mlflow", "wandb"))
