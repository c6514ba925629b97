"""LAION's aesthetic predictor (Schuhmann et al. 2022, arXiv 2210.08402, Sec. 3.2): a head on CLIP's image embedding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.errors import WeightsError
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.plan import Condition
from tts.rewards import aesthetic_head
from tts.rewards.aesthetic_head import Activation
from tts.rewards.base import Caption, Reward, Score
from tts.rewards.contrastive import ContrastiveSettings
from tts.rewards.encoders import Encoders
from tts.rewards.preprocess import by_row

if TYPE_CHECKING:
    from torch import Tensor, nn

PUBLISHED = (
    "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/sac+logos+ava1-l14-linearMSE.pth"
)


class Aesthetic(ContrastiveSettings):
    """How much people like an image, on a scale of about 1 to 10, whatever it shows."""

    reads_prompts: ClassVar[bool] = False
    younger: ClassVar[tuple[str, ...]] = (*ContrastiveSettings.younger, "activation")

    head: str = Field(PUBLISHED, description="file or address of the head's state_dict (layers.0.weight, ...)")
    activation: Activation | None = Field(
        None, description="between the head's layers: linear (none) or relu; default: known from the file's digest"
    )

    @property
    def path(self) -> Path:
        """The head's file; if the setting is an address, it is downloaded once."""
        return locate(self.head, "head", aesthetic_head.PUBLISHED_SHA256 if self.head == PUBLISHED else None)

    def check(self) -> None:
        """Check the encoders, and read the head."""
        super().check()
        self._head()

    def identity(self) -> dict[str, Any]:
        """The identity of the encoders, the head's digest, and the activation between its layers if there is one."""
        between = aesthetic_head.activation_of(self.path, self.head, self.activation)
        found = {**super().identity(), "head": sha256(self.path, "head"), "activation": between}
        return {name: value for name, value in found.items() if (name, value) != ("activation", "linear")}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The CLIP encoders and the head on a device."""
        head, encoders = self._head(), self.encoders(device)
        width = encoders.texts(["a"]).shape[1]
        if head[0].in_features != width:
            raise WeightsError(
                f"head {self.head}: takes embeddings of {head[0].in_features} numbers, but those of {self.model} "
                f"have {width}; set model"
            )
        return AestheticReward(encoders, head.to(device))

    def _head(self) -> nn.Sequential:
        between = aesthetic_head.activation_of(self.path, self.head, self.activation)
        return aesthetic_head.read(self.path, self.head, between)


class AestheticReward:
    """The head's value of each image's embedding of length 1."""

    host = False

    def __init__(self, encoders: Encoders, head: nn.Sequential) -> None:
        self.encoders, self.head = encoders, head

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """The head's rating of each image's embedding."""
        values: list[Score] = by_row(self.head, self.encoders.images(images))[:, 0].tolist()
        return values
