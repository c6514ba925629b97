r"""The kinds of injected noise: how much of the noise after a step is fresh.

A step leads from :math:`x = a D + s e` to :math:`x' = a' D + k e + w z` with fresh noise z. Where
:math:`k = \sqrt{s'^2 - w^2}`, the noise of the new state has deviation s' for any w, and only the error of D matters:
this holds for ``ancestral``, ``cps`` and ``renewal``. The Euler-Maruyama steps of published work reach s' only in the
limit of many steps, and those that add noise on the last step leave it in the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from pydantic import Field, model_validator

from tts.settings import Settings

Kind: TypeAlias = Literal[
    "ancestral", "cps", "renewal", "flow_grpo", "dance_grpo", "sit", "flow_grpo_held", "dance_grpo_held", "sit_held"
]

SHARES: dict[str, float] = {"flow_grpo": 0.7, "dance_grpo": 0.3, "cps": 0.7}
"""Default shares by kind; the other kinds have 1."""


class Levels(NamedTuple):
    """Signal and noise of the state: ``a`` and ``s`` before a step, ``a'`` and ``s'`` after it."""

    a: float
    s: float
    a_next: float
    s_next: float

    @property
    def ratio(self) -> float:
        """The ratio of noise to signal after the step, over that before it; 0 where the state before has no signal."""
        return self.s_next * self.a / (self.a_next * self.s)


Fresh: TypeAlias = Callable[[Levels, float], float]
"""Deviation w of the fresh noise, from the levels and the share."""


def ancestral(at: Levels, share: float) -> float:
    r""":math:`\eta s' \sqrt{1 - r^2}`; r is the ratio of noise to signal after the step, over that before it.

    It is the noise of DDIM (Song et al. 2021, arXiv 2010.02502, Eq. 16). A share of 1 gives DDPM, the ancestral Euler
    sampler and the first-order SDE-DPM-Solver++.
    """
    return share * at.s_next * math.sqrt(max(0.0, 1 - at.ratio**2))


def cps(at: Levels, share: float) -> float:
    r""":math:`s' \sin(\eta\pi/2)`, for steps of any size (Flow-CPS, arXiv 2509.05952)."""
    return at.s_next * math.sin(share * math.pi / 2)


def renewal(at: Levels, share: float) -> float:
    """``share * s'``; consistency models have a share of 1 (Song et al. 2023, arXiv 2303.01469, Algorithm 1)."""
    return share * at.s_next


class SDE(NamedTuple):
    r"""Noise of deviation :math:`g(s)\sqrt{ds}` on a flow's path.

    Args:
        g: its rate at the beginning of the step.
        decay: the integral of :math:`g^2/s^2` over the step.
        last: whether published samplers add noise on the last step.
    """

    g: Fresh
    decay: Fresh
    last: bool


def _flow_grpo_decay(at: Levels, share: float) -> float:
    if not share:
        return 0.0
    return -(share**2) * math.log(at.ratio) if at.ratio else math.inf


SDES: dict[str, SDE] = {
    # Flow-GRPO: g^2 = A^2 s / (1 - s); at s = 1 it is infinite, so the second level is used (arXiv 2505.05470)
    "flow_grpo": SDE(lambda at, share: share * math.sqrt(at.s / (at.a or at.a_next)), _flow_grpo_decay, True),
    # DanceGRPO: g is constant (arXiv 2505.07818)
    "dance_grpo": SDE(lambda _, share: share, lambda at, share: share**2 * (1 / at.s_next - 1 / at.s), True),
    # g^2 = 2 s (SiT, arXiv 2401.08740; REPA, arXiv 2410.06940)
    "sit": SDE(
        lambda at, share: share * math.sqrt(2 * at.s),
        lambda at, share: 2 * share**2 * math.log(at.s / at.s_next),
        False,
    ),
}

KEEPING: dict[str, Fresh] = {"ancestral": ancestral, "cps": cps, "renewal": renewal}
"""Kinds that keep the deviation of the noise at s', on any levels."""


class InjectedNoise(Settings):
    """The noise that steps inject."""

    kind: Kind = Field(
        "ancestral",
        description="ancestral (DDIM's; converges to the data at any share), cps, renewal (consistency models); of "
        "flows also flow_grpo, dance_grpo, sit: published Euler-Maruyama steps, and each with _held: the prediction "
        "held over the step",
    )
    share: float = Field(
        1.0, ge=0, le=4, description="of the fresh noise: 0 none (an ODE), ancestral 1 as DDPM; of an SDE its factor"
    )

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: object) -> object:
        if isinstance(values, dict) and "share" not in values:
            return {**values, "share": SHARES.get(str(values.get("kind")).removesuffix("_held"), 1.0)}
        return values

    @model_validator(mode="after")
    def _bounded(self) -> InjectedNoise:
        if self.kind in KEEPING and self.share > 1:
            raise ValueError(f"share = {self.share}: of kind {self.kind} it is at most 1")
        return self

    @property
    def of_flows(self) -> bool:
        """Whether the kind is defined for flows only."""
        return self.kind not in KEEPING

    def weights(self, at: Levels) -> tuple[float, float]:
        """``k`` and ``w`` of a step; see the module."""
        if self.kind in KEEPING:
            return kept(at, KEEPING[self.kind](at, self.share))
        sde = SDES[self.kind.removesuffix("_held")]
        if self.kind.endswith("_held"):
            return kept(at, at.s_next * math.sqrt(-math.expm1(-sde.decay(at, self.share))) if at.s_next else 0.0)
        return self._euler_maruyama(at, sde)

    def _euler_maruyama(self, at: Levels, sde: SDE) -> tuple[float, float]:
        r""":math:`x' = x - d v - d\,g^2/(2s)\,e + g\sqrt d\,z` over :math:`d = s - s'`."""
        if not (at.s_next or sde.last):
            return at.s_next, 0.0
        g, d = sde.g(at, self.share), at.s - at.s_next
        return at.s_next - d * g**2 / (2 * at.s), g * math.sqrt(d)


def kept(at: Levels, w: float) -> tuple[float, float]:
    r""":math:`\sqrt{s'^2 - w^2}` and w, with w limited to s'."""
    return math.sqrt(max(0.0, at.s_next**2 - w**2)), w
