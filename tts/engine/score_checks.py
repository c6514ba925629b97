"""An engine's check of decoder and rewards at its start: rows must not depend on one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tts.engine.asking import ask
from tts.engine.small_batches import REMEDY, small_batches
from tts.models.base import Model
from tts.noise import Noise, NoiseBank
from tts.rewards.base import Reward


@torch.inference_mode()
def first_dependent_score(
    model: Model,
    rewards: Mapping[str, Reward],
    batch: int,
    condition: int | str,
    device: str = "cpu",
    reward_device: str | None = None,
) -> str | None:
    """Find a decoder or reward whose result for an image changes with its position or the rows beside it.

    Rewards of the host are asked for fewer images, too: their batches are not padded.

    Returns:
        A description of the first one; None if there is none.
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
        for count in small_batches(reward):
            if ask(name, reward, given[:count], conditions[:count], levels[:count]) != values[:count]:
                return f"reward {name} (which could {REMEDY})"
    return None


def _states(model: Model, seeds: Sequence[int], device: str) -> Tensor:
    bank = NoiseBank(model.shape)
    return torch.stack([torch.from_numpy(bank(Noise(seed))) for seed in seeds]).to(device)
