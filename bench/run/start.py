"""``tts-bench run``: a study from its configuration to its trials in the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from rich.console import Console

from bench.run.driver import Driver, RunProgress
from bench.run.encoding import encode_prompts
from bench.run.followers import Followers, check_sinks
from bench.run.progress import run_progress
from bench.run.signals import held
from bench.run.status import Reporter
from bench.run.writer import Writer
from bench.store import manifest
from bench.store import reader as store
from bench.store.manifest_diff import told
from bench.store.storage import Storage, place
from bench.store.writer import Store
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.backends import make_pool
from bench.workers.calibration import Calibration, Chosen, choose, recorded_batch
from tts.errors import DeviceMemoryError, RunMismatchError


@dataclass(frozen=True)
class Finished:
    """A finished run: its study, and what this start did; None when nothing was left to do."""

    study: Study
    counts: RunProgress | None


def run(config: RunConfig, console: Console, retry_errors: bool = False) -> Finished:
    """Run what is not done yet and store it.

    Everything that can be wrong with the configuration is found before an engine starts and before a file is written.

    Args:
        retry_errors: run the trials again that have failed before.

    Raises:
        TTSError: a setting cannot be used, or no engine is left; what was finished is stored.
    """
    check_sinks(config)
    output = place(config.output)
    chosen = choose(config, output, console)
    try:
        return _run_chosen(chosen, output, console, retry_errors)
    except RunMismatchError:
        theirs = recorded_batch(output) if chosen.calibration is not None else None
        if theirs is None:
            raise
    # another shard was faster, with what it measured
    return _run_chosen(Chosen(chosen.study.with_batch(theirs)), output, console, retry_errors)


def _run_chosen(chosen: Chosen, output: Storage, console: Console, retry_errors: bool) -> Finished:
    """Run with a batch that is a number."""
    store.check_output(output)
    study = _as_begun(chosen.study, output, console)
    _check_folder(study, output)
    if not retry_errors and len(store.done(output)) >= study.size:
        console.print(f"{output}: all {study.size} trials are done", markup=False, soft_wrap=True)
        return Finished(study, None)
    for note in study.notes():
        console.print(note, style="yellow", markup=False, soft_wrap=True)
    try:
        return Finished(study, _run(study, output, console, retry_errors, chosen.calibration))
    except DeviceMemoryError as error:
        study = _halved(study, output, error, console)
    # outside the except block, as the error's traceback holds the model that was too large
    return Finished(study, _run(study, output, console, retry_errors, chosen.calibration))


def _check_folder(study: Study, output: Storage) -> None:
    """Refuse the folder of another run, and name what differs."""
    try:
        store.check(output, study.digest())
    except RunMismatchError as error:
        found = told(store.read_manifest(output).get("resolved", {}), study.resolved())
        raise RunMismatchError(f"{error}; what differs: {found}" if found else str(error)) from None


def _halved(study: Study, output: Storage, error: DeviceMemoryError, console: Console) -> Study:
    """The study with half the batch; the error again, if its run has begun with the whole one or cannot be halved."""
    half = study.config.engines.halved()
    if half is None or store.begun(output) is not None:
        raise error
    console.print(f"{error}; trying once with {half.batch}", style="yellow", markup=False, soft_wrap=True)
    return study.with_engines(half)


def _as_begun(study: Study, output: Storage, console: Console) -> Study:
    """The study with half the batch, if that is how its folder's run began for want of memory."""
    half, begun = study.config.engines.halved(), store.begun(output)
    if half is None or begun in (None, study.digest()):
        return study
    halved = study.with_engines(half)
    if halved.digest() != begun:
        return study
    console.print(f"this run began with engines.batch = {half.batch} for want of memory, and goes on so")
    return halved


def _run(
    study: Study, output: Storage, console: Console, retry_errors: bool, measured: Calibration | None
) -> RunProgress:
    config = study.config
    encode_prompts(study, console)
    with console.status("starting the engines"):
        pool = make_pool(study)
    sink = Store(
        output,
        study.rewards,
        flush_seconds=config.flush_seconds,
        shard=config.part,
        image_files=config.images == "files",
        dtypes={metric.extractor: metric.dtype for metric in study.metrics.values() if config.engines.simulate is None},
    )
    with closing(pool), _let_go(sink):
        devices = [name for name in pool.describe() if name is not None]
        calibration = {} if measured is None else {"calibration": measured.record()}
        done = sink.open(study.digest(), {**manifest.build(study, devices, pool.flops), **calibration}, retry_errors)
        if len(done):
            console.print(f"resuming: {len(done)} of {study.size} trials are done")
        if len(devices) < pool.engines:
            console.print(
                f"engines.count = {pool.engines}: {len(devices)} are there now, the others join when there is place"
            )
        _warn_of_other_devices(output, devices, console)

        def warn(line: str) -> None:
            console.print(line, style="yellow", markup=False, soft_wrap=True)

        with held() as stop, run_progress(console) as show:
            followers = Followers(study, output, warn)
            reporter = Reporter(study, output, show, warn, followers.failures)
            writer = Writer(sink, config.store_seconds, warn)
            driver = Driver(study, pool, followers.beside(writer), done, followers.after(reporter.tell))
            with reporter.reporting(driver.counts), followers.told(driver.counts), closing(writer):
                return driver.run(stop.check)  # done is what is stored


@contextmanager
def _let_go(sink: Store) -> Iterator[None]:
    """Close the store on any error before the writer takes it over."""
    try:
        yield
    finally:
        sink.let_go()


def _warn_of_other_devices(output: Storage, devices: list[str], console: Console) -> None:
    """Results are the same bit for bit only on the same kind of device."""
    before = set(store.read_manifest(output)["devices"])
    if not set(devices) <= before:
        console.print(
            f"[yellow]this run began on {', '.join(sorted(before))} and goes on on {', '.join(sorted(set(devices)))}: "
            "rewards may differ in the last digits[/]"
        )
    if len(set(devices)) > 1:
        console.print(
            f"[yellow]the engines are of {len(set(devices))} kinds ({', '.join(sorted(set(devices)))}): rewards may "
            "differ in the last digits from one kind to another; the column 'device' says where each trial ran[/]"
        )
