"""Guidance: combine answers of networks to several conditions, under any sampler.

Most kinds are linear in the answers, so they work for anything that the network predicts. ``passes`` is the number of
forwards that one guided answer takes. All rows of a batch are guided alike, and a row does not depend on the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from tts.plan import Condition

if TYPE_CHECKING:
    from torch import Tensor

Network: TypeAlias = "Callable[..., Tensor]"
"""``(x [B, ...], levels [B], conditions) -> [B, ...]``; None asks for the answer without a condition."""


class Guidance(Protocol):
    """A way of asking a network."""

    @property
    def passes(self) -> int:
        """Forwards of a network that one answer takes."""
        ...

    def __call__(self, network: Network, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The guided answer to states ``x [B, ...]`` at levels ``[B]``; ``[B, ...]`` float32."""
        ...


@dataclass(frozen=True)
class Unguided:
    """No guidance: the network's own answer."""

    passes: ClassVar[int] = 1

    def __call__(self, network: Network, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The network's answer, float32."""
        return network(x, levels, conditions).float()


@dataclass(frozen=True)
class ClassifierFree:
    """``u + scale (c - u)``: away from the answer u without a condition, towards the answer c with it, and beyond.

    (Ho and Salimans 2022, arXiv 2207.12598, Eq. 6, whose w is ``scale - 1``.) Both answers come from one batch of 2B
    rows, those without a condition first.
    """

    scale: float
    passes: ClassVar[int] = 2

    def __call__(self, network: Network, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The guided answer, float32."""
        import torch

        both = network(torch.cat([x, x]), torch.cat([levels, levels]), [*[None] * len(conditions), *conditions])
        without, with_condition = both.float().chunk(2)
        return without + self.scale * (with_condition - without)


@dataclass(frozen=True)
class PartlyFree:
    """Classifier-free guidance of some channels at some levels; elsewhere the answer with the condition.

    Both answers are computed at all levels, so that every prediction takes the same number of forwards.

    Args:
        scale: scale of the guidance.
        channels: number of leading channels that are guided; None: all.
        levels: least and greatest level at which there is guidance, both inclusive (Kynkäänniemi et al. 2024, arXiv
            2404.07724).
    """

    scale: float
    channels: int | None = None
    levels: tuple[float, float] = (-math.inf, math.inf)
    passes: ClassVar[int] = 2

    def __call__(self, network: Network, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The guided answer, float32."""
        import torch

        both = network(torch.cat([x, x]), torch.cat([levels, levels]), [*[None] * len(conditions), *conditions])
        without, with_condition = both.float().chunk(2)
        here = ((levels >= self.levels[0]) & (levels <= self.levels[1])).view(-1, *[1] * (x.ndim - 1))
        guided = torch.where(here, without + self.scale * (with_condition - without), with_condition)
        count = x.shape[1] if self.channels is None else self.channels
        return torch.cat([guided[:, :count], with_condition[:, count:]], dim=1)


@dataclass(frozen=True)
class Renormalised:
    """Classifier-free guidance, scaled part by part to the norm of the answer with the condition.

    It is not linear in the answers, so it is only for networks that answer with the velocity (Lumina-Image 2,
    Qwen-Image).

    Args:
        scale: scale of the guidance.
        norm: norms of the parts of an answer ``[B, ...]``, in a shape that broadcasts to it.
    """

    scale: float
    norm: Callable[[Tensor], Tensor]
    passes: ClassVar[int] = 2

    def __call__(self, network: Network, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The guided answer, float32."""
        import torch

        both = network(torch.cat([x, x]), torch.cat([levels, levels]), [*[None] * len(conditions), *conditions])
        without, with_condition = both.float().chunk(2)
        guided = without + self.scale * (with_condition - without)
        return guided * (self.norm(with_condition) / self.norm(guided))


@dataclass(frozen=True)
class Embedded:
    """Guidance by a network that was distilled to answer in one pass (Meng et al. 2023, arXiv 2210.03142).

    The network takes the scale as its fourth argument, ``[B]`` float64.
    """

    scale: float
    passes: ClassVar[int] = 1

    def __call__(self, network: Network, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The network's answer, float32."""
        import torch

        scale = torch.full((len(x),), self.scale, dtype=torch.float64, device=x.device)
        return network(x, levels, conditions, scale).float()


@dataclass(frozen=True)
class Autoguidance:
    """``w + scale (n - w)``: from a weaker network's answer w to the network's own n, and beyond.

    (Karras et al. 2024, arXiv 2406.02507, Eq. 3.) The weaker network's forwards count like the network's own, though
    they may be cheaper.
    """

    scale: float
    weaker: Network
    passes: ClassVar[int] = 2

    def __call__(self, network: Network, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The guided answer, float32."""
        weak = self.weaker(x, levels, conditions).float()
        return weak + self.scale * (network(x, levels, conditions).float() - weak)


def classifier_free(scale: float) -> Guidance:
    """Classifier-free guidance; a scale of 1 gives no guidance, at half the forwards."""
    return ClassifierFree(scale) if scale > 1 else Unguided()
