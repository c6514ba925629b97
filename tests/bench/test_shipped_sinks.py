"""The shipped sinks: what TensorBoard, MLflow and Weights & Biases receive."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command_line import bench
from PIL import Image
from rich.console import Console
from sink_runs import FACTS, configured, means

from bench.run.start import run
from bench.sinks.base import CurvePoint
from bench.sinks.mlflow import MLflow, named
from bench.sinks.registry import SINKS
from bench.sinks.wandb import WandB
from tts.errors import SettingError


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(file, format="PNG")
    return file.getvalue()


POINTS = [CurvePoint("brightness", "naive", 7.0, 0.25, 2), CurvePoint("brightness", "random", 21.0, 0.5, 2)]


def test_event_files_of_tensorboard(tmp_path: Path) -> None:
    """TensorBoard itself reads the events."""
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
    """A stand-in for the part of MLflow's client that the sink calls."""

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
    """A stand-in for a run of Weights & Biases."""

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
    assert asked == ["setup, silent: True", "init"]  # without setup, it would ask for a key at the terminal
    table = ("table", ["reward", "curve", "nfe", "mean", "n"], [list(point) for point in POINTS])
    assert made.logged == [
        ({"progress/done": 5.0}, 5), ({"image/brightness/naive": ("image", (6, 4))}, 5), ({"curves": table}, 24)
    ]  # fmt: skip
    assert made.summary == {"curve/brightness/naive": 0.25, "curve/brightness/random": 0.5}
    assert (made.code, (tmp_path / "files").is_dir()) == (1, True)


def test_they_are_listed() -> None:
    words = bench("list", "sinks").words
    assert all(name in words for name in ("tensorboard", "mlflow", "wandb"))
