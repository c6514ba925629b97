"""The interface of every sampler: a step is a coroutine of denoiser calls.

A step yields :class:`Call` objects and receives the denoiser's answers; so it reads like the published algorithm, and
an engine can put the calls of many trajectories, at different steps, into one forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeAlias, cast

from torch import Tensor

from tts.noise import Noise
from tts.plan import Plan
from tts.recipe import Action, Back


class Call(NamedTuple):
    """One denoiser forward of one trajectory.

    Args:
        x: the state, without a batch dimension.
        level: noise level (sigma) or time step that the denoiser is told.
    """

    x: Tensor
    level: float


class Position(NamedTuple):
    """A place on a trajectory.

    Args:
        x: the state, without a batch dimension.
        predicted: the clean state that the last call predicts from ``x``; ``x`` itself before the first prediction
            and at the end of the trajectory.
    """

    x: Tensor
    predicted: Tensor


Step: TypeAlias = Generator[Call, Tensor, Position]


class Sampler(Protocol):
    """A discretised reverse process."""

    @property
    def plan(self) -> Plan:
        """Steps, injections and costs."""
        ...

    def initial(self, noise: Tensor) -> Step:
        """Go to the first position from ``noise``, which is unit normal and has the state's shape."""
        ...

    def back(self, at: Position, index: int, to: int, noise: Tensor) -> Step:
        """Add unit normal noise to go from a position after ``index`` steps back to the level before step ``to``.

        The clean part keeps its share: ``x' = q x + sqrt(s_to^2 - q^2 s^2) noise``. Here ``q`` is the signal's scale at
        that level over its scale now; ``s`` and ``s_to`` are the deviations of the noise now and there. ``to < index``.
        """
        ...

    def step(self, at: Position, index: int, noise: Tensor | None) -> Step:
        """Take step ``index`` from a position; ``noise`` is unit normal, or None for the deterministic step."""
        ...


class Leaper(Sampler, Protocol):
    """A sampler whose plan has ``leaps``: it can take several steps as one step without noise."""

    def leap(self, at: Position, index: int, to: int) -> Step:
        """Go from a position after ``index`` steps to the level after ``to > index`` steps."""
        ...


class Renoise(NamedTuple):
    """The noise of a :class:`tts.recipe.Back` as a tensor, and the step to which it leads back."""

    noise: Tensor
    to: int


def tensors(action: Action, make: Callable[[Noise], Tensor]) -> Tensor | Renoise | None:
    """An action with its noise as a tensor."""
    if isinstance(action, Back):
        return Renoise(make(action.noise), action.to)
    return None if action is None else make(action)


def follow(
    sampler: Sampler, start: Position | Tensor, noises: Sequence[Tensor | Renoise | None], first: int = 0
) -> Step:
    """Take actions one after another.

    Args:
        start: a position, or the initial unit normal noise of a new trajectory.
        noises: the noise of each action; None takes the deterministic step.
        first: number of steps that ``start`` has behind it.
    """
    at = start if isinstance(start, Position) else (yield from sampler.initial(start))
    index = first
    for noise in noises:
        if not isinstance(noise, Renoise):
            at = yield from sampler.step(at, index, noise)
            index += 1
        elif noise.to != index:
            at = yield from sampler.back(at, index, noise.to, noise.noise)
            index = noise.to
    return at


def look_ahead(sampler: Sampler, at: Position, index: int, ahead: int) -> Step:
    """Go from a position after ``index`` steps to the end by ``ahead`` leaps; 0 leaves the position as it is.

    Where at most ``ahead`` steps are left, these steps are taken without noise instead.
    """
    left = sampler.plan.steps - index
    if ahead >= left:
        return (yield from follow(sampler, at, [None] * left, index))
    for here, there in pairwise(sampler.plan.grid_ahead(index, ahead)):
        at = yield from cast(Leaper, sampler).leap(at, here, there)
    return at


def drive(step: Step, answer: Callable[[Call], Tensor]) -> Position:
    """Run a coroutine of calls to its end, and answer each call by a function."""
    try:
        call = next(step)
        while True:
            call = step.send(answer(call))
    except StopIteration as end:
        position: Position = end.value
        return position
