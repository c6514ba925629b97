"""The trainings behind the embedded model: its denoiser, its classifier and the classifier's judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tts.errors import SettingError
from tts.networks.folded_unet import GROUPS, FoldedUNet
from tts.networks.precondition import EDMPrecond, edm_loss
from tts.networks.small_resnet import SmallResNet
from tts.networks.small_vgg import SmallVGG
from tts.training.data import Images, cut, flip, shift, tint, to_unit
from tts.training.loop import Schedule, WorkerFailure

LEVELS = 5
"""Of 16x16 pixels, each level having half the side of the one before."""


@dataclass(frozen=True)
class Recipe:
    """A network, its loss and a schedule that suits two CPU cores."""

    build: Callable[[], nn.Module]
    loss: WorkerFailure
    schedule: Schedule


def denoiser_loss(network: Callable[..., Tensor], batch: Images, generator: torch.Generator) -> Tensor:
    """EDM's loss on mirrored images."""
    return edm_loss(network, to_unit(flip(batch.pixels, generator)), batch.labels, generator)


def classifier_loss(network: Callable[..., Tensor], batch: Images, generator: torch.Generator) -> Tensor:
    """Cross entropy, labels smoothed by 0.1, on mirrored, shifted and cut images."""
    pixels = cut(shift(flip(batch.pixels, generator), generator), generator)
    logits = network(to_unit(pixels)).float()
    return nn.functional.cross_entropy(logits, batch.labels, label_smoothing=0.1)


def judge_loss(network: Callable[..., Tensor], batch: Images, generator: torch.Generator) -> Tensor:
    """Cross entropy, labels smoothed by 0.05, on mirrored images of other colours, shifted by up to 3 pixels."""
    pixels = tint(shift(flip(batch.pixels, generator), generator, by=3), generator)
    logits = network(to_unit(pixels)).float()
    return nn.functional.cross_entropy(logits, batch.labels, label_smoothing=0.05)


def channels_last(network: nn.Module) -> nn.Module:
    """The memory format in which CPU convolutions are fastest."""
    return network.to(memory_format=torch.channels_last)


def denoiser(widths: Sequence[int]) -> nn.Module:
    """The embedded denoiser, wider or narrower.

    Raises:
        SettingError: no network is of these widths.
    """
    if not 2 <= len(widths) <= LEVELS or any(width < GROUPS or width % GROUPS for width in widths):
        raise SettingError(f"--widths: two to {LEVELS} multiples of {GROUPS}, for example 96,160,160")
    return channels_last(EDMPrecond(FoldedUNet(tuple(widths))))


RECIPES = {
    "denoiser": Recipe(
        build=lambda: denoiser((64, 128, 128)),
        loss=denoiser_loss,
        schedule=Schedule(images=440_000),
    ),
    "classifier": Recipe(
        build=lambda: channels_last(SmallResNet()),
        loss=classifier_loss,
        schedule=Schedule(2_600_000, batch=128, lr=4e-3, warmup=0.1, cooldown=0.9, weight_decay=0.05, average=0.01),
    ),
    "judge": Recipe(
        build=lambda: channels_last(SmallVGG()),
        loss=judge_loss,
        schedule=Schedule(
            300_000, lr=4e-3, warmup=0.15, cooldown=0.85, weight_decay=0.05, average=0.01, seed=6_000_000
        ),
    ),
}
