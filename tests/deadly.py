"""A search and a reward that bring their engine down, as users' own may; another that takes its time."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tts.plan import Condition, Plan
from tts.search.base import Problem, Run, Search

if TYPE_CHECKING:
    from torch import Tensor

WELL_UNDER_WAY = 2  # calls; the first few are an engine's checks of itself
FOLDER = "TTS_BENCH_TEST_LOCKS"
"""Names a folder that all processes of a run of tests know, engines among them."""
POISON = 3
"""The condition that ends a process which runs :class:`Deadly`."""


class Deadly(Search):
    """Plain sampling; its process ends over one condition."""

    def run(self, problem: Problem) -> Run:
        if problem.condition == POISON:
            os._exit(1)
        [found] = yield [problem.trajectory()]
        return found

    def nfe(self, plan: Plan) -> int:
        """A trajectory."""
        return plan.nfe()

    def depth(self, plan: Plan) -> int:
        """A trajectory."""
        return plan.nfe()


calls: Iterator[int] = itertools.count()


def mishaps(images: Tensor, captions: Sequence[Condition]) -> list[float]:
    """Redness; each mishap that a file in :data:`FOLDER` stands for happens once, to an engine well under way."""
    global calls
    for happen in (_memory, _hang) if next(calls) > WELL_UNDER_WAY else ():
        try:
            (Path(os.environ[FOLDER]) / happen.__name__).unlink()
        except FileNotFoundError:
            continue
        calls = itertools.repeat(0)  # one mishap is enough for one process
        happen()
    return [float(value) for value in images[:, 0].double().mean(dim=(1, 2)) / 255]


HURRY = "_hurry"
"""Name of a file in :data:`FOLDER`: while it is not there, :func:`unhurried` holds engines up."""


def unhurried(images: Tensor, captions: Sequence[Condition]) -> list[float]:
    """Redness, which takes two seconds and no work: a study lasts until what is to befall it has."""
    if not (Path(os.environ[FOLDER]) / HURRY).exists():
        time.sleep(2)
    return [float(value) for value in images[:, 0].double().mean(dim=(1, 2)) / 255]


def _memory() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def _hang() -> None:
    time.sleep(3600)
