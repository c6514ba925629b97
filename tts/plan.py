"""What a search must know of a trajectory: its condition, its steps, which of them inject noise, what each costs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tts.recipe import Action, Back, after

Condition: TypeAlias = int | str
"""What an image is to show: a class index or a prompt."""


@dataclass(frozen=True)
class Plan:
    """The shape of a trajectory.

    Args:
        nfe_per_step: denoiser forwards (NFE) of each step when a noise is injected there or none could be.
        injects: for each step, whether its noise changes the result. A search spends nothing on the other steps.
        initial_nfe: denoiser forwards between the initial noise and the first step, for samplers whose steps start from
            a state that has its prediction already.
        levels: noise level (standard deviation of the noise over that of the signal) before each step and after the
            last; empty where nobody needs to know.
        back: denoiser forwards of carrying a state back to an earlier step: those of its prediction there, for
            samplers whose states have one.
        leaps: denoiser forwards of a leap to behind each step, from any before: a coarser step without noise, by which
            a search looks ahead. Empty: the sampler has none.
        forgets_start: whether the first step's noise replaces the initial one, but for its trace in the prediction.
    """

    nfe_per_step: tuple[int, ...]
    injects: tuple[bool, ...]
    initial_nfe: int = 0
    levels: tuple[float, ...] = field(default=(), compare=False)
    back: int = 0
    leaps: tuple[int, ...] = field(default=(), compare=False)
    forgets_start: bool = field(default=False, compare=False)

    def level(self, step: int) -> float:
        """Noise level of a state after so many steps; 0 at the end, NaN before it where levels are not told."""
        if step >= self.steps:
            return 0.0
        return self.levels[step] if self.levels else math.nan

    @property
    def steps(self) -> int:
        """Number of steps from the initial noise to the image."""
        return len(self.nfe_per_step)

    @property
    def noisy_steps(self) -> tuple[int, ...]:
        """The steps that inject noise, in order."""
        return tuple(step for step, injects in enumerate(self.injects) if injects)

    def nfe(self, first: int | None = None, stop: int | None = None) -> int:
        """Denoiser forwards of the steps ``first .. stop - 1``; with no ``first``, from the initial noise on."""
        return sum(self.nfe_per_step[first:stop]) + (self.initial_nfe if first is None else 0)

    def grid_ahead(self, step: int, ahead: int) -> tuple[int, ...]:
        """The steps at which a look ahead stops, the present one and the end among them.

        ``ahead`` leaps as even as whole steps allow; where no more steps are left than that, they are all taken.
        """
        left = self.steps - step
        leaps = min(ahead, left)
        return tuple(step + (k * left + leaps // 2) // leaps for k in range(leaps + 1)) if leaps else (step,)

    def nfe_ahead(self, step: int, ahead: int) -> int:
        """Denoiser forwards of a look ahead.

        Of k leaps k; k - 1 where a state has its prediction already. Where no more than k steps are left it is what
        they cost: with Heun's sampler up to 2 k - 1.
        """
        if ahead >= self.steps - step:
            return self.nfe(step)
        return sum(self.leaps[stop - 1] for stop in self.grid_ahead(step, ahead)[1:])

    def spent(self, step: int | None, actions: Iterable[Action]) -> int:
        """Denoiser forwards of some actions after ``step`` steps; with None, from the initial noise on."""
        nfe, at = (self.initial_nfe, 0) if step is None else (0, step)
        for action in actions:
            nfe += self._back(at, action) if isinstance(action, Back) else self.nfe_per_step[at]
            at = after(at, action)
        return nfe

    def predicts(self, actions: Iterable[Action]) -> bool:
        """Whether a clean state is predicted where some actions lead from an initial noise.

        Every step predicts one; of the initial noise and of a state carried back one is known only to samplers that
        spend forwards there.
        """
        step, known = 0, self.initial_nfe > 0
        for action in actions:
            if not isinstance(action, Back):
                known = True
            elif action.to != step:
                known = self.back > 0
            step = after(step, action)
        return known

    def _back(self, step: int, action: Back) -> int:
        return 0 if action.to == step else self.back

    def times(self, passes: int) -> Plan:
        """The same trajectory where every prediction takes this many forwards (two with guidance)."""
        nfe = tuple(passes * nfe for nfe in self.nfe_per_step)
        leaps = tuple(passes * nfe for nfe in self.leaps)
        initial, back = passes * self.initial_nfe, passes * self.back
        return replace(self, nfe_per_step=nfe, initial_nfe=initial, back=back, leaps=leaps)

    def next_noisy_step(self, step: int) -> int:
        """The first step from ``step`` on that injects noise; ``steps`` when none is left."""
        return next((action for action in self.noisy_steps if action >= step), self.steps)
