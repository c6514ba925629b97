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
    store.check(folder, study.digest())
    done = store.done(folder)
    if done and done >= {trial.key(study.context) for trial in study.trials()}:
        console.print(f"{folder}: all {study.size} trials are done", markup=False, soft_wrap=True)
        return Finished(study, None)
    return Finished(study, _run(study, console))


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
