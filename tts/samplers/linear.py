"""The base of samplers that step from one mixture of signal and noise to the next by one prediction."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from tts.plan import Plan
from tts.samplers.transitions import Transition, Transitions, added, grown

if TYPE_CHECKING:
    from torch import Tensor

    from tts.samplers.base import Position, Step

TINY = 1e-12
"""Signal that a plan states for a level without signal, where noise over signal would be infinite."""

FORGOTTEN = 0.1
"""A step replaces the initial noise if it keeps less of it than this share of its own fresh noise."""


class Weights(NamedTuple):
    r"""Numbers of a step: :math:`e = (x - a D)/s`, then :math:`x' = a' D + k e + w z`.

    Args:
        signal, noise: ``a`` and ``s`` of the state before the step.
        clean: ``a'``, the factor of the prediction D.
        kept: ``k``, the factor of the noise e that the state holds.
        fresh: ``w``, the factor of the step's own noise z.
        time: what the denoiser is told after the step; the sampler sets it.
    """

    signal: float
    noise: float
    clean: float
    kept: float
    fresh: float
    time: float = 0.0


class LinearSampler(Transitions):
    r"""Steps of a state :math:`x = a D + s e` with clean part D and unit noise e.

    A step ends with the prediction at the *new* level. A candidate is judged by it, and the next step starts from it,
    so no prediction is paid for twice. The last step needs no such prediction. A step without noise is deterministic.
    """

    times: tuple[float, ...]
    """What the denoiser is told before each step."""
    clip: float | None
    """Predictions are clipped to [-clip, clip] before a step; None: they are not."""

    @abstractmethod
    def weights(self, index: int, injected: bool) -> Weights:
        """Numbers of step ``index``, with its noise or deterministic."""

    @abstractmethod
    def renoising(self, index: int, to: int) -> tuple[float, float]:
        """Factors of the state and of a unit noise, to go back from ``index`` steps to the level before step ``to``."""

    @property
    @abstractmethod
    def levels(self) -> tuple[float, ...]:
        """Noise over signal (both as deviations), before each step and after the last."""

    def opened(self, noise: Tensor) -> Tensor:
        """The first state, from a unit normal noise."""
        return noise

    @cached_property
    def plan(self) -> Plan:
        """One call before the first step, and one at the end of each step but the last; noise where ``w > 0``."""
        steps = len(self.times)
        calls = (1,) * (steps - 1) + (0,)
        weights = [self.weights(index, True) for index in range(steps)]
        return Plan(
            calls,
            tuple(each.fresh > 0 for each in weights),
            initial_nfe=1,
            levels=self.levels,
            back=1,
            leaps=calls,
            forgets_start=abs(weights[0].kept) < FORGOTTEN * weights[0].fresh,
        )

    def opening(self) -> Transition:
        """The first state, with its prediction."""
        return Transition(self._first, Timed(self.times[0]))

    def returning(self, index: int, to: int) -> Transition:
        """The way back to the level before step ``to``, with a prediction there."""
        kept, fresh = self.renoising(index, to)
        return Transition(self._renoised, Renoising(kept, fresh, self.times[to]))

    def stepping(self, index: int, injected: bool) -> Transition:
        """The transition of step ``index`` (0-based)."""
        return self._to(self.weights(index, injected), index + 1)

    def leaping(self, index: int, to: int) -> Transition:
        """One deterministic step, from the level before step ``index`` to the level to which step ``to - 1`` leads."""
        there = self.weights(to - 1, False)
        return self._to(self.weights(index, False)._replace(clean=there.clean, kept=there.kept), to)

    def _to(self, by: Weights, to: int) -> Transition:
        if to == len(self.times):
            return Transition(self._last, by)
        return Transition(self._next, by._replace(time=self.times[to]))

    def _first(self, at: Position, by: Timed, noise: Tensor | None) -> Step:
        from tts.samplers.base import Call, Position

        x = self.opened(at.x)
        return Position(x, (yield Call(x, by.time)))

    def _renoised(self, at: Position, by: Renoising, noise: Tensor | None) -> Step:
        from tts.samplers.base import Call, Position

        x = added(by.kept * at.x, by.fresh, noise)
        return Position(x, (yield Call(x, by.time)))

    def _next(self, at: Position, by: Weights, noise: Tensor | None) -> Step:
        from tts.samplers.base import Call, Position

        x = self._mixed(at, by, noise)
        return Position(x, (yield Call(x, by.time)))

    def _last(self, at: Position, by: Weights, noise: Tensor | None) -> Step:
        from tts.samplers.base import Position

        x = self._mixed(at, by, noise)
        return Position(x, x)
        yield  # a coroutine without calls

    def _mixed(self, at: Position, by: Weights, noise: Tensor | None) -> Tensor:
        e = at.x - by.signal * at.predicted
        e /= by.noise  # in place: each further tensor is one more pass through memory
        e *= by.kept
        e += (
            at.predicted.clamp(-self.clip, self.clip).mul_(by.clean)
            if self.clip is not None
            else by.clean * at.predicted
        )
        return grown(e, by.fresh, noise)


class Timed(NamedTuple):
    """The number of the first transition: the time that the denoiser is told."""

    time: float


class Renoising(NamedTuple):
    """Numbers of a way back: factors of the state and of the noise, and the time that the denoiser is told there."""

    kept: float
    fresh: float
    time: float
