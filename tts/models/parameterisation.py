"""What a network predicts, apart from its sampler: noise, velocity, the clean state, the velocity of a flow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Parameterisation(ABC):
    r"""How a network's output stands for the clean state D of :math:`x = a D + s\epsilon`."""

    def clean(self, x: Tensor, output: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        """The clean state that an output stands for.

        Args:
            x, output: state and the network's answer to it, ``[B, ...]`` float32.
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

    (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003.) Networks of the other sign give ``-v``.
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
"""By name; the first three are diffusers' own."""


def _rows(scale: Tensor, x: Tensor) -> Tensor:
    """``[B]`` ready to multiply ``x``, ``[B, ...]``, in its precision."""
    return scale.to(x.dtype).view(-1, *[1] * (x.ndim - 1))
