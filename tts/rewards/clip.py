"""CLIP: how well an image matches its text (Hessel et al. 2021, arXiv 2104.08718, without the factor 2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tts.plan import Condition
from tts.rewards.base import Caption, Reward, Score
from tts.rewards.contrastive import ContrastiveSettings
from tts.rewards.encoders import Encoders, cosines

if TYPE_CHECKING:
    from torch import Tensor


class Clip(ContrastiveSettings):
    """Cosine of the embeddings of image and prompt, from any open_clip model; texts are cut at the model's length."""

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The CLIP encoders on a device."""
        return ClipReward(self.encoders(device), caption)


class ClipReward:
    """Cosine in [-1, 1] of each image with its own caption."""

    host = False

    def __init__(self, encoders: Encoders, caption: Caption) -> None:
        self.encoders, self.caption = encoders, caption

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """The cosine between each image's embedding and that of its caption, -1 to 1."""
        texts = self.encoders.texts([self.caption(condition) for condition in conditions])
        return [*cosines(self.encoders.images(images), texts)]
