"""Requests to an engine and its answers; without torch, as drivers need them too."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, NamedTuple

from tts.search.segment import Segment, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EvalRequest(NamedTuple):
    """A segment with the ticket under which its result is returned and its state is kept.

    ``rewards`` names the rewards that score its image if several searches ask for the same segment; None: the segment's
    own. ``left`` is the number of steps that the search still needs one after another, including the segment's, as far
    as it is known.
    """

    ticket: int
    segment: Segment
    rewards: tuple[str, ...] | None = None
    left: int = 0

    @property
    def wants(self) -> tuple[str, ...]:
        """The rewards that score its image; if there are none, the image is not decoded."""
        return self.segment.rewards if self.rewards is None else self.rewards

    @property
    def state(self) -> int:
        """The key of its final state: its own ticket, or the start's key if it takes no step."""
        start = self.segment.start
        return start.key if isinstance(start, State) and not self.segment.noises else self.ticket


@dataclass
class EvalResult:
    """The result and the cost of a job.

    Args:
        ticket: the job's ticket.
        scores: values of the requested rewards; None for an image that could not be scored.
        nfe: denoiser forwards spent on it.
        seconds: its share of the device's time.
        decodes, reward_calls: images decoded and rewards computed for it.
        image: the PNG file's bytes, if all rewards were requested.
        image_sha256: SHA-256 of its pixels.
        errors: why rewards or metrics failed on it, by their names.
        features: features ``[F]`` of the final image, by extractor; None where they are not finite.
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
        rows: rows of the passes that were not padding.
        seconds: seconds inside the passes.
        decode, reward: seconds of decoding, and of rewards on the device, during which no pass ran.
        noise: seconds of making noises for which the device waited.
        idle: seconds without anything to do. The rest of the time is the host's own work.
        awaiting: the idle seconds in which rewards beside the device were awaited.
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
