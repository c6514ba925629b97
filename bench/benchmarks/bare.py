"""The bare network in a tight loop: what the hardware can do."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from bench.study.study import Study

NICE = 15  # Ray's workers run at this niceness; the bare network must not get more of a busy machine


PINS = hasattr(os, "sched_setaffinity")
"""Whether processes can be kept on cores; macOS cannot."""


class BareRate(NamedTuple):
    """Denoiser forwards of all processes: in a second, and in a second of their CPU time."""

    per_second: float
    per_cpu_second: float


class Bare:
    """Processes with the bare network, as many as a study has engines, at rest until they are asked.

    Each has an engine's batch and threads and calls the denoiser on one fixed batch again and again; on CPUs each has
    cores of its own.

    Args:
        study: whose model, batch, threads, device and number of engines.

    Attributes:
        found: their rate, when they worked last.
    """

    found: BareRate

    def __init__(self, study: Study) -> None:
        context = multiprocessing.get_context("spawn")
        self.cores = shares(study)
        pairs = [context.Pipe() for _ in range(study.config.engines.count)]
        self._pipes = [ours for ours, _ in pairs]
        self._loops = [
            context.Process(target=_loop, args=(study, theirs, cores), daemon=True)
            for cores, (_, theirs) in zip(self.cores, pairs, strict=True)
        ]
        for loop, (_, theirs) in zip(self._loops, pairs, strict=True):
            loop.start()
            theirs.close()  # else the end of a failing loop would never be seen
        self.passes = min(int(ours.recv()) for ours in self._pipes)

    def rate(self, seconds: float) -> BareRate:
        """The processes' rate side by side; with guidance a row is two forwards, as in a run's NFE."""
        with self.at_work():
            time.sleep(seconds)
        return self.found

    @contextmanager
    def at_work(self, beside: Sequence[int] = ()) -> Iterator[None]:
        """Let the processes work until the end of the context; their rate is :attr:`found` then.

        Args:
            beside: process ids of engines. Each computes on the cores of a bare network meanwhile: if two of them were
                on one core, that network would have another one for itself, and be faster there.
        """
        with ExitStack() as pinned:
            for process, cores in zip(beside if PINS else (), self.cores, strict=False):
                pinned.enter_context(_pinned(process, cores))
            yield from self._working()

    def _working(self) -> Iterator[None]:
        self._tell()
        try:
            yield
        finally:
            self._tell()
            told: list[tuple[int, float, float]] = [pipe.recv() for pipe in self._pipes]
            forwards, cpu = sum(each for each, _, _ in told), sum(each for _, _, each in told)
            self.found = BareRate(sum(each / wall for each, wall, _ in told), forwards / cpu)

    def _tell(self) -> None:
        for pipe in self._pipes:
            pipe.send(None)

    def close(self) -> None:
        """End the processes."""
        for loop in self._loops:
            loop.terminate()
            loop.join()


def shares(study: Study) -> list[list[int]]:
    """The cores of each process: as many as it has threads, or all of them if they are too few or of no concern."""
    engines, cores = study.config.engines, sorted(os.sched_getaffinity(0)) if PINS else []
    if engines.device != "cpu" or engines.count * engines.threads > len(cores):
        return [cores] * engines.count
    return [cores[engine * engines.threads : (engine + 1) * engines.threads] for engine in range(engines.count)]


@contextmanager
def _pinned(process: int, cores: Iterable[int]) -> Iterator[None]:
    """Keep all threads of a process on these cores."""
    before = os.sched_getaffinity(process)
    _move(process, cores)
    try:
        yield
    finally:
        _move(process, before)


def _move(process: int, cores: Iterable[int]) -> None:
    with suppress(FileNotFoundError):  # it has ended
        for thread in Path(f"/proc/{process}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)


def _loop(study: Study, pipe: Connection, cores: list[int]) -> None:
    import torch

    from bench.workers.memory import keep_memory
    from bench.workers.rates import loaded, one_pass

    os.nice(max(0, NICE - os.nice(0)))
    if cores:
        os.sched_setaffinity(0, cores)
    keep_memory()
    engines = study.config.engines
    torch.set_num_threads(engines.threads)
    model = loaded(study)
    forward = one_pass(study, model, engines.batch)
    forward()
    pipe.send(model.passes)
    while True:
        pipe.recv()
        start, cpu, passes = time.perf_counter(), time.process_time(), 0
        while not (passes and pipe.poll()):
            forward()
            passes += 1
        pipe.recv()
        forwards = passes * engines.batch * model.passes
        pipe.send((forwards, time.perf_counter() - start, time.process_time() - cpu))
