"""Noise levels on which samplers are tried."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from operator import mul

from tts.samplers.schedules import FlowLevels, Grid, Spacing, Times


@dataclass(frozen=True)
class LinearBetas(Times):
    """DDPM's thousand time steps (Ho et al. 2020, arXiv 2006.11239, Section 4)."""

    @cached_property
    def alphas(self) -> tuple[float, ...]:
        """Signal level (cumulative alpha) of every time step."""
        betas = (1e-4 + (0.02 - 1e-4) * time / 999 for time in range(1000))
        return tuple(accumulate((1 - beta for beta in betas), mul))

    def grid(self, steps: int, spacing: Spacing | None) -> Grid:
        """So many of them, from 0 on and equally far apart."""
        times = tuple(k * (1000 // steps) for k in reversed(range(steps)))
        alphas = tuple(self.alphas[time] for time in times)
        return Grid(times, alphas, (*alphas[1:], 1.0), None)


class StraightLevels(FlowLevels):
    """A flow's levels, equally far apart."""

    def levels(self, steps: int) -> tuple[float, ...]:
        """From 1 to 0."""
        return tuple(1 - k / steps for k in range(steps + 1))
