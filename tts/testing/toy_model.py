"""Models of one formula, for tests of engines and of all that runs on them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tts.plan import Condition
from tts.samplers.base import Sampler
from tts.samplers.heun import StochasticHeun

SAMPLER = StochasticHeun(steps=7, S_churn=16)


class ToyModel:
    """A denoiser of one formula: shrink towards a wave whose phase is the condition, a class index.

    Args:
        sampler: how trajectories are stepped.
        shape: of the states, which are images in [-1, 1].
    """

    passes = 1
    previews = False

    def __init__(self, sampler: Sampler = SAMPLER, shape: tuple[int, ...] = (3, 8, 8)) -> None:
        self.sampler, self.shape = sampler, shape
        self.forwards = 0

    @property
    def module(self) -> nn.Module:
        """Nothing that is worth compiling."""
        return nn.Identity()

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Clean states ``[B, *shape]`` float32 of states at levels ``[B]`` float64."""
        self.forwards += 1
        keep = (0.25 / (0.25 + levels**2)).float().view(-1, 1, 1, 1)
        phase = torch.tensor([float(c) for c in conditions]).view(-1, 1, 1, 1)
        return keep * x + (1 - keep) * 0.5 * torch.sin(x / (1 + levels.float().view(-1, 1, 1, 1)) + phase)

    def decode(self, x: Tensor, preview: bool = False) -> Tensor:
        """[-1, 1] to 0 .. 255, ``[B, 3, H, W]`` uint8."""
        return ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class Wavy(ToyModel):
    """The denoiser by which :class:`tts.testing.sampler.SamplerConformance` drives single trajectories."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """No shrinkage, for levels and time steps alike."""
        level = levels.float().view(-1, *[1] * (x.ndim - 1))
        return 0.5 * torch.sin(
            2 * x / (1 + levels).float().view(level.shape) + (0.01 * levels).float().view(level.shape)
        )


class ConvModel(ToyModel):
    """A small random convolutional network, as nearly a real denoiser as a test can afford."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = nn.Sequential(
                nn.Conv2d(3, 16, 3, padding=1), nn.SiLU(), nn.Conv2d(16, 3, 3, padding=1)
            ).requires_grad_(False)

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The wave and a network's answer."""
        scale = (1 / (0.25 + levels**2).sqrt()).float().view(-1, 1, 1, 1)
        answer: Tensor = self.network(x * scale)
        return super().denoise(x, levels, conditions) + 0.2 * answer


class CrowdedModel(ToyModel):
    """A faulty model: a row's result depends on the rows beside it."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The wave, and a little of the batch's mean."""
        return super().denoise(x, levels, conditions) + 1e-3 * x.mean(dim=0, keepdim=True)


class BrokenModel(ToyModel):
    """A faulty model: its weights are damaged."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """No numbers."""
        return x * float("nan")
