"""``tts-bench doctor``: what it examines, and what it says if something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from command_line import bench, refused
from torch import Tensor
from typer.testing import CliRunner

from bench.commands.app import app
from bench.report.doctor_table import sentence
from bench.run.doctor import device, examination, machine, speed
from bench.run.doctor.finding import Finding, Verdict, judged
from bench.store.storage import place
from bench.study.config import Engines, load
from bench.study.study import Study
from bench.workers.rates import Rate
from tts.engine.batching import Engine


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the doctor examine everything, but only briefly."""
    monkeypatch.setattr(device, "BATCHES", (1, 2))
    monkeypatch.setattr(device, "SECONDS", 0.01)
    monkeypatch.setattr(speed, "rate", lambda *_: (10.0, "denoiser 100 %"))
    monkeypatch.setattr(speed, "pass_seconds", lambda *_: 0.1)


LOCAL = ("engines.backend=local", "engines.count=1", "engines.batch=2")


def study(tmp_path: Path, *more: str) -> Study:
    return Study(load("quickstart", [*LOCAL, f"output={tmp_path / 'new' / 'run'}", *more]))


@pytest.mark.slow
def test_a_sound_machine(quick: None, tmp_path: Path) -> None:
    found = list(examination.examine(study(tmp_path)))
    assert {each.topic for each in found} == {"software", "machine", "disk", "device", "numerics", "speed"}
    assert not [each for each in found if each.verdict is Verdict.BAD]
    [rows] = [each for each in found if each.subject.startswith("rows are independent")]
    assert rows.seen == "at 1, 2"
    assert list(tmp_path.iterdir()) == []  # no results folder is made


@pytest.mark.slow
def test_the_command_tells_programs_too(quick: None, tmp_path: Path) -> None:
    words = ["doctor", "quickstart", "--save", str(tmp_path / "found.json")]
    for setting in (*LOCAL, f"output={tmp_path / 'run'}"):
        words += ["--set", setting]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert {"topic", "subject", "seen", "verdict", "advice", "value"} == found[0].keys()
    assert "bare network" in {each["subject"] for each in found}


def test_a_file_that_cannot_be_saved_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examined: list[object] = []
    monkeypatch.setattr(examination, "examine", lambda *_: examined.append(1) or [])
    (tmp_path / "file").write_text("no folder")
    below = tmp_path / "file" / "found.json"
    refused(f"--save {below.parent}: cannot be written to (Not a directory)", "doctor", "--save", below)
    refused(f"--save {tmp_path}: is a folder; name a file", "doctor", "--save", tmp_path)
    long = tmp_path / ("x" * 300)
    refused(f"--save {long}: cannot be written to (File name too long)", "doctor", "--save", long)
    assert not examined
    missing = tmp_path / "missing" / "found.json"
    assert bench("doctor", "--save", missing).code == 0
    assert json.loads(missing.read_text()) == []


def test_rows_that_depend_on_one_another_stop_a_run(tmp_path: Path) -> None:
    rates = (Rate(1, 10, 0.1, 100), Rate(2, 20, 0.1, 100, "the network"))
    [rows, fastest] = device.told(device.Numerics("fp32", rates), wanted=2)
    assert rows.verdict is Verdict.BAD
    assert "engines.batch to one of 1" in rows.advice
    assert fastest.value == 20
    [rows, _] = device.told(device.Numerics("fp32", rates), wanted=1)
    assert rows.verdict is Verdict.FINE
    assert sentence([Finding("a", "b", "c", Verdict.BAD)]).startswith("A run of this configuration fails here")


def test_a_network_that_cannot_be_had_is_told() -> None:
    [found] = device.told(device.Numerics("fp16", (), "no kernel"), wanted=2)
    assert (found.verdict, found.seen) == (Verdict.LOOK, "no kernel")


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    [found] = device.device(Engines(device="cuda"))
    assert found.verdict is Verdict.BAD
    assert "engines.device=cpu" in found.advice


def test_more_threads_than_processors() -> None:
    found = {each.subject: each for each in machine.machine(Engines(count=999))}
    assert found["processors"].verdict is Verdict.LOOK
    assert "engines.count" in found["processors"].advice


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    output = tmp_path / "file" / "run"
    written = list(machine.disk(place(output), output))[-1]
    assert written.verdict is Verdict.BAD
    assert "set output" in written.advice


@pytest.mark.slow
def test_parts_that_fail_keep_none_of_the_others_away(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("no driver\nand more")

    monkeypatch.setattr(examination.devices, "device", broken)
    long = tmp_path / ("x" * 300)
    found = list(examination.examine(study(tmp_path, f"output={long}")))
    bad = [(each.topic, each.seen) for each in found if each.verdict is Verdict.BAD]
    assert bad == [("disk", f"[Errno 36] File name too long: '{long}'"), ("device", "no driver")]
    assert "speed" in {each.topic for each in found}


def test_a_host_that_cannot_feed_the_device_is_told() -> None:
    assert "engines.count" in speed._advice(host=100, bare=100)
    assert "score_batch" in speed._advice(host=1000, bare=100)
    assert judged("a", "b", "c", True, "no").advice == ""


def test_what_an_engine_does_is_counted_without_the_network(tmp_path: Path) -> None:
    given = study(tmp_path, "model={name: cifar10, sampler: {steps: 4}}")
    model = given.model.load()
    asked: list[Tensor] = []
    free = speed.Unasked(model)
    monkeyed = free.denoise

    def denoise(x: Tensor, *others: object) -> Tensor:
        asked.append(x)
        return monkeyed(x, *others)  # type: ignore[arg-type]

    free.denoise = denoise  # type: ignore[method-assign]
    engine = Engine(free, {name: each.load("cpu", str) for name, each in given.rewards.items()}, 2)
    found, shares = speed.rate(engine, given, seconds=0.1, warm_up=0.05)
    engine.close()
    assert found > 0
    assert "denoiser" in shares
    assert {tuple(x.shape) for x in asked} == {(2, 3, 32, 32)}
