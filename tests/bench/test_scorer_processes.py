"""A scorer's process that is lost, whenever and however, is replaced; where its device fails it ends."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mortal_scorers
import pytest
import torch
from mortal_scorers import fates_left, set_fates
from test_scorers import IMAGES, Broken, own

from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.scorers import processes
from bench.workers.scorers.judge import Answer, Judge
from bench.workers.scorers.processes import ScorerProcesses, serve
from tts.errors import DeviceError, EngineError

Make = Callable[..., RunConfig]

SCORES = [Answer(1.0)] * 5


@pytest.fixture
def study(tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    """One with a scorer, whose processes have set fates; all of these must be used up."""
    monkeypatch.setenv(mortal_scorers.FATES, str(tmp_path / "fates"))
    monkeypatch.setattr(processes, "serve", mortal_scorers.serve)
    yield Study(tiny(scorers={"rewards": ["brightness"]}, engines={"backend": "local"}))
    assert fates_left() == []


def asked(pool: ScorerProcesses) -> list[Answer]:
    return pool.ask("brightness", IMAGES, [0] * 5)


def test_one_that_cannot_load_counts_as_one_that_died(study: Study) -> None:
    set_fates("dies", "ends", "refuses", "scores")
    with closing(ScorerProcesses(study)) as pool:
        assert asked(pool) == asked(pool) == SCORES


def test_after_the_last_attempt_the_next_batch_starts_a_fresh_one(study: Study) -> None:
    set_fates("dies", "ends", "ends", "refuses", "scores")
    with closing(ScorerProcesses(study)) as pool:
        with pytest.raises(EngineError, match="its scorer was lost 4 times over this batch: no such weights"):
            asked(pool)
        assert asked(pool) == SCORES


def test_a_machine_without_room_for_a_process_counts_too(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    set_fates("dies", "scores")
    kind, failures = multiprocessing.get_context("spawn").Process, [BlockingIOError("no more processes")] * 2
    real = kind.start

    def start(process: Any) -> None:
        if failures:
            raise failures.pop()
        real(process)

    with closing(ScorerProcesses(study)) as pool:
        monkeypatch.setattr(kind, "start", start)
        assert asked(pool) == SCORES
    assert failures == []


@pytest.mark.parametrize("lost", [False, True])
def test_a_closed_one_starts_no_other(study: Study, lost: bool) -> None:
    set_fates("scores")
    pool = ScorerProcesses(study)
    [process] = pool._processes
    if lost:
        process._lose()
    pool.close()
    with pytest.raises(EngineError, match=r"^its scorers are closed$"):
        process.score("brightness", IMAGES, [0] * 5)


def test_an_error_of_the_first_start_is_told_at_once(study: Study) -> None:
    set_fates("refuses")
    with pytest.raises(EngineError, match=r"^no such weights$"):
        ScorerProcesses(study)


TOO_LITTLE = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", TOO_LITTLE)
def test_a_scorers_device_without_memory_is_a_device_that_failed(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process says so and ends, without a traceback."""
    judge = Judge({"big": Broken(error)}, 2)
    monkeypatch.setattr(Judge, "of", lambda study: judge)
    monkeypatch.setattr(processes.signal, "signal", lambda *_: None)
    ours, theirs = multiprocessing.Pipe()
    ours.send(("big", IMAGES, [0] * 5))
    serve(own().config, theirs)
    assert ours.recv() is None
    told = ours.recv()
    assert isinstance(told, DeviceError)
    assert str(told) == f"reward big: {error}"


def test_a_caller_that_is_gone_ends_a_scorer_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judge, "of", lambda study: Judge({"level": Broken([1.0] * 5)}, 2))
    monkeypatch.setattr(processes.signal, "signal", lambda *_: None)
    ours, theirs = multiprocessing.Pipe()
    ours.send(("level", IMAGES, [0] * 5))
    ours.close()
    serve(own().config, theirs)
