"""Measure the resumption of a run of a million trials, nine tenths of them done: time and memory."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.run.trial_queue import TrialQueue
from bench.store import manifest
from bench.store import reader as store
from bench.store.row import TrialRow, identity_columns
from bench.store.writer import Store
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.settings import parse


@dataclass(frozen=True)
class Resumed:
    """The cost of resuming.

    Args:
        planned, done: trials.
        seconds: from the configuration to the first trial that is not done.
        start_seconds: the same for a run of which nothing is done.
        mebibytes: peak memory of the process.
    """

    planned: int
    done: int
    seconds: float
    start_seconds: float
    mebibytes: float


def resume(planned: int = 1_000_000, done: int = 900_000) -> Resumed:
    """Make such a run, and resume it in a process of its own."""
    with TemporaryDirectory() as folder:
        make(_study(planned, Path(folder)), done)
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            seconds, mebibytes = pool.apply(_next_trial, (planned, Path(folder)))
            start_seconds, _ = pool.apply(_next_trial, (planned, Path(folder) / "new"))
    return Resumed(planned, done, seconds, start_seconds, mebibytes)


def make(study: Study, done: int) -> None:
    """A store with rows of the first trials, of the usual size but for their images."""
    sink = Store(study.config.output, study.rewards)
    sink.open(study.digest(), manifest.build(study, ["none"]))
    scores = dict.fromkeys(study.rewards, 0.5)
    noises = [{"seed": 2**62 + step, "moves": [{"seed": step, "radius": 0.1}] * 3} for step in range(19)]
    for trial in islice(study.trials(), done):
        columns = identity_columns(trial, "cat")
        sink.add(TrialRow(**columns, value=0.5, nfe=36, device="none", noises=noises, scores=scores))
    sink.close()


def _study(planned: int, output: Path) -> Study:
    values = {
        "model": "cifar10",
        "rewards": ["brightness", "compressibility"],
        "searches": ["naive", {"name": "best_of_n", "budget": {"N": [2, 4, 8, 16]}}],
        "problems": {"conditions": "all", "seeds": planned // 100},
        "engines": {"backend": "local"},
        "output": str(output),
    }
    return Study(parse(RunConfig, values, "benchmark"))


def _next_trial(planned: int, output: Path) -> tuple[float, float]:
    start = time.perf_counter()
    study = _study(planned, output)
    store.check(output, study.digest())
    queue = TrialQueue(study, store.done(output))
    trial = queue.next()
    assert trial is not None  # a tenth is left
    return time.perf_counter() - start, peak()


def peak() -> float:
    """Most memory that this process ever held, in MiB; ``getrusage`` would count its parent's."""
    return _status("VmHWM")


def resident() -> float:
    """Memory that this process holds, in MiB."""
    return _status("VmRSS")


def _status(name: str) -> float:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) / 1024
