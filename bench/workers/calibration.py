"""Measure once how many rows a forward pass should have, on the model, device and threads of a run.

``tts-bench calibrate`` prints the measurements. ``engines.batch: auto`` takes their result when a run begins and keeps
it in the manifest, so that the run goes on with the same number, whoever resumes it and wherever.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.store import reader as store
from bench.store.storage import Storage
from bench.study.config import AUTO, RunConfig, with_batch
from bench.study.study import Study
from bench.workers.pool import describe_device
from bench.workers.rates import Rate, rates_of
from tts.errors import DeviceMemoryError, EngineError, SettingError, TTSError, first_line

TOLERANCE = 0.03
"""A batch this much slower than the best one is as good, if it is smaller: it is full sooner and needs less memory."""

GAIN = 1.01
"""A batch faster by less brings nothing; after two such ones in a row larger ones are not tried."""

LADDER = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SECONDS = 1.0


@dataclass(frozen=True)
class Calibration:
    """Measurements on one device, by growing batch.

    Args:
        device: its name.
        rates: at least one.
        limit: the size for which memory was too small, where one was tried.
    """

    device: str
    rates: tuple[Rate, ...]
    limit: int | None = None

    @property
    def batch(self) -> int:
        """The smallest size within :data:`TOLERANCE` of the best rate, among those that an engine can use.

        Raises:
            EngineError: no size can be used.
        """
        usable = [rate for rate in self.rates if rate.obstacle is None]
        if not usable:
            raise EngineError(
                f"engines.batch: with none of the sizes {', '.join(str(rate.batch) for rate in self.rates)} is a row's "
                f"result independent of the rows beside it ({self.rates[-1].obstacle}); try others"
            )
        best = max(rate.rows_per_second for rate in usable)
        return min(rate.batch for rate in usable if rate.rows_per_second >= (1 - TOLERANCE) * best)

    def record(self) -> dict[str, Any]:
        """Plain values, for the manifest."""
        return {"batch": self.batch, **asdict(self)}

    def table(self, title: str) -> Table:
        """The measurements for people."""
        best = max(rate.rows_per_second for rate in self.rates)
        table = Table("batch", "rows/s", "of the best", "ms a pass", "peak MiB", "", title=title)
        for rate in self.rates:
            share, milliseconds = f"{100 * rate.rows_per_second / best:.0f} %", f"{1e3 * rate.seconds:.1f}"
            note = "" if rate.obstacle is None else f"rows are not independent: {rate.obstacle}"
            table.add_row(
                str(rate.batch), f"{rate.rows_per_second:.1f}", share, milliseconds, f"{rate.mebibytes:.0f}", note
            )
        if self.limit is not None:
            table.add_row(str(self.limit), "", "", "", "", "out of memory")
        return table


@dataclass(frozen=True)
class Chosen:
    """A study whose batch is a number, and the measurements, if some were made for it."""

    study: Study
    calibration: Calibration | None = None


def choose(config: RunConfig, output: Storage, console: Console) -> Chosen:
    """A run's study with a number for ``engines.batch: auto``: that of its folder's run, else a measured one.

    Raises:
        TTSError: the configuration cannot be used, or the engines' device cannot.
    """
    if config.engines.batch != AUTO:
        return Chosen(Study(config))
    study = Study(with_batch(config, 1))  # finds all that is wrong with it before a device is touched
    store.check_output(output)
    known = recorded_batch(output)
    if known is not None:
        return Chosen(study.with_batch(known))
    store.check(output, study.digest())  # no run is there; other files may be
    if config.engines.simulate is not None:
        raise SettingError("engines.batch: auto measures a model, and engines.simulate has none; give a number")
    with console.status("measuring batch sizes"):
        found = calibrate(study)
    known = recorded_batch(output)
    if known is not None:  # another shard was faster
        return Chosen(study.with_batch(known))
    console.print(f"engines.batch = {found.batch}, measured", highlight=False)
    return Chosen(study.with_batch(found.batch), found)


def parse_batches(text: str) -> tuple[int, ...]:
    """Sizes from a text such as ``1,8,32``, sorted.

    Raises:
        SettingError: something else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise SettingError(f"--batches {text}: expected numbers above 0, for example 1,8,32")
    return tuple(sorted({int(part) for part in parts}))


