"""What an engine is asked and what it answers; free of torch, as drivers need it too."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, NamedTuple

from tts.search.segment import Segment, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EvalRequest(NamedTuple):
    """A segment with the ticket under which its outcome comes back and its state is kept.

    ``rewards``: those that its image is scored by, where several searches ask for the same segment; left out: the
    segment's own. ``left``: steps that whoever asks still needs one after another, those of the segment among them,
    as far as that is known.
    """

    ticket: int
    segment: Segment
    rewards: tuple[str, ...] | None = None
    left: int = 0

    @property
    def wants(self) -> tuple[str, ...]:
        """The rewards that its image is scored by; none: it is not even decoded."""
        return self.segment.rewards if self.rewards is None else self.rewards

    @property
    def state(self) -> int:
        """The key of the state that it ends at: its own, or of the state at which it stays."""
        start = self.segment.start
        return start.key if isinstance(start, State) and not self.segment.noises else self.ticket


@dataclass
class EvalResult:
    """The result of a job, and what it cost.

    Args:
        ticket: the job's.
        scores: the rewards that were asked for; None for an image that could not be scored.
        nfe: denoiser forwards spent on it.
        seconds: its share of the device's time.
        decodes, reward_calls: images decoded and rewards computed for it.
        image: the PNG, where everything was asked for.
        image_sha256: of its pixels.
        errors: why rewards or metrics failed on it, by their names.
        features: of the final image by extractor, ``[F]``; None where they are not finite.
    """

    ticket: int
    scores: dict[str, float | None] = field(default_factory=dict)
    nfe: int = 0
    seconds: float = 0.0
    decodes: int = 0
    reward_calls: int = 0
    image: bytes | None = None
    image_sha256: str | None = None
    errors: dict[str, str] = field(default_factory=dict)
    features: dict[str, NDArray[np.float32] | None] = field(default_factory=dict)


@dataclass
class EngineCounters:
    """An engine's work so far.

    Args:
        batches: forward passes.
        rows: rows of them that were not padding.
        seconds: inside them.
        decode, reward: seconds of decoding, and of rewards on the device, in which no pass ran beside them.
        noise: seconds of making noises that the device waited for.
        idle: seconds without anything to do. What is left of the time is the host's own work.
        awaiting: of the idle seconds those in which rewards beside the device were awaited.
    """

    batches: int = 0
    rows: int = 0
    seconds: float = 0.0
    decode: float = 0.0
    reward: float = 0.0
    noise: float = 0.0
    idle: float = 0.0
    awaiting: float = 0.0

    def __add__(self, other: EngineCounters) -> EngineCounters:
        return EngineCounters(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def __sub__(self, other: EngineCounters) -> EngineCounters:
        return EngineCounters(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(self)))
