"""What a scorer is asked, what it answers, and which requests share a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from tts.engine.features import Features
from tts.plan import Condition
from tts.rewards.base import Score
from tts.search.segment import ALL


class ScoreRequest(NamedTuple):
    """A clean state to be scored by some rewards; with :data:`tts.search.segment.ALL` by all, and rendered.

    Args:
        preview: decode it by the model's cheaper means for predicted images.
        final: the state that the image is of, by its key, where it is the last of a trajectory.
        level: of the noise in the state that the image was predicted from.
    """

    ticket: int
    clean: Tensor
    condition: Condition
    rewards: tuple[str, ...]
    preview: bool = False
    final: int | None = None
    level: float = 0.0

    def asks(self, name: str) -> bool:
        """Whether it is to be scored by a reward."""
        return name in self.rewards or ALL in self.rewards


@dataclass
class ScoreResult:
    """The result of a :class:`ScoreRequest`.

    Args:
        scores: values by reward.
        image, image_sha256: PNG bytes and the pixels' digest, if it was rendered.
        seconds: of the device, for decoding and for rewards there.
        errors: why rewards or metrics failed, by their names.
        features: of rendered images, by extractor.
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
    """A request at work: its image, if one is kept, and its result."""

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
