r"""DDIM with injected noise (Song et al. 2021, arXiv 2010.02502, Eqs. 12 and 16)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import Field

from tts.samplers.linear import TINY, LinearSampler, Weights
from tts.samplers.schedules import Schedule, Spacing, Times, unfit
from tts.samplers.settings import MOST_STEPS, SamplerSettings


@dataclass(frozen=True)
class DDIM(LinearSampler):
    r"""Steps from signal level :math:`a_i` to :math:`b_i` (both :math:`\bar\alpha`), with the clean prediction D:

    .. math::
        x' = \sqrt{b}\,D + \sqrt{1 - b - \sigma^2}\,\frac{x - \sqrt a D}{\sqrt{1-a}} + \sigma\epsilon,\quad
        \sigma = \eta\sqrt{\frac{1-b}{1-a}\left(1 - \frac ab\right)}

    ``eta = 0`` is the deterministic sampler, ``eta = 1`` the ancestral one (DDPM).

    Args:
        times: time step that the denoiser is told before each step.
        alphas: signal level at each of ``times``, in (0, 1].
        targets: signal level to which each step leads; with some spacings it differs slightly from the next ``alphas``.
        eta: share of the ancestral noise, in [0, 1].
        clip: predictions are clipped to [-clip, clip] before a step; None: they are not.
    """

    times: tuple[int, ...]
    alphas: tuple[float, ...]
    targets: tuple[float, ...]
    eta: float
    clip: float | None = None

    def sigma(self, index: int) -> float:
        """Standard deviation of the noise that step ``index`` injects."""
        a, b = self.alphas[index], self.targets[index]
        return self.eta * math.sqrt(max(0.0, (1 - b) / (1 - a) * (1 - a / b)))

    def weights(self, index: int, injected: bool) -> Weights:
        """Numbers of step ``index``, with its noise or deterministic."""
        a, b = self.alphas[index], self.targets[index]
        sigma = self.sigma(index) if injected else 0.0
        kept = math.sqrt(max(0.0, 1 - b - sigma**2))
        return Weights(math.sqrt(a), math.sqrt(1 - a), math.sqrt(b), kept, sigma)

    def renoising(self, index: int, to: int) -> tuple[float, float]:
        r""":math:`\sqrt{b/a}` and :math:`\sqrt{1 - b/a}`, with signal level ``a`` now and ``b`` before step ``to``."""
        kept = min(1.0, self.alphas[to] / self.targets[index - 1])
        return math.sqrt(kept), math.sqrt(1 - kept)

    @property
    def levels(self) -> tuple[float, ...]:
        """Noise over signal (both as deviations), before each step and after the last."""
        return tuple(math.sqrt((1 - alpha) / max(alpha, TINY)) for alpha in (*self.alphas, self.targets[-1]))


class DDIMSettings(SamplerSettings):
    """DDIM with noise, on the model's own schedule."""

    steps: int = Field(50, ge=1, le=MOST_STEPS, description="steps of DDIM")
    eta: float = Field(1.0, ge=0, le=1, description="share of the ancestral noise; a search needs more than 0")
    spacing: Spacing | None = Field(None, description="spacing of the time steps; default: the checkpoint's")

    def on(self, schedule: Schedule) -> DDIM:
        """DDIM on the time steps of the model's schedule.

        Raises:
            SettingError: the denoiser is not told time steps, or the schedule has fewer than the settings ask for.
        """
        if not isinstance(schedule, Times):
            raise unfit("ddim", Times.WORDS, schedule)
        times, alphas, targets, clip = schedule.grid(self.steps, self.spacing)
        return DDIM(times, alphas, targets, self.eta, clip)
