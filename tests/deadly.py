"""A search and a reward that bring their engine down, as users' own code may, and a slow reward."""

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

WELL_UNDER_WAY = 4  # calls; the first few are the engine's checks of itself
FOLDER = "TTS_BENCH_TEST_LOCKS"
"""Environment variable with a folder that all processes of a test run know, including engines."""
POISON = 3
"""The condition at which :class:`Deadly` ends its process."""


class Deadly(Search):
    """Plain sampling that ends its process at one condition."""

    def run(self, problem: Problem) -> Run:
        if problem.condition == POISON:
            os._exit(1)
        [found] = yield [problem.trajectory()]
        return found

    def nfe(self, plan: Plan) -> int:
        """Forwards of one trajectory."""
        return plan.nfe()

    def depth(self, plan: Plan) -> int:
        """Forwards of one trajectory."""
        return plan.nfe()


calls: Iterator[int] = itertools.count()


def mishaps(images: Tensor, captions: Sequence[Condition]) -> list[float]:
    """Redness; each mishap for which :data:`FOLDER` holds a file happens once, to an engine that is well under way."""
    global calls
    for happen in (_memory, _hang) if next(calls) > WELL_UNDER_WAY else ():
        try:
            (Path(os.environ[FOLDER]) / happen.__name__).unlink()
        except FileNotFoundError:
            continue
        calls = itertools.repeat(0)  # a process has at most one mishap
        happen()
    return [float(value) for value in images[:, 0].double().mean(dim=(1, 2)) / 255]


HURRY = "_hurry"
"""Name of a file in :data:`FOLDER`; while the file is missing, :func:`unhurried` delays engines."""


def unhurried(images: Tensor, captions: Sequence[Condition]) -> list[float]:
    """Redness that takes two seconds without computing, so that a study lasts until all its mishaps have happened."""
    if next(calls) > WELL_UNDER_WAY and not (Path(os.environ[FOLDER]) / HURRY).exists():
        time.sleep(2)
    return [float(value) for value in images[:, 0].double().mean(dim=(1, 2)) / 255]


def _memory() -> None:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def _hang() -> None:
    time.sleep(3600)
