r"""Transitions as numbers and arithmetic, so that the arithmetic of many trajectories is done at once.

A step's numbers (levels, weights) depend on its index; what is computed with them does not. A sampler that says the two
apart is written once and serves both: one trajectory, whose state has no batch dimension and whose numbers are Python's
floats, and many at different steps, whose states are ``[R, *shape]`` and whose numbers are float32 tensors
``[R, 1, ..., 1]``. On a CPU torch multiplies a float32 tensor by a Python float as by the nearest float32, so that both
give the same bits. (A GPU divides by a Python float by multiplying with its reciprocal, and by a tensor exactly; there
the two may differ in the last bit. Engines always use tensors.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from tts.samplers.base import Position, Step

NAMES = ("initial", "step", "back", "leap")
"""What :class:`Transitions` derives."""


class Transition(NamedTuple):
    """One transition of a trajectory.

    Args:
        run: its arithmetic, a coroutine of calls from a position, numbers and a noise. Transitions whose ``run`` is
            equal are computed together; it must do to each row what it does to one alone. A call's level must be one
            of the numbers.
        numbers: a NamedTuple of floats.
    """

    run: Callable[[Position, Any, Tensor | None], Step]
    numbers: Any = ()

    def of(self, at: Position, noise: Tensor | None) -> Step:
        """The coroutine of one trajectory."""
        return self.run(at, self.numbers, noise)


class Transitions(ABC):
    """The coroutines of a :class:`tts.samplers.base.Sampler`, by the transitions that they are."""

    @abstractmethod
    def opening(self) -> Transition:
        """The transition to the first position; it is run from a position whose state is the unit normal noise."""

    @abstractmethod
    def stepping(self, index: int, injected: bool) -> Transition:
        """The transition of step ``index``, with its noise or deterministic."""

    @abstractmethod
    def returning(self, index: int, to: int) -> Transition:
        """The transition from a position after ``index`` steps back to the level before step ``to``, by a noise."""

    @abstractmethod
    def leaping(self, index: int, to: int) -> Transition:
        """The transition from a position after ``index`` steps to the level after ``to`` of them, without noise."""

    def initial(self, noise: Tensor) -> Step:
        """Go to the first position, from a unit normal noise of the state's shape."""
        from tts.samplers.base import Position

        return self.opening().of(Position(noise, noise), None)

    def step(self, at: Position, index: int, noise: Tensor | None) -> Step:
        """Take step ``index`` (0-based) from a position; ``noise`` is unit normal, or None for the deterministic
        step."""
        return self.stepping(index, noise is not None).of(at, noise)

    def back(self, at: Position, index: int, to: int, noise: Tensor) -> Step:
        """Go from a position after ``index`` steps back to the level before step ``to``, by a unit normal noise."""
        return self.returning(index, to).of(at, noise)

    def leap(self, at: Position, index: int, to: int) -> Step:
        """Go from a position after ``index`` steps to the level after ``to`` of them, as one step without noise."""
        return self.leaping(index, to).of(at, None)


def apart(sampler: object) -> Transitions | None:
    """A sampler that says numbers and arithmetic apart; None for one with coroutines of its own."""
    own = any(getattr(type(sampler), name, None) is not getattr(Transitions, name) for name in NAMES)
    return None if own or not isinstance(sampler, Transitions) else sampler


def added(x: Tensor, scale: float, noise: Tensor | None) -> Tensor:
    """``x + scale noise``, and x itself without a noise; of many rows only the first k may have a noise, ``[k,
    *shape]``; the others stay as they are.
    """
    if noise is None:
        return x
    if noise.ndim == x.ndim and len(noise) < len(x) and hasattr(scale, "shape"):
        import torch

        few: Any = scale
        return torch.cat([x[: len(noise)] + few[: len(noise)] * noise, x[len(noise) :]])
    return x + scale * noise


def grown(x: Tensor, scale: float, noise: Tensor | None) -> Tensor:
    """The same as :func:`added`, in place: for a tensor that nobody else holds."""
    if noise is None:
        return x
    if noise.ndim == x.ndim and hasattr(scale, "shape"):
        few: Any = scale
        x[: len(noise)] += few[: len(noise)] * noise
    else:
        x += scale * noise
    return x
