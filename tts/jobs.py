"""What an engine is asked and what it answers; without torch, as drivers need it too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tts.search.segment import Segment


class Job(NamedTuple):
    """A segment with the ticket under which its outcome comes back and its state is kept."""

    ticket: int
    segment: Segment


@dataclass
class Outcome:
    """What came of a job, and what it cost.

    Args:
        ticket: the job's.
        reward: value of the reward that the segment names, if any; None also when it could not be scored.
        nfe: denoiser forwards spent on it.
        seconds: its share of the device's time.
        decodes, reward_calls: images decoded and rewards computed for it.
        scores, image: every reward and the PNG, where the segment asked for all.
        error: why a reward failed on it, if one did.
    """

    ticket: int
    reward: float | None = None
    nfe: int = 0
    seconds: float = 0.0
    decodes: int = 0
    reward_calls: int = 0
    scores: dict[str, float | None] | None = None
    image: bytes | None = None
    error: str | None = None


@dataclass
class Load:
    """An engine's work so far: forward passes, rows of them that were not padding, seconds inside them."""

    batches: int = 0
    rows: int = 0
    seconds: float = 0.0
