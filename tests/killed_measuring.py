"""A measuring process that is killed; a module of its own, as a new process imports all that is beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from multiprocessing.connection import Connection

from bench.study.config import RunConfig
from bench.workers.rates import Rate


def dies(pipe: Connection, config: RunConfig, batches: Sequence[int] | None, seconds: float) -> None:
    """As one that the system kills at its second size."""
    pipe.send("fake")
    for batch in batches or ():
        pipe.send(batch)
        if batch > 1:
            os._exit(9)
        pipe.send(Rate(batch, 10.0, batch / 10.0, 100.0 + batch))
