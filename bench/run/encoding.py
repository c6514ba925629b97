"""A study's prompts, encoded once before its engines start."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from bench.run.progress import counted
from bench.study.study import Study
from bench.workers.prompts import encode_for, encode_here, lacking_of, unstored_of

LOOK_SECONDS = 1.0


def encode_prompts(study: Study, console: Console) -> None:
    """Encode what the store lacks: in this process, or with the share of one engine on the cluster.

    What is encoded stays encoded, whenever this ends.

    Raises:
        TTSError: text encoders cannot be loaded, or the store cannot be written to.
    """
    total = lacking_of(study)
    told = _encode(study, total, console) if total else unstored_of(study)
    for note in told:
        console.print(note, style="yellow", markup=False, soft_wrap=True)


def _encode(study: Study, total: int, console: Console) -> list[str]:
    with counted(console, "prompts encoded") as show:
        if study.config.engines.backend == "local":
            encode_here(study, show)
            return unstored_of(study)
        from bench.workers.on_ray.task import run_once

        with _watched(study, total, show):
            return run_once(study.config.engines, "engines.prompts", encode_for, study.config)


@contextmanager
def _watched(study: Study, total: int, show: Callable[[int, int], None]) -> Iterator[None]:
    """Show how many of the prompts are there, as far as this machine sees it."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_SECONDS):
            show(total - lacking_of(study), total)

    thread = threading.Thread(target=look, name="encoded prompts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
