r"""Transitions as numbers and arithmetic, so that the arithmetic of many trajectories is done at once.

The numbers of a step (levels, weights) depend on its index; the arithmetic does not. A sampler that separates the two
is written once and serves two cases. For one trajectory, the state has no batch dimension and the numbers are Python
floats. For R trajectories at different steps, the states are ``[R, *shape]`` and the numbers are float32 tensors
``[R, 1, ..., 1]``. On a CPU, torch rounds a Python float to float32 before it multiplies a float32 tensor by it, so
both cases give the same bits. (On a GPU the last bit may differ: division by a Python float is a product with its
reciprocal, division by a tensor is exact. Engines always use tensors.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from tts.samplers.base import Position, Step

NAMES = ("initial", "step", "back", "leap")
"""Names of the methods that :class:`Transitions` derives."""


class Transition(NamedTuple):
    """One transition of a trajectory.

    Args:
        run: its arithmetic: takes a position, numbers and a noise, and returns a coroutine of calls. Transitions with
            the same ``run`` are computed together, so ``run`` must do to each row what it does to a single one. The
            level of a call must be one of the numbers.
        numbers: a NamedTuple of floats.
    """

    run: Callable[[Position, Any, Tensor | None], Step]
    numbers: Any = ()

    def of(self, at: Position, noise: Tensor | None) -> Step:
        """The coroutine of one trajectory."""
        return self.run(at, self.numbers, noise)


class Transitions(ABC):
    """Derives the coroutines of a :class:`tts.samplers.base.Sampler` from transitions."""

    @abstractmethod
    def opening(self) -> Transition:
        """The transition to the first position; it starts from a position whose state is the unit normal noise."""

    @abstractmethod
    def stepping(self, index: int, injected: bool) -> Transition:
        """The transition of step ``index``, with its noise or deterministic."""

    @abstractmethod
    def returning(self, index: int, to: int) -> Transition:
        """The transition with noise from a position after ``index`` steps back to the level before step ``to``."""

    @abstractmethod
    def leaping(self, index: int, to: int) -> Transition:
        """The transition without noise from a position after ``index`` steps to the level after ``to`` steps."""

    def initial(self, noise: Tensor) -> Step:
        """Go to the first position from ``noise``, which is unit normal and has the state's shape."""
        from tts.samplers.base import Position

        return self.opening().of(Position(noise, noise), None)

    def step(self, at: Position, index: int, noise: Tensor | None) -> Step:
        """Take step ``index`` (0-based) from a position; ``noise`` is unit normal; None: the deterministic step."""
        return self.stepping(index, noise is not None).of(at, noise)

    def back(self, at: Position, index: int, to: int, noise: Tensor) -> Step:
        """Add unit normal noise to go from a position after ``index`` steps back to the level before step ``to``."""
        return self.returning(index, to).of(at, noise)

    def leap(self, at: Position, index: int, to: int) -> Step:
        """Go from a position after ``index`` steps to the level after ``to`` steps, by one step without noise."""
        return self.leaping(index, to).of(at, None)


def apart(sampler: object) -> Transitions | None:
    """The sampler itself if its coroutines are those that :class:`Transitions` derives; else None."""
    own = any(getattr(type(sampler), name, None) is not getattr(Transitions, name) for name in NAMES)
    return None if own or not isinstance(sampler, Transitions) else sampler


def added(x: Tensor, scale: float, noise: Tensor | None) -> Tensor:
    """``x + scale noise``; x itself where ``noise`` is None.

    For ``[R, *shape]`` states, the noise may be ``[k, *shape]``: it is added to the first k rows only.
    """
    if noise is None:
        return x
    if noise.ndim == x.ndim and len(noise) < len(x) and hasattr(scale, "shape"):
        import torch

        few: Any = scale
        return torch.cat([x[: len(noise)] + few[: len(noise)] * noise, x[len(noise) :]])
    return x + scale * noise


def grown(x: Tensor, scale: float, noise: Tensor | None) -> Tensor:
    """Like :func:`added`, in place: for a tensor that nobody else holds."""
    if noise is None:
        return x
    if noise.ndim == x.ndim and hasattr(scale, "shape"):
        few: Any = scale
        x[: len(noise)] += few[: len(noise)] * noise
    else:
        x += scale * noise
    return x
