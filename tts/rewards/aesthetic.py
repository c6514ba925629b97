"""LAION's aesthetic predictor (Schuhmann et al. 2022, arXiv 2210.08402, Sec. 3.2): a head on CLIP's image embedding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.errors import WeightsError
from tts.files import tensors
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.plan import Condition
from tts.rewards.base import Caption, Reward, Score
from tts.rewards.contrastive import ContrastiveSettings
from tts.rewards.encoders import Encoders
from tts.rewards.preprocess import by_row

if TYPE_CHECKING:
    from torch import Tensor, nn

PUBLISHED = (
    "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/sac+logos+ava1-l14-linearMSE.pth"
)
PUBLISHED_SHA256 = "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"


class Aesthetic(ContrastiveSettings):
    """How much people like an image, on a scale of about 1 to 10, whatever it shows."""

    reads_prompts: ClassVar[bool] = False

    head: str = Field(PUBLISHED, description="file or address of the head's state_dict (layers.0.weight, ...)")

    @property
    def path(self) -> Path:
        """The head's file, fetched first if need be."""
        return locate(self.head, "head", PUBLISHED_SHA256 if self.head == PUBLISHED else None)

    def check(self) -> None:
        """Also reads the head."""
        super().check()
        self._head()

    def identity(self) -> dict[str, Any]:
        """See :class:`ContrastiveSettings`."""
        return {**super().identity(), "head": sha256(self.path, "head")}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """See :class:`tts.rewards.base.RewardSettings`."""
        head, encoders = self._head(), self.encoders(device)
        width = encoders.texts(["a"]).shape[1]
        if head[0].in_features != width:
            raise WeightsError(
                f"head {self.head}: is made for embeddings of {head[0].in_features} numbers, and those of {self.model} "
                f"have {width}; set model"
            )
        return AestheticReward(encoders, head.to(device))

    def _head(self) -> nn.Sequential:
        """The linear layers in the order of their numbers; between them were dropouts, which are off."""
        from torch import nn

        found = tensors.read(self.path, "head")
        places = sorted({int(match[1]) for name in found if (match := re.match(r"layers\.(\d+)\.weight$", name))})
        if not places or any(found[f"layers.{place}.weight"].ndim != 2 for place in places):
            raise WeightsError(f"head {self.head}: has no linear layers 'layers.0.weight', ...")
        with _meta():
            head = nn.Sequential(*(nn.Linear(*found[f"layers.{place}.weight"].shape[::-1]) for place in places))
        ours = {f"layers.{place}.": f"{k}." for k, place in enumerate(places)}
        renamed = {_renamed(name, ours): tensor.float() for name, tensor in found.items()}
        tensors.fill(head, renamed, f"head {self.head}")
        return head.eval().requires_grad_(False)


class AestheticReward:
    """The head's value of each image's embedding of length 1."""

    host = False

    def __init__(self, encoders: Encoders, head: nn.Sequential) -> None:
        self.encoders, self.head = encoders, head

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """See :class:`tts.rewards.base.Reward`."""
        values: list[Score] = by_row(self.head, self.encoders.images(images))[:, 0].tolist()
        return values


def _renamed(name: str, ours: dict[str, str]) -> str:
    return next((own + name.removeprefix(theirs) for theirs, own in ours.items() if name.startswith(theirs)), name)


def _meta() -> Any:
    import torch

    return torch.device("meta")
