"""The interface of every sampler: a step is a coroutine of denoiser calls.

A step yields :class:`Call` s and receives the denoiser's answers; so it reads like the published algorithm, and an
engine can put the calls of many trajectories, at different steps, into one forward pass.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple, Protocol, TypeAlias

from torch import Tensor

from tts.plan import Plan


class Call(NamedTuple):
    """One denoiser forward of one trajectory.

    Args:
        x: the state, without a batch dimension.
        level: noise level (sigma) or time step that the denoiser is told.
    """

    x: Tensor
    level: float


class Transition(NamedTuple):
    """The end of a step: the new state, and the clean state that the step's last call predicts from there."""

    x: Tensor
    predicted: Tensor


Step: TypeAlias = Generator[Call, Tensor, Transition]


class Sampler(Protocol):
    """A discretised reverse process."""

    @property
    def plan(self) -> Plan:
        """Steps, injections and costs."""
        ...

    def initial(self, noise: Tensor) -> Tensor:
        """The first state, from a unit normal noise of the state's shape."""
        ...

    def step(self, x: Tensor, index: int, noise: Tensor | None) -> Step:
        """Step ``index`` from state ``x``; ``noise`` is unit normal, or None for the deterministic step."""
        ...
