"""A segment at work on an engine."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple, TypeAlias

from torch import Tensor

from tts.engine.requests import EvalRequest, EvalResult
from tts.noise import Noise
from tts.samplers.base import Call, Position, Sampler, follow, look_ahead, tensors
from tts.search.segment import Segment


class End(NamedTuple):
    """Where a segment's actions lead, and the clean state that is scored: the one predicted there, or ahead."""

    at: Position
    clean: Tensor


Steps: TypeAlias = Generator[Call, Tensor, End]


class Running:
    """A job at work: its coroutine of denoiser calls and the call that it waits for."""

    def __init__(self, job: EvalRequest, steps: Steps) -> None:
        self.job, self.steps = job, steps
        self.outcome = EvalResult(job.ticket)
        self.call: Call | None = None
        self.end: End | None = None

    def send(self, answer: Tensor | None) -> None:
        """Advance to the next call, or to the end."""
        try:
            self.call = self.steps.send(answer)  # type: ignore[arg-type]  # None starts a generator
        except StopIteration as stop:
            self.call, self.end = None, stop.value


def steps_of(segment: Segment, sampler: Sampler, start: Position | Tensor, make: Callable[[Noise], Tensor]) -> Steps:
    """All denoiser calls of a segment, one after another.

    Args:
        start: the position that it starts from, or its initial noise.
        make: the tensor of a noise.
    """
    actions = [tensors(action, make) for action in segment.noises]
    end = yield from follow(sampler, start, actions, segment.first)
    seen = yield from look_ahead(sampler, end, segment.stop, segment.ahead)
    return End(end, seen.predicted)
