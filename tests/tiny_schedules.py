"""Schedules as checkpoints have them, and DDIM on them, without diffusers: it takes seconds to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tts.models.parameterisation import PARAMETERISATIONS
from tts.models.schedule import CheckpointSchedule
from tts.samplers.ddim import DDIM, DDIMSettings

SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
"""Stable Diffusion's."""


def ddim(config: Mapping[str, Any], steps: int, eta: float, spacing: Any) -> DDIM:
    """DDIM on a scheduler's configuration."""
    return DDIMSettings(steps=steps, eta=eta, spacing=spacing).on(CheckpointSchedule(config))


def to_clean(kind: str, x: Tensor, output: Tensor, alpha: Tensor) -> Tensor:
    """The clean state that follows from a network's output, at signal levels ``alpha [B]`` float64."""
    return PARAMETERISATIONS[kind].clean(x, output, alpha.sqrt(), (1 - alpha).sqrt())