def recorded_batch(output: Storage) -> int | None:
    """The batch of a folder's run; None where there is no run."""
    if store.begun(output) is None:
        return None
    return int(store.read_manifest(output)["config"]["engines"]["batch"])


def calibrate(study: Study, batches: Sequence[int] | None = None) -> Calibration:
    """Measure a study's model where its engines would run: on this machine, or on one of the cluster that it joins.

    Args:
        study: its batch does not matter.
        batches: which sizes; None: powers of two for as long as they bring something.
    """
    study.check_draws()
    engines = study.config.engines
    if engines.backend == "ray" and engines.address != "local":
        return _on_cluster(study.config, batches)
    return measure(study, batches)


def measure(study: Study, batches: Sequence[int] | None = None, seconds: float = SECONDS) -> Calibration:
    """Measure in a process of its own, which may run out of memory without harm.

    Args:
        study: its batch does not matter.
        batches: which sizes; None: powers of two for as long as they bring something.
        seconds: for each size.

    Raises:
        TTSError: the model cannot be loaded, or not even one size can be measured.
    """
    rates: list[Rate] = []
    told = _Told()
    for rate in _answers(_tell_all, (study.config, batches, seconds), told):
        rates.append(rate)
        if batches is None and no_gain(rates):
            break
    if told.error is not None:
        raise told.error
    if not rates:
        size = "" if told.trying is None else f" with engines.batch = {told.trying}, the smallest that was tried"
        raise DeviceMemoryError(f"out of memory{size}; set the model's precision to fp16, or engines.score_batch lower")
    return Calibration(told.device, tuple(rates), told.trying)


def no_gain(rates: Sequence[Rate]) -> bool:
    """Whether the last two sizes brought nothing over the best one before them."""
    if len(rates) < 3:
        return False
    best = max(rate.rows_per_second for rate in rates[:-2])
    return all(rate.rows_per_second < GAIN * best for rate in rates[-2:])


@dataclass
class _Told:
    """What a measuring process says beside its rates: its device, the size that it tries now, an error of ours."""

    device: str = ""
    trying: int | None = None
    error: TTSError | None = None


def _answers(program: Callable[..., None], arguments: tuple[Any, ...], told: _Told) -> Iterator[Rate]:
    """Run a program in a new process and yield the rates that it sends, until it ends, in whatever way."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=program, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()  # else its end would never be seen
    try:
        while True:
            try:
                answer = ours.recv()
            except EOFError:
                return
            if isinstance(answer, Rate):
                told.trying = None
                yield answer
            elif isinstance(answer, TTSError):
                told.error = answer
            elif isinstance(answer, int):
                told.trying = answer
            else:
                told.device = str(answer)
    finally:
        process.terminate()
        process.join()


def _tell_all(pipe: Connection, config: RunConfig, batches: Sequence[int] | None, seconds: float) -> None:
    """The measuring process: its device's name, then each size and its rate."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent handles Ctrl-C
    try:
        pipe.send(describe_device(config.engines.device))
        for rate in rates_of(Study(with_batch(config, 1)), batches or LADDER, seconds, pipe.send):
            pipe.send(rate)
    except (DeviceMemoryError, MemoryError):
        return  # the parent knows which size it was
    except TTSError as error:
        pipe.send(error)
    except Exception as error:  # of a user's own model or reward, say; the user gets it as one line
        pipe.send(EngineError(f"{type(error).__name__}: {first_line(error)}"))


def _on_cluster(config: RunConfig, batches: Sequence[int] | None) -> Calibration:
    """Measure on a machine of the cluster."""
    from bench.workers.on_ray.task import run_once

    return run_once(config.engines, "engines.batch", _measured, config, batches)


def _measured(config: RunConfig, batches: Sequence[int] | None) -> Calibration:
    """On a machine of the cluster."""
    return measure(Study(with_batch(config, 1)), batches)
