"""Requests to a scorer, its answers, and the kinds of requests that can share a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from tts.engine.features import Features
from tts.plan import Condition
from tts.rewards.base import Score
from tts.search.segment import ALL


class ScoreRequest(NamedTuple):
    """A clean state to be scored by some rewards; :data:`tts.search.segment.ALL` means all, and a PNG file.

    Args:
        preview: whether to use the model's cheaper decoder for predicted images.
        final: key of the state if it is the last of a trajectory; else None.
        level: noise level of the state from which the image was predicted.
    """

    ticket: int
    clean: Tensor
    condition: Condition
    rewards: tuple[str, ...]
    preview: bool = False
    final: int | None = None
    level: float = 0.0

    def asks(self, name: str) -> bool:
        """Whether a reward must score it."""
        return name in self.rewards or ALL in self.rewards


@dataclass
class ScoreResult:
    """The result of a :class:`ScoreRequest`.

    Args:
        scores: values by reward.
        image, image_sha256: PNG bytes and the pixels' digest, if it was rendered.
        seconds: the device's seconds for decoding and for rewards there.
        errors: why rewards or metrics failed, by their names.
        features: features of rendered images, by extractor.
        decodes: images decoded for it: 0 or 1.
    """

    ticket: int
    scores: dict[str, Score] = field(default_factory=dict)
    image: bytes | None = None
    image_sha256: str | None = None
    seconds: float = 0.0
    errors: dict[str, str] = field(default_factory=dict)
    features: dict[str, Features | None] = field(default_factory=dict)
    decodes: int = 0


class Row(NamedTuple):
    """A request that is being processed: its image, if one is kept, and its result."""

    request: ScoreRequest
    kept: Tensor | None
    result: ScoreResult


class Kind(NamedTuple):
    """Requests that can share a batch."""

    preview: bool
    looked_at: bool
    kept: bool


KINDS = [
    Kind(preview, looked_at, kept) for looked_at in (False, True) for preview in (False, True) for kept in (False, True)
]
