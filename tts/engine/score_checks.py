"""What an engine checks at its start about decoder and rewards: rows apart, and batches of other sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

    def agrees(self, size: int, clean: Tensor, images: Mapping[bool, Tensor]) -> bool:
        """Whether a smaller batch, of the first states or the last, gives what the whole one gave."""
        return all(self._agrees_at(place, clean, images) for place in (slice(size), slice(-size, None)))

    def _agrees_at(self, place: slice, clean: Tensor, images: Mapping[bool, Tensor]) -> bool:
        if not all(torch.equal(self.model.decode(clean[place], kind), whole[place]) for kind, whole in images.items()):
            return False
        near = images[False].to(self.second)
        conditions, levels = [self.condition] * len(near), [0.0] * len(near)
        return all(
            ask(name, reward, near[place], conditions[place], levels[place])
            == ask(name, reward, near, conditions, levels)[place]
            for name, reward in self.rewards.items()
            if not reward.host
        ) and all(
            all(map(same_features, extract(name, metric, near[place]), extract(name, metric, near)[place]))
            for name, metric in self.metrics.items()
            if not metric.host
        )


@torch.inference_mode()
def equal_shapes(judged: Judged, batch: int) -> tuple[int, ...]:
    """Powers of two below a batch at which decoder, rewards and metrics give the bits that they give at the batch.

    Kernels may sum in another order for another shape. So a size is trusted only where the 8-bit images of enough
    values, and all that is said of them, have come out the same.
    """
    sizes = [2**k for k in range(batch.bit_length()) if 2**k < batch]
    seen = rounds = 0
    while sizes and seen < ENOUGH_VALUES:
        if rounds == MOST_ROUNDS:
            return ()  # images so small that padding costs nothing
        clean = _states(judged.model, range(rounds * batch, (rounds + 1) * batch), judged.device)
        images = {preview: judged.model.decode(clean, preview) for preview in {False, judged.model.previews}}
        sizes = [size for size in sizes if judged.agrees(size, clean, images)]
        seen, rounds = seen + images[False].numel(), rounds + 1
    return tuple(sizes)


def _states(model: Model, seeds: Sequence[int], device: str) -> Tensor:
    bank = NoiseBank(model.shape)
    return torch.stack([torch.from_numpy(bank(Noise(seed))) for seed in seeds]).to(device)
