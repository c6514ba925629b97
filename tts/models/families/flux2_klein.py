"""FLUX.2 klein (Black Forest Labs 2026)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from tts.models.checkpoint import INDEX
from tts.models.families.flux2 import Flux2
from tts.models.flow import stepped
from tts.models.guidance import Guidance, Unguided, classifier_free
from tts.models.prompts import Encoded
from tts.models.text_to_image import chat
from tts.samplers.settings import InterpolantByDefault


class Flux2Klein(Flux2):
    """FLUX.2 klein: 4B at 1024x1024 in 4 steps by default; the base models are guided."""

    PIPELINE: ClassVar[str] = "Flux2KleinPipeline"
    KEYS: ClassVar[dict[str, str]] = {"Flux2Transformer2DModel": "Flux2Transformer2DModel of klein"}

    id: str = Field("black-forest-labs/FLUX.2-klein-4B", description="local folder, or name on the hub")
    sampler: InterpolantByDefault = stepped(4)

    def guide(self) -> Guidance:
        """None where the model was distilled without guidance; else classifier-free."""
        if not self.checkpoint.config(INDEX).get("is_distilled"):
            return classifier_free(self.scale)
        self.refuse_scale()
        return Unguided()

    def tokens(self, tokenizer: Any, prompt: str) -> list[int]:
        """Tokens of a chat with the prompt, whose answer begins without thoughts."""
        return chat(tokenizer, prompt, thinks=False)

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """States of three layers of the text encoder, concatenated."""
        return super().encode(pipeline, (self.negative_prompt or "") if prompt is None else prompt, device)
