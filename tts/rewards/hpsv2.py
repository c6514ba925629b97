"""Human Preference Score v2.1 (Wu et al. 2023, arXiv 2306.09341)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tts.rewards.base import Caption, Reward
from tts.rewards.clip import ClipReward
from tts.rewards.contrastive import ContrastiveSettings
from tts.rewards.preprocess import Mode


class HPSv2(ContrastiveSettings):
    """Cosine of image and prompt by CLIP ViT-H/14 fine-tuned on human preferences; images are padded to squares."""

    model: str = Field("ViT-H-14", description="open_clip's name, a folder in open_clip's form, or hf-hub:owner/name")
    pretrained: str = Field(
        "hf-hub:xswu/HPSv2/HPS_v2.1_compressed.pt", description="a file of weights, or hf-hub:owner/name/file"
    )

    resize_mode: ClassVar[Mode | None] = "longest"
    files_quick_gelu: ClassVar[bool | None] = False  # like the OpenCLIP model that it was tuned from

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The CLIP encoders on a device; a value is the cosine of their embeddings."""
        return ClipReward(self.encoders(device), caption)
