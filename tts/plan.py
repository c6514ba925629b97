"""What a search must know about a trajectory: its steps, which of them inject noise, and the cost of each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tts.errors import SettingError
from tts.recipe import Action, Back, after

Condition: TypeAlias = int | str
"""What an image must show: a class index or a prompt."""

NO_LEAPS = (
    "looks ahead, and this sampler takes no coarser steps; set the search's number of steps to look ahead to 0, or "
    "take a sampler that has leap()"
)


@dataclass(frozen=True)
class Plan:
    """The shape of a trajectory.

    Args:
        nfe_per_step: denoiser forwards (NFE) of each step when a noise is injected there or none could be.
        injects: for each step, whether its noise changes the result. A search spends nothing on the other steps.
        initial_nfe: denoiser forwards between the initial noise and the first step, for samplers whose steps start from
            a state with a prediction.
        levels: noise level (noise over signal, both as standard deviations) before each step and after the last; empty
            if the sampler does not state them.
        back: denoiser forwards for carrying a state back to an earlier step: those of its prediction there, for
            samplers whose states have one.
        leaps: for each step, denoiser forwards of a leap from an earlier state to the state after it: a coarser step
            without noise, by which a search looks ahead. Empty: the sampler has none.
        forgets_start: whether the first step's noise replaces the initial one, apart from its trace in the prediction.
    """

    nfe_per_step: tuple[int, ...]
    injects: tuple[bool, ...]
    initial_nfe: int = 0
    levels: tuple[float, ...] = field(default=(), compare=False)
    back: int = 0
    leaps: tuple[int, ...] = field(default=(), compare=False)
    forgets_start: bool = field(default=False, compare=False)

    def level(self, step: int) -> float:
        """Noise level of a state after ``step`` steps; 0 at the end, NaN before it if levels are unknown."""
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
        """The steps at which a look-ahead stops, including the present one and the end.

        There are ``ahead`` leaps, as even as whole steps allow; if at most so many steps are left, all are taken.
        """
        left = self.steps - step
        leaps = min(ahead, left)
        return tuple(step + (k * left + leaps // 2) // leaps for k in range(leaps + 1)) if leaps else (step,)

    def nfe_ahead(self, step: int, ahead: int) -> int:
        """Denoiser forwards of a look-ahead.

        k leaps cost k forwards, or k - 1 if a state has its prediction already. If at most k steps are left, the cost
        is that of the steps: up to 2 k - 1 with Heun's sampler.

        Raises:
            SettingError: the sampler takes no leaps.
        """
        if ahead and not self.leaps:
            raise SettingError(NO_LEAPS)
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
        """Whether the state to which some actions lead from an initial noise has a predicted clean state.

        Every step predicts one. The initial noise and a state that was carried back have one only with samplers that
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
