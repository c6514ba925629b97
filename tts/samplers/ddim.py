r"""DDIM with injected noise (Song et al. 2021, arXiv 2010.02502, Eqs. 12 and 16)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import Field

from tts.plan import Plan
from tts.samplers.schedules import Schedule, Spacing, Times, unfit
from tts.samplers.settings import SamplerSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tts.samplers.base import Position, Step


TINY = 1e-12  # a schedule rescaled to zero signal begins at an infinite noise level


@dataclass(frozen=True)
class DDIM:
    r"""Steps from signal level :math:`a_i` to :math:`b_i` (both :math:`\bar\alpha`), with the clean prediction D:

    .. math::
        x' = \sqrt{b}\,D + \sqrt{1 - b - \sigma^2}\,\frac{x - \sqrt a D}{\sqrt{1-a}} + \sigma\epsilon,\quad
        \sigma = \eta\sqrt{\frac{1-b}{1-a}\left(1 - \frac ab\right)}

    ``eta = 0`` is the deterministic sampler, ``eta = 1`` the ancestral one (DDPM). A step without noise has
    ``sigma = 0``. A step ends with the prediction at the *new* time, by which a candidate is judged and from which the
    next step starts: the winner's look-ahead is never paid again. The last step needs none.

    Args:
        times: time step that the denoiser is told before each step.
        alphas: signal level before each step, of ``times``.
        targets: signal level to which each step leads. With some spacings it is not quite the next step's ``alphas``.
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

    @cached_property
    def plan(self) -> Plan:
        """One call before the first step and one at the end of each but the last; noise where ``sigma > 0``."""
        steps = len(self.times)
        injects = tuple(self.sigma(i) > 0 for i in range(steps))
        levels = tuple(math.sqrt((1 - alpha) / max(alpha, TINY)) for alpha in (*self.alphas, self.targets[-1]))
        calls = (1,) * (steps - 1) + (0,)
        return Plan(calls, injects, initial_nfe=1, levels=levels, back=1, leaps=calls)

    def initial(self, noise: Tensor) -> Step:
        """The noise itself, with its prediction."""
        from tts.samplers.base import Call, Position

        return Position(noise, (yield Call(noise, self.times[0])))

    def back(self, at: Position, index: int, to: int, noise: Tensor) -> Step:
        r""":math:`\sqrt{b/a}\,x + \sqrt{1 - b/a}\,\epsilon` and its prediction, from the level ``a`` to which the last
        step led to ``b``, before step ``to``.
        """
        from tts.samplers.base import Call, Position

        kept = min(1.0, self.alphas[to] / self.targets[index - 1])
        x = math.sqrt(kept) * at.x + math.sqrt(1 - kept) * noise
        return Position(x, (yield Call(x, self.times[to])))

    def step(self, at: Position, index: int, noise: Tensor | None) -> Step:
        """Step ``index`` (0-based); see :class:`tts.samplers.base.Sampler`."""
        return self._step(at, index, index + 1, noise)

    def leap(self, at: Position, index: int, to: int) -> Step:
        """DDIM's step without noise from before step ``index`` to where step ``to - 1`` leads."""
        return self._step(at, index, to, None)

    def _step(self, at: Position, index: int, to: int, noise: Tensor | None) -> Step:
        from tts.samplers.base import Call, Position

        a, b = self.alphas[index], self.targets[to - 1]
        sigma = 0.0 if noise is None else self.sigma(index)
        direction = (at.x - math.sqrt(a) * at.predicted) / math.sqrt(1 - a)
        D = at.predicted if self.clip is None else at.predicted.clamp(-self.clip, self.clip)
        x = math.sqrt(b) * D + math.sqrt(max(0.0, 1 - b - sigma**2)) * direction
        if noise is not None:
            x = x + sigma * noise
        if to == len(self.times):
            return Position(x, x)
        return Position(x, (yield Call(x, self.times[to])))


class DDIMSettings(SamplerSettings):
    """DDIM with noise, on the model's own schedule."""

    steps: int = Field(50, ge=1, description="steps of DDIM")
    eta: float = Field(1.0, ge=0, le=1, description="share of the ancestral noise; a search needs more than 0")
    spacing: Spacing | None = Field(None, description="of the time steps; left out: the checkpoint's")

    def on(self, schedule: Schedule) -> DDIM:
        """DDIM on the time steps that the model's schedule has for it.

        Raises:
            SettingError: the denoiser is not told time steps, or there are not so many.
        """
        if not isinstance(schedule, Times):
            raise unfit("ddim", Times.WORDS, schedule)
        times, alphas, targets, clip = schedule.grid(self.steps, self.spacing)
        return DDIM(times, alphas, targets, self.eta, clip)
