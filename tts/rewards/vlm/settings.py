"""Shared settings of rewards by vision-language models: files, digests, loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from tts.errors import WeightsError
from tts.files.digests import sha256
from tts.files.hub import folder
from tts.precision import Precision, dtype
from tts.rewards.transformers_files import architecture, load_network, load_processor, weight_files
from tts.rewards.vlm.chat import Chat
from tts.settings import Settings

TEXTS = ("*.json", "*.txt", "*.jinja", "*.model")
"""Configurations, vocabularies and chat templates."""
WEIGHTS = ("*.safetensors",)


class VisionLanguageSettings(Settings):
    """A model of transformers that reads images and texts; no code of its folder is run.

    Rewards of a single image also inherit ``RewardSettings``.
    """

    id: str = Field(description="folder, or name on the hub, of the model in transformers' form")
    precision: Precision = Field("bf16", description="of the network")

    kinds: ClassVar[tuple[str, ...]] = (
        "Qwen2VLForConditionalGeneration",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen3VLForConditionalGeneration",
        "LlavaOnevisionForConditionalGeneration",
    )
    """Networks whose answers this package is known to read correctly."""

    def check(self) -> None:
        """Find the files, which are downloaded if needed, and read their configurations; raises a ``TTSError``."""
        self._kind()
        weight_files(self._folder(), self.id)
        self._processor()

    def identity(self) -> dict[str, Any]:
        """The settings, with the digests of the model's files in place of its name."""
        files = [*weight_files(self._folder(), self.id), *self._texts()]
        return {**self.record(), "id": {file.name: sha256(file, "id") for file in files}}

    def chat(self, device: str) -> Chat:
        """The model on a device.

        Raises:
            WeightsError: a file is missing, damaged or for another network.
        """
        from tts.networks.placing import place

        model = load_network(self._folder(), self._kind(), dtype(self.precision), "id", self.id)
        return Chat(place(model, device), self._processor(), device)

    def _folder(self) -> Path:
        return folder(self.id, (*TEXTS, *WEIGHTS), "id")

    def _texts(self) -> list[Path]:
        return sorted(file for kind in TEXTS for file in self._folder().glob(kind))

    def _kind(self) -> str:
        return architecture(self._folder(), self.kinds, "id", self.id)

    def _processor(self) -> Any:
        found = load_processor(self._folder(), "id", self.id)
        if getattr(found, "chat_template", None) is None:
            raise WeightsError(f"id {self.id}: has no chat template (chat_template.jinja or chat_template.json)")
        return found
