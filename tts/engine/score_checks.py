"""What an engine checks at its start about decoder and rewards: rows apart, and batches of other sizes."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tts.engine.asking import ask
from tts.engine.features import extract, same_features
from tts.metrics.base import Metric
from tts.models.base import Model
from tts.noise import Noise, NoiseBank
from tts.plan import Condition
from tts.rewards.base import Reward

ENOUGH_VALUES = 2**17
"""Pixels' values that must agree before another size is trusted: 8 bits hide most of what differs in fp32."""

MOST_ROUNDS = 32


@torch.inference_mode()
def first_dependent_score(
    model: Model,
    rewards: Mapping[str, Reward],
    batch: int,
    condition: int | str,
    device: str = "cpu",
    reward_device: str | None = None,
) -> str | None:
    """Which of the decoder and the rewards gives an image another value at another place among other rows.

    Returns:
        A word on the first one; None when there is none.
    """
    clean, conditions, levels = _states(model, range(batch), device), [condition] * batch, [0.0] * batch
    for preview in {False, model.previews}:
        images = model.decode(clean, preview)
        if not torch.equal(model.decode(clean.flip(0), preview).flip(0), images):
            return "the decoder of previews" if preview else "the decoder"
    for name, reward in rewards.items():
        given = images.cpu() if reward.host else images.to(reward_device or device)
        values = ask(name, reward, given, conditions, levels)
        if ask(name, reward, given.flip(0), conditions, levels)[::-1] != values:
            return f"reward {name}"
    return None


@dataclass(frozen=True)
class Judged:
    """All that looks at images on a device.

    Args:
        rewards, metrics: by name, those of the host among them.
        condition: of the images that are tried.
        device, second: where the model is, and where rewards are.
    """

    model: Model
    rewards: Mapping[str, Reward]
    metrics: Mapping[str, Metric]
    condition: Condition
    device: str = "cpu"
    second: str = "cpu"

    def decoded(self, clean: Tensor) -> dict[bool, Tensor]:
        """Final images of some states, and previews, if there are any."""
        return {preview: self.model.decode(clean, preview) for preview in {False, self.model.previews}}

    def said(self, images: Tensor) -> dict[str, list[Any]]:
        """What each reward and each metric of the device says of images, a list of as many."""
        near = images.to(self.second)
        rewards, metrics = self.rewards.items(), self.metrics.items()
        conditions, levels = [self.condition] * len(near), [0.0] * len(near)
        asked = {name: each for name, each in rewards if not each.host}
        values = {f"reward {name}": ask(name, each, near, conditions, levels) for name, each in asked.items()}
        return values | {f"metric {name}": extract(name, each, near) for name, each in metrics if not each.host}


@torch.inference_mode()
def equal_shapes(judged: Judged, batch: int) -> tuple[int, ...]:
    """Powers of two below a batch at which decoder, rewards and metrics give the bits that they give at the batch.

    Kernels may sum in another order for another shape. So a size is trusted only where the 8-bit images of enough
    values, and all that is said of the first of them, have come out the same.
    """
    sizes = [2**k for k in range(batch.bit_length()) if 2**k < batch]
    seen = rounds = 0
    while sizes and seen < ENOUGH_VALUES:
        clean = _states(judged.model, range(rounds * batch, (rounds + 1) * batch), judged.device)
        whole = judged.decoded(clean)
        if MOST_ROUNDS * whole[False].numel() < ENOUGH_VALUES:
            return ()  # images so small that padding costs nothing
        sizes = [size for size in sizes if all(_agree(judged, clean, whole, place) for place in _ends(size))]
        if not rounds:
            said = judged.said(whole[False])
            sizes = [size for size in sizes if all(_says(judged, whole[False], said, place) for place in _ends(size))]
        seen, rounds = seen + whole[False].numel(), rounds + 1
    return tuple(sizes)


def _ends(size: int) -> tuple[slice, slice]:
    """The first and the last rows of a batch."""
    return slice(size), slice(-size, None)


def _agree(judged: Judged, clean: Tensor, whole: Mapping[bool, Tensor], place: slice) -> bool:
    """Whether some rows are decoded to what they were decoded to in the whole batch."""
    part = judged.decoded(clean[place])
    return all(torch.equal(part[preview], images[place]) for preview, images in whole.items())


def _says(judged: Judged, images: Tensor, said: Mapping[str, list[Any]], place: slice) -> bool:
    """Whether of some images the same is said as of them in the whole batch."""
    return all(
        all(map(same_features if name.startswith("metric ") else operator.eq, values, said[name][place]))
        for name, values in judged.said(images[place]).items()
    )


def _states(model: Model, seeds: Sequence[int], device: str) -> Tensor:
    bank = NoiseBank(model.shape)
    return torch.stack([torch.from_numpy(bank(Noise(seed))) for seed in seeds]).to(device)
