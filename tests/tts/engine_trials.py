"""A trial of every search, for tests of an engine."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from toy import SEARCHES
from toy_engine import Trial

from tts.plan import Condition
from tts.search.base import Problem
from tts.testing.toy_model import SAMPLER, ToyModel


class RememberingModel(ToyModel):
    """Keeps its last answer."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        self.answer = super().denoise(x, levels, conditions)
        return self.answer


def trials() -> dict[str, Trial]:
    """One trial of every search; classes and rewards alternate."""
    rewards = ("brightness", "compressibility")
    return {
        name: Trial(SEARCHES[name], Problem(k % 3, k % 4, SAMPLER.plan, rewards[k % 2]))
        for k, name in enumerate(SEARCHES)
    }
