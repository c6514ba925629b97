"""Compressibility: how small an image becomes as a JPEG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from tts.plan import Condition
from tts.rewards.base import Caption, Reward, RewardSettings, Score

if TYPE_CHECKING:
    from torch import Tensor

# Bytes at which the reward reaches 0, by image height: the paper's two sizes, and 32, where plain samples
# of the embedded model score about 0.5.
MAX_BYTES = {32: 2000, 64: 3000, 512: 150_000}


class Compressibility(RewardSettings):
    """1 - clip(bytes / max_bytes, 0, 1) of a JPEG."""

    quality: int = Field(80, ge=1, le=95, description="JPEG quality")
    max_bytes: int | None = Field(
        None, ge=1, description="size that scores 0; default: 2000 at 32 pixels, 3000 at 64, 150000 at 512"
    )

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The reward; it has no weights and uses no device."""
        return CompressibilityReward(self.quality, self.max_bytes)


class CompressibilityReward:
    """JPEG size as a reward in [0, 1]; between the known image heights ``max_bytes`` grows with the area."""

    host, divisible = True, True

    def __init__(self, quality: int, max_bytes: int | None) -> None:
        self.quality, self.max_bytes = quality, max_bytes

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """For each image, 1 minus the bytes of its JPEG over ``max_bytes``, clipped to [0, 1]."""
        limit = self.max_bytes or scale_to(images.shape[2])
        return [1.0 - min(1.0, self._bytes(image) / limit) for image in images.permute(0, 2, 3, 1)]

    def _bytes(self, image: Tensor) -> int:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(image.contiguous().numpy()).save(file, format="JPEG", quality=self.quality)
        return file.tell()


def scale_to(height: int) -> int:
    """``max_bytes`` of an image height: the known value, or that of the nearest known height scaled by area."""
    known = min(MAX_BYTES, key=lambda size: abs(size - height))
    return round(MAX_BYTES[known] * (height / known) ** 2)
