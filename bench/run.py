"""``tts-bench run``: a study from its configuration to curves and pictures."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from rich.console import Console

from bench import manifest, store
from bench.backends import make_pool
from bench.config import RunConfig
from bench.driver import Driver, Tally
from bench.files import check_folder
from bench.progress import run_progress
from bench.store import Store
from bench.study import Study
from tts.errors import DeviceMemoryError


@dataclass(frozen=True)
class Finished:
    """A finished run: its study, and what this start did; None when nothing was left to do."""

    study: Study
    tally: Tally | None


def run(config: RunConfig, console: Console) -> Finished:
    """Run what is not done yet and store it.

    Everything that can be wrong with the configuration is found before an engine starts and before a file is written.

    Raises:
        TTSError: a setting cannot be used, or an engine failed; what was finished is stored.
    """
    study, folder = Study(config), config.output
    check_folder(folder)
    study = _as_begun(study, console)
    store.check(folder, study.digest())
    done = store.done(folder)
    if done and done >= {trial.key(study.context) for trial in study.trials()}:
        console.print(f"{folder}: all {study.size} trials are done", markup=False, soft_wrap=True)
        return Finished(study, None)
    for note in study.notes():
        console.print(note, style="yellow", markup=False, soft_wrap=True)
    try:
        return Finished(study, _run(study, console))
    except DeviceMemoryError as error:
        study = _halved(study, error, console)
    # out of the except block, for the error's traceback holds the model that was too large
    return Finished(study, _run(study, console))


def _halved(study: Study, error: DeviceMemoryError, console: Console) -> Study:
    """The study with half the batch; the error again, if its run has begun with the whole one or cannot be halved."""
    half = study.config.engines.halved()
    if half is None or store.begun(study.config.output) is not None:
        raise error
    console.print(f"{error}; trying once with {half.batch}", style="yellow", markup=False, soft_wrap=True)
    return Study(study.config.model_copy(update={"engines": half}))


def _as_begun(study: Study, console: Console) -> Study:
    """The study with half the batch, if that is how its folder's run began for want of memory."""
    half, begun = study.config.engines.halved(), store.begun(study.config.output)
    if half is None or begun in (None, study.digest()):
        return study
    halved = Study(study.config.model_copy(update={"engines": half}))
    if halved.digest() != begun:
        return study
    console.print(f"this run began with engines.batch = {half.batch} for want of memory, and goes on so")
    return halved


def _run(study: Study, console: Console) -> Tally:
    with console.status("starting the engines"):
        pool = make_pool(study)
    sink = Store(study.config.output, study.rewards, flush_seconds=study.config.flush_seconds)
    with closing(pool), closing(sink):
        done = sink.open(study.digest(), manifest.build(study, pool.describe()))
        if done:
            console.print(f"resuming: {len(done)} of {study.size} trials are done")
        _warn_of_other_devices(study, pool.describe(), console)
        with run_progress(console) as progress:
            return Driver(study, pool, sink, done, progress).run()


def _warn_of_other_devices(study: Study, devices: list[str], console: Console) -> None:
    """Results are the same bit for bit only on the same kind of device."""
    before = set(store.read_manifest(study.config.output)["devices"])
    if not set(devices) <= before:
        console.print(
            f"[yellow]this run began on {', '.join(sorted(before))} and goes on on {', '.join(sorted(set(devices)))}: "
            "rewards may differ in the last digits[/]"
        )
