r"""Stochastic Heun sampler (Karras et al. 2022, arXiv 2206.00364, Algorithm 2)."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias

from pydantic import Field, PlainSerializer, PositiveFloat, model_validator

from tts.plan import Plan
from tts.samplers.schedules import Schedule, Sigmas, unfit
from tts.samplers.settings import MOST_STEPS, SamplerSettings
from tts.samplers.transitions import Transition, Transitions, added

if TYPE_CHECKING:
    from torch import Tensor

    from tts.samplers.base import Position, Step


Level: TypeAlias = Annotated[
    float, PlainSerializer(lambda level: "inf" if math.isinf(level) else level, return_type=float | str)
]
"""A noise level; infinity is written as the text ``inf``, since JSON has no such number."""


class StochasticHeun(SamplerSettings, Transitions):
    r"""Heun's second-order steps between noise levels ``t_0 > ... > t_N = 0``, each preceded by "churn".

    .. math::
        \hat t = (1 + \gamma_i)\,t_i,\quad \hat x = x + \sqrt{\hat t^2 - t_i^2}\,S_{noise}\,\epsilon,\quad
        \gamma_i = \min(S_{churn}/N, \sqrt 2 - 1)\ \text{if}\ S_{min} \le t_i \le S_{max}\ \text{else}\ 0

    and ``t_i = (t_max^{1/rho} + i/(N-1) (t_min^{1/rho} - t_max^{1/rho}))^rho`` (Eq. 5). The defaults are the
    study's. A step without noise has gamma = 0: it starts from ``t_i``, not from a raised noise level whose noise
    is missing.

    A step costs two denoiser calls; the last step costs one. The predicted clean image is the second call's answer
    (at ``t_{i+1}``, at Euler's point), so scoring a candidate costs no further call.
    """

    steps: int = Field(18, ge=2, le=MOST_STEPS, description="steps N")
    sigma_min: PositiveFloat = Field(0.002, description="last noise level above 0")
    sigma_max: PositiveFloat = Field(80.0, description="first noise level")
    rho: PositiveFloat = Field(7.0, description="exponent of the schedule")
    S_churn: float = Field(40.0, ge=0, description="amount of noise injected over all steps")
    S_min: float = Field(0.05, ge=0, description="no noise is injected below this level")
    S_max: Level = Field(50.0, ge=0, allow_inf_nan=True, description="no noise is injected above this level; or .inf")
    S_noise: PositiveFloat = Field(1.003, description="standard deviation of the injected noise")

    @model_validator(mode="after")
    def _ordered(self) -> StochasticHeun:
        if self.sigma_min >= self.sigma_max:
            raise ValueError("sigma_min must be below sigma_max")
        if not self._falls():
            raise ValueError(
                "rho, sigma_min and sigma_max give no falling noise levels above 0; set rho nearer to 7, or sigma_min "
                "and sigma_max nearer to 1"
            )
        return self

    def _falls(self) -> bool:
        """Whether rounding leaves levels that fall to one above 0, and squares that are numbers."""
        try:
            levels = self._levels()
            return (2 * levels[0]) ** 2 < math.inf and all(high > low for high, low in pairwise(levels))
        except OverflowError:
            return False

    def on(self, schedule: Schedule) -> StochasticHeun:
        """This sampler: its levels follow from its own settings.

        Raises:
            SettingError: the denoiser is not told sigmas.
        """
        if not isinstance(schedule, Sigmas):
            raise unfit("heun", Sigmas.WORDS, schedule)
        return self

    @cached_property
    def levels(self) -> tuple[float, ...]:
        """The N + 1 noise levels, from ``sigma_max`` to 0."""
        return self._levels()

    def _levels(self) -> tuple[float, ...]:
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        ramp = (high + i / (self.steps - 1) * (low - high) for i in range(self.steps))
        return (*(root**self.rho for root in ramp), 0.0)

    def gamma(self, index: int) -> float:
        """How far step ``index`` raises its noise level."""
        churned = self.S_min <= self.levels[index] <= self.S_max
        return min(self.S_churn / self.steps, math.sqrt(2) - 1) if churned else 0.0

    @cached_property
    def plan(self) -> Plan:
        """Two calls a step, one call on the last step; noise only where ``gamma > 0``."""
        calls = (2,) * (self.steps - 1) + (1,)
        return Plan(
            calls, tuple(self.gamma(i) > 0 for i in range(self.steps)), levels=self.levels, leaps=(1,) * self.steps
        )

    def opening(self) -> Transition:
        """``t_0`` times a unit normal noise, without a prediction: the first one depends on the first step's noise."""
        return Transition(opened, Opening(self.levels[0]))

    def returning(self, index: int, to: int) -> Transition:
        """``x + sqrt(t_to^2 - t_index^2) noise``; it costs no call and predicts nothing before the next step."""
        return Transition(renoised, Renoising(math.sqrt(self.levels[to] ** 2 - self.levels[index] ** 2)))

    def stepping(self, index: int, injected: bool) -> Transition:
        """Step ``index`` (0-based) of Algorithm 2."""
        t, t_next = self.levels[index : index + 2]
        t_hat = t * (1 + self.gamma(index)) if injected else t
        churn = math.sqrt(t_hat**2 - t**2) * self.S_noise
        return Transition(heun if t_next else to_the_end, Churned(t_hat, t_next, t_next - t_hat, churn))

    def leaping(self, index: int, to: int) -> Transition:
        """Euler's step from level ``t_index`` to ``t_to``; over such long steps Heun's second slope leads astray."""
        t, t_next = self.levels[index], self.levels[to]
        return Transition(euler if t_next else to_the_end, Churned(t, t_next, t_next - t, 0.0))


class Churned(NamedTuple):
    r"""Numbers of a step: :math:`\hat t`, :math:`t_{i+1}`, their difference, and the injected noise's deviation."""

    t_hat: float
    t_next: float
    dt: float
    churn: float


class Opening(NamedTuple):
    """The number of the initial transition: ``t_0``."""

    t_0: float


class Renoising(NamedTuple):
    """The number of a way back: the deviation of its noise."""

    churn: float


def heun(at: Position, by: Churned, noise: Tensor | None) -> Step:
    """A step of Algorithm 2 to a level above 0."""
    from tts.samplers.base import Call, Position

    x_hat = added(at.x, by.churn, noise)
    D = yield Call(x_hat, by.t_hat)
    d = (x_hat - D) / by.t_hat
    x_next = x_hat + by.dt * d
    D = yield Call(x_next, by.t_next)
    d_next = (x_next - D) / by.t_next
    return Position(x_hat + by.dt * (0.5 * d + 0.5 * d_next), D)


def to_the_end(at: Position, by: Churned, noise: Tensor | None) -> Step:
    """The last step: Euler's step to level 0 ends exactly on the prediction."""
    from tts.samplers.base import Call, Position

    D = yield Call(added(at.x, by.churn, noise), by.t_hat)
    return Position(D, D)


def euler(at: Position, by: Churned, noise: Tensor | None) -> Step:
    """A deterministic first-order step to a level above 0."""
    from tts.samplers.base import Call, Position

    D = yield Call(at.x, by.t_hat)
    return Position(at.x + by.dt * ((at.x - D) / by.t_hat), D)


def opened(at: Position, by: Opening, noise: Tensor | None) -> Step:
    """The first state: the unit normal noise at its scale."""
    from tts.samplers.base import Position

    x = by.t_0 * at.x
    return Position(x, x)
    yield  # a coroutine without calls


def renoised(at: Position, by: Renoising, noise: Tensor | None) -> Step:
    """The state with noise added, at a higher level."""
    from tts.samplers.base import Position

    x = added(at.x, by.churn, noise)
    return Position(x, x)
    yield  # a coroutine without calls
