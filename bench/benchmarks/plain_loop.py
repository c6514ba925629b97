"""How searches are run without an engine: a script's loop, whose candidates are a batch and whose noises are global.

What the study's way of working costs, in our own words: problems in turn or as one grid, at every step all candidates
of the grid in one call, states in float64, noises from torch's one random state, and searches on all steps, also on
those that inject nothing; what a search chose is computed once more at the end of a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from tts.models.base import Model
    from tts.rewards.base import Reward
    from tts.samplers.heun import StochasticHeun

LENGTH = 0.15
"""The longest local move, relative to the noise's length."""

Method: TypeAlias = Callable[["PlainLoop", "Tensor", list[int]], "Tensor"]


class PlainLoop:
    """Searches on Heun's stochastic steps, a grid of problems at a time.

    Args:
        model: whose network is asked, with conditions that are classes; its sampler must be stochastic Heun.
        reward: of the images that a user would save.
        N, K: candidates of a round, and rounds of a step.
    """

    def __init__(self, model: Model, reward: Reward, N: int, K: int) -> None:
        from tts.samplers.heun import StochasticHeun

        assert isinstance(model.sampler, StochasticHeun)
        self.model, self.reward, self.N, self.K = model, reward, N, K
        self.sampler: StochasticHeun = model.sampler
        self.nfe = 0

    def images(self, search: str, classes: Sequence[int], together: int) -> Tensor:
        """Final images ``[P, 3, H, W]`` uint8 of a search, with their rewards computed, so many problems a grid."""
        import torch

        done = []
        with torch.no_grad():
            for first in range(0, len(classes), together):
                some = list(classes[first : first + together])
                x = torch.randn(len(some), *self.model.shape, dtype=torch.float64) * self.sampler.levels[0]
                image = self._decoded(METHODS[search](self, x, some))
                self.reward.score(image, some)
                done.append(image)
        return torch.cat(done)

    def naive(self, x: Tensor, classes: list[int]) -> Tensor:
        """A trajectory for each problem."""
        import torch

        for index in range(self.sampler.steps):
            x = self._step(x, index, torch.randn_like(x), classes)
        return x

    def best_of_n(self, x: Tensor, classes: list[int]) -> Tensor:
        """N trajectories for each problem, from the same first noise; the best is taken."""
        many = classes * self.N
        ends = self.naive(x.repeat(self.N, 1, 1, 1), many)
        best = self._scores(ends, many).argmax(dim=0)
        return _chosen(ends, best)

    def local(self, x: Tensor, classes: list[int], fresh: float) -> Tensor:
        """K rounds of N moved or fresh noises at every step; a round's best is the next one's pivot."""
        import torch

        many = classes * self.N
        for index in range(self.sampler.steps):
            pivot, before = torch.randn_like(x), x.repeat(self.N, 1, 1, 1)
            for _ in range(self.K):
                noises = torch.cat([self._candidate(pivot, fresh) for _ in range(self.N)])
                best = self._scores(self._step(before, index, noises, many), many).argmax(dim=0)
                pivot = _chosen(noises, best)
            x = self._step(x, index, pivot, classes)
        return x

    def _candidate(self, pivot: Tensor, fresh: float) -> Tensor:
        import torch

        drawn = torch.randn_like(pivot)
        if torch.rand(()) < fresh:
            return drawn
        sides = tuple(range(1, pivot.ndim))
        length = LENGTH * math.sqrt(pivot[0].numel()) * torch.rand(len(pivot), *[1] * len(sides))
        moved: Tensor = pivot + length * drawn / torch.linalg.vector_norm(drawn, dim=sides, keepdim=True)
        return moved

    def _step(self, x: Tensor, index: int, noise: Tensor, classes: list[int]) -> Tensor:
        """Algorithm 2 of Karras et al. 2022, on a batch at one level."""
        t, t_next = self.sampler.levels[index : index + 2]
        t_hat = t * (1 + self.sampler.gamma(index))
        x_hat = x + math.sqrt(t_hat**2 - t**2) * self.sampler.S_noise * noise
        slope = (x_hat - self._denoised(x_hat, t_hat, classes)) / t_hat
        x = x_hat + (t_next - t_hat) * slope
        if t_next:
            second = (x - self._denoised(x, t_next, classes)) / t_next
            x = x_hat + (t_next - t_hat) * (slope + second) / 2
        return x

    def _denoised(self, x: Tensor, level: float, classes: list[int]) -> Tensor:
        import torch

        self.nfe += len(x) * self.model.passes
        levels = torch.full((len(x),), level, dtype=torch.float64)
        return self.model.denoise(x.float(), levels, classes).double()

    def _decoded(self, x: Tensor) -> Tensor:
        return self.model.decode(x.float())

    def _scores(self, x: Tensor, classes: list[int]) -> Tensor:
        """``[N, P]``."""
        import torch

        scores = [math.nan if each is None else each for each in self.reward.score(self._decoded(x), classes)]
        return torch.tensor(scores).reshape(self.N, -1)


def _chosen(candidates: Tensor, best: Tensor) -> Tensor:
    """Of ``[N P, ...]`` those at ``best`` [P], ``[P, ...]``."""
    import torch

    chosen: Tensor = candidates.reshape(-1, len(best), *candidates.shape[1:])[best, torch.arange(len(best))]
    return chosen


METHODS: dict[str, Method] = {
    "naive": PlainLoop.naive,
    "best_of_n": PlainLoop.best_of_n,
    "zero_order": lambda loop, x, classes: loop.local(x, classes, 0.0),
    "eps_greedy": lambda loop, x, classes: loop.local(x, classes, 0.4),
}
"""By the names of the same searches on engines."""
