"""Aesthetic predictor v2.5 (discus0434 2024): a head on SigLIP's image embedding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.errors import WeightsError
from tts.files.digests import sha256
from tts.files.hub import folder
from tts.files.locate import locate
from tts.models.parts import check_told
from tts.plan import Condition
from tts.precision import Precision, dtype
from tts.quiet import quiet
from tts.rewards import aesthetic_head
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.encoders import unit
from tts.rewards.preprocess import Preprocess, by_row
from tts.rewards.published_configs import squash_of
from tts.rewards.transformers_files import explained, weight_files

if TYPE_CHECKING:
    from torch import Tensor, nn

PUBLISHED = (
    "https://github.com/discus0434/aesthetic-predictor-v2-5/raw/c0e15567fa61252cbff43d70c49a8bd27202ca9a/"
    "models/aesthetic_predictor_v2_5.pth"
)
PUBLISHED_SHA256 = "a6caf256b3dc434273c98dcb12f6bf17c5d4fc647d8df11f038386923dd06220"
FILES = ("config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json")
OTHERS = re.compile(r"text_model\.|logit_(scale|bias)$")
"""Tensors of the whole network that the image encoder does not use."""


class AestheticV25(RewardSettings):
    """How much people like an image, on a scale of about 1 to 10, whatever it shows; it also judges drawings."""

    id: str = Field("google/siglip-so400m-patch14-384", description="folder, or name on the hub, of SigLIP")
    head: str = Field(PUBLISHED, description="file or address of the head's state_dict (scoring_head.0.weight, ...)")
    precision: Precision = Field("bf16", description="precision of the encoder; the head is in fp32")

    def check(self) -> None:
        """Find the encoder and read the head; both are downloaded if they are not on this machine."""
        weight_files(self._folder(), self.id)
        self._prepare()
        self._head()

    def identity(self) -> dict[str, Any]:
        """The settings, with digests in place of names and addresses."""
        files = [*(self._folder() / name for name in FILES[:2]), *weight_files(self._folder(), self.id)]
        found = {file.name: sha256(file, "id") for file in files}
        return {**self.record(), "id": found, "head": sha256(self._path(), "head")}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The encoder and its head.

        Raises:
            WeightsError: a file is damaged or of another network, or the two do not fit each other.
        """
        from tts.networks.placing import place

        encoder, head = self._encoder(), self._head()
        if head[0].in_features != encoder.config.hidden_size:
            raise WeightsError(
                f"head {self.head}: takes embeddings of {head[0].in_features} numbers, but those of {self.id} "
                f"have {encoder.config.hidden_size}; set id"
            )
        return AestheticV25Reward(place(encoder, device), place(head, device), self._prepare(), device)

    def _folder(self) -> Path:
        return folder(self.id, FILES, "id")

    def _path(self) -> Path:
        return locate(self.head, "head", PUBLISHED_SHA256 if self.head == PUBLISHED else None)

    def _head(self) -> nn.Sequential:
        return aesthetic_head.read(self._path(), self.head, "linear", "scoring_head")

    def _prepare(self) -> Preprocess:
        return squash_of(self._folder(), "id")

    def _encoder(self) -> Any:
        from transformers import SiglipVisionModel

        with quiet(), explained(self.id, "id"):
            network, told = SiglipVisionModel.from_pretrained(
                self._folder(), dtype=dtype(self.precision), use_safetensors=True, output_loading_info=True
            )
            check_told(told, "SigLIP", OTHERS)
        return network


class AestheticV25Reward:
    """The head's value of each image's embedding of length 1."""

    host = False

    def __init__(self, encoder: Any, head: nn.Sequential, prepare: Preprocess, device: str) -> None:
        self.encoder, self.head, self.prepare, self.device = encoder, head, prepare, device

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """The predicted aesthetic rating of each image, about 1 to 10."""
        pixels = self.prepare(images.to(self.device)).to(self.encoder.dtype)
        values: list[Score] = by_row(self._one, pixels)[:, 0].tolist()
        return values

    def _one(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.head(unit(self.encoder(pixel_values=pixels).pooler_output))
        return found
