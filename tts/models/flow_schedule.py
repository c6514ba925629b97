"""Noise levels of flows, from the schedulers of diffusers' checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tts.errors import WeightsError
from tts.samplers.schedules import FlowLevels

if TYPE_CHECKING:
    from torch import Tensor


UNDONE = ("shift_terminal", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_flow_sigmas")
"""Settings of schedulers that change levels, other than a shift."""


@dataclass(frozen=True)
class FlowSchedule(FlowLevels):
    """A checkpoint's own noise levels, equal to those of diffusers' scheduler of Euler steps.

    Args:
        config: its ``scheduler_config.json``; from a multistep solver of flows, only the shift is used.
        even: whether the pipeline hands ``steps`` even levels from 1 to 1 / steps to the scheduler; else the scheduler
            has its own.
        tokens: number of tokens of an image, on which a dynamic shift depends.
        mu: the pipeline's own formula for the dynamic shift, from the number of steps; None: the usual one.
    """

    config: Mapping[str, Any]
    even: bool
    tokens: int
    mu: Callable[[int], float] | None = None

    def levels(self, steps: int) -> tuple[float, ...]:
        """``steps + 1`` falling levels: the level before each step, then 0.

        Raises:
            WeightsError: the scheduler is not a flow's, or runs from image to noise.
        """
        scheduler = self._scheduler()
        given: dict[str, Any] = {"mu": self.shift(steps)} if scheduler.config.use_dynamic_shifting else {}
        if self.even and not scheduler.config.get("use_flow_sigmas"):
            given["sigmas"] = self.unshifted(steps)
        else:
            given["num_inference_steps"] = steps
        scheduler.set_timesteps(**given)
        return tuple(float(sigma) for sigma in scheduler.sigmas.double())

    def unshifted(self, steps: int) -> list[float]:
        """The levels that the pipeline hands to the scheduler, which shifts them."""
        return [1 - k / steps for k in range(steps)]

    def told(self, levels: Tensor) -> Tensor:
        """Levels as the pipeline tells them to its network, of levels ``[B]`` float64: the same."""
        return levels

    def _scheduler(self) -> Any:
        from diffusers import FlowMatchEulerDiscreteScheduler

        config = self.config
        if config.get("use_flow_sigmas"):
            return FlowMatchEulerDiscreteScheduler(shift=float(config.get("flow_shift", 1.0)))
        if "FlowMatch" not in str(config.get("_class_name")):
            raise WeightsError(f"its scheduler {config.get('_class_name')} is none of a flow; set another model")
        if config.get("invert_sigmas"):
            raise WeightsError("its scheduler goes from image to noise (invert_sigmas), which is not supported")
        return FlowMatchEulerDiscreteScheduler.from_config(dict(config))

    def shift(self, steps: int) -> float:
        """The dynamic shift: the pipelines' line through two image sizes, or the formula ``mu``."""
        if self.mu is not None:
            return self.mu(steps)
        known = {"base_image_seq_len": 256, "max_image_seq_len": 4096, "base_shift": 0.5, "max_shift": 1.15}
        least, most, low, high = (float(self.config.get(name, value)) for name, value in known.items())
        return low + (self.tokens - least) * (high - low) / (most - least)


def flux2_mu(tokens: int, steps: int) -> float:
    """FLUX.2's dynamic shift, fitted by its authors: linear in the tokens for 10 and 200 steps, and between the two."""
    many = 0.00016927 * tokens + 0.45666666
    if tokens > 4300:
        return many
    few = 8.73809524e-05 * tokens + 1.89833333
    return few + (many - few) * (steps - 10) / 190


@dataclass(frozen=True)
class CogView4Schedule(FlowSchedule):
    """CogView4's levels: whole time steps from 1000 to 1, then shifted; its network is told them without the shift."""

    def unshifted(self, steps: int) -> list[float]:
        """Thousandths of time steps from 1000 to 1, rounded down; one step: of 1000."""
        gap = 999 / max(1, steps - 1)
        return [math.floor(1000 - k * gap + 1e-9) / 1000 for k in range(steps)]

    def shift(self, steps: int) -> float:
        """Linear in the side of an image, as ``calculate_shift`` of the pipeline."""
        known = {"base_image_seq_len": 256, "base_shift": 0.5, "max_shift": 1.15}
        least, low, high = (float(self.config.get(name, value)) for name, value in known.items())
        return low + high * math.sqrt(self.tokens / least)

    def told(self, levels: Tensor) -> Tensor:
        """The levels before the shift."""
        factor = float(self.config.get("shift", 1.0))
        if self.config.get("use_dynamic_shifting"):
            mu = self.shift(1)
            factor = mu if self.config.get("time_shift_type") == "linear" else math.exp(mu)
        return levels / (levels + factor * (1 - levels))

    def levels(self, steps: int) -> tuple[float, ...]:
        """As any flow's.

        Raises:
            WeightsError: the scheduler changes levels in another way than by a shift, which :meth:`told` cannot undo.
        """
        other = next((key for key in UNDONE if self.config.get(key)), None)
        if other is not None:
            raise WeightsError(f"its scheduler changes levels by {other}, which is not supported for CogView4")
        return super().levels(steps)


@dataclass(frozen=True)
class SprintLevels(FlowLevels):
    r"""Sana-Sprint's times t as levels of a flow: :math:`s = \sin t / (\cos t + \sin t)` (arXiv 2503.09641)."""

    first: float = 1.57080
    middle: float = 1.3

    def levels(self, steps: int) -> tuple[float, ...]:
        """Levels of even times, except for two steps, whose middle time is published."""
        times = [self.first * (1 - k / steps) for k in range(steps + 1)]
        if steps == 2:
            times[1] = self.middle
        return tuple(min(1.0, math.sin(t) / (math.cos(t) + math.sin(t))) for t in times)
