"""The extractors that a configuration may name."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

from tts.metrics.extractors.clip import CLIP
from tts.metrics.extractors.dinov2 import DINOv2
from tts.metrics.extractors.inception import Inception
from tts.metrics.extractors.judge import Judge


def _named(given: Any) -> Any:
    return {"name": given} if isinstance(given, str) else given


Extractor: TypeAlias = Annotated[
    Annotated[Inception | DINOv2 | CLIP | Judge, Field(discriminator="name")], BeforeValidator(_named)
]
"""Settings of an extractor, or only its name."""
