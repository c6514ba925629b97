"""Brightness: how light an image is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tts.plan import Condition
from tts.rewards.base import Caption, Reward, RewardSettings, Score

if TYPE_CHECKING:
    from torch import Tensor


class Brightness(RewardSettings):
    """Mean of 0.2126 R + 0.7152 G + 0.0722 B over pixels in [0, 1]."""

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The reward; it has no weights and uses no device."""
        return BrightnessReward()


class BrightnessReward:
    """Mean luminance in [0, 1] (weights of ITU-R BT.709). Sums are of integers, so the value is exact anywhere."""

    host = False

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """The mean Rec. 709 luma of each image, 0 to 1, from exact integer sums."""
        scale = 255.0 * images.shape[2] * images.shape[3]
        sums = images.long().sum(dim=(2, 3)).tolist()
        return [(0.2126 * red + 0.7152 * green + 0.0722 * blue) / scale for red, green, blue in sums]
