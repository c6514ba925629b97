"""What a denoiser draws: plain samples and a grid of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tts.models.cifar10 import CLASSES
from tts.models.pixel_edm import PixelEDM
from tts.noise import derive_seed, normal
from tts.samplers.base import Call, drive, follow
from tts.samplers.heun import StochasticHeun

if TYPE_CHECKING:
    from tts.networks.precondition import EDMPrecond


@torch.no_grad()
def sample(denoiser: EDMPrecond, labels: list[int], batch: int = 64, seed: int = 0) -> Tensor:
    """Plain samples of the stochastic Heun sampler with the study's settings, one for each label.

    Sample ``k`` depends on ``seed`` and ``k`` only.

    Returns:
        ``[N, 3, 32, 32]`` uint8.
    """
    device = next((each.device for each in denoiser.parameters()), torch.device("cpu"))
    model = PixelEDM(denoiser, StochasticHeun(), (3, 32, 32), str(device))
    return torch.cat([_batch(model, labels[i : i + batch], i, seed) for i in range(0, len(labels), batch)])


def _batch(model: PixelEDM, labels: list[int], first: int, seed: int) -> Tensor:
    def noise(step: int) -> Tensor:
        seeds = [derive_seed(seed, step, first + k) for k in range(len(labels))]
        return torch.stack([torch.from_numpy(normal(s, model.shape)) for s in seeds]).to(model.device)

    def answer(call: Call) -> Tensor:
        return model.denoise(call.x, torch.full((len(labels),), call.level, dtype=torch.float64), labels)

    noises = [noise(index) if injects else None for index, injects in enumerate(model.sampler.plan.injects)]
    return model.decode(drive(follow(model.sampler, noise(-1), noises), answer).x).cpu()


def grid(denoiser: EDMPrecond, columns: int = 8) -> Tensor:
    """Samples of every class, a row each, ``[3, H, W]`` uint8."""
    from torchvision.utils import make_grid

    labels = [label for label in range(len(CLASSES)) for _ in range(columns)]
    picture: Tensor = make_grid(sample(denoiser, labels), nrow=columns, padding=1)
    return picture
