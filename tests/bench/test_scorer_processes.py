"""A scorer's process that is lost, whenever and however, is replaced by another one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mortal_scorers
import numpy as np
import pytest
from mortal_scorers import fates_left, set_fates

from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.scorers import processes
from bench.workers.scorers.judge import Answer, Images
from bench.workers.scorers.processes import ScorerProcesses
from tts.errors import EngineError

Make = Callable[..., RunConfig]

IMAGES: Images = np.zeros((2, 3, 8, 8), np.uint8)
SCORES = [Answer(1.0)] * 2


@pytest.fixture
def study(tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    """One with a scorer, whose processes have set fates; all of these must be used up."""
    monkeypatch.setenv(mortal_scorers.FATES, str(tmp_path / "fates"))
    monkeypatch.setattr(processes, "serve", mortal_scorers.serve)
    yield Study(tiny(scorers={"rewards": ["brightness"]}, engines={"backend": "local"}))
    assert fates_left() == []


def asked(pool: ScorerProcesses) -> list[Answer]:
    return pool.ask("brightness", IMAGES, [0, 0])


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
        process.score("brightness", IMAGES, [0, 0])


def test_an_error_of_the_first_start_is_told_at_once(study: Study) -> None:
    set_fates("refuses")
    with pytest.raises(EngineError, match=r"^no such weights$"):
        ScorerProcesses(study)
