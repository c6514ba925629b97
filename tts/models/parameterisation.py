"""What a network predicts, independent of the sampler: noise, velocity, the clean state or a flow's velocity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Parameterisation(ABC):
    r"""How the clean state D of :math:`x = a D + s\epsilon` follows from a network's output."""

    def clean(self, x: Tensor, output: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """The clean state that follows from an output, ``[B, ...]`` float32.

        Args:
            x, output: states and the network's answers to them, ``[B, ...]`` float32.
            signal, noise: ``a`` and ``s`` of each row, ``[B]`` float64.
        """
        return self.solved(x, output, _rows(signal, x), _rows(noise, x))

    @abstractmethod
    def solved(self, x: Tensor, output: Tensor, a: Tensor, s: Tensor) -> Tensor:
        """:meth:`clean` with ``a`` and ``s`` in the state's precision, ready to multiply it."""


class Epsilon(Parameterisation):
    r"""The noise: :math:`D = (x - s\,\epsilon)/a` (Ho et al. 2020, arXiv 2006.11239, Eq. 15); needs a > 0."""

    def solved(self, x: Tensor, output: Tensor, a: Tensor, s: Tensor) -> Tensor:
        """:meth:`clean` with ``a`` and ``s`` in the state's precision, ready to multiply it."""
        return (x - s * output) / a


class Velocity(Parameterisation):
    r""":math:`v = a\epsilon - s D` where :math:`a^2 + s^2 = 1`, so that :math:`D = a x - s v`.

    (Salimans and Ho 2022, arXiv 2202.00512, App. D.)
    """

    def solved(self, x: Tensor, output: Tensor, a: Tensor, s: Tensor) -> Tensor:
        """:meth:`clean` with ``a`` and ``s`` in the state's precision, ready to multiply it."""
        return a * x - s * output


class Sample(Parameterisation):
    """The clean state itself."""

    def solved(self, x: Tensor, output: Tensor, a: Tensor, s: Tensor) -> Tensor:
        """:meth:`clean` with ``a`` and ``s`` in the state's precision, ready to multiply it."""
        return output


class FlowVelocity(Parameterisation):
    r""":math:`v = \epsilon - D` on straight paths, :math:`a = 1 - s`, so that :math:`D = x - s v`.

    (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003.) Some networks have the other sign; their
    families negate the output.
    """

    def solved(self, x: Tensor, output: Tensor, a: Tensor, s: Tensor) -> Tensor:
        """:meth:`clean` with ``a`` and ``s`` in the state's precision, ready to multiply it."""
        return x - s * output


PARAMETERISATIONS: dict[str, Parameterisation] = {
    "epsilon": Epsilon(),
    "v_prediction": Velocity(),
    "sample": Sample(),
    "flow_velocity": FlowVelocity(),
}
"""Parameterisations by name; the first three names are diffusers'."""


def _rows(scale: Tensor, x: Tensor) -> Tensor:
    """``[B]`` in the precision of ``x`` ``[B, ...]`` and in a shape that broadcasts to it."""
    return scale.to(x.dtype).view(-1, *[1] * (x.ndim - 1))
