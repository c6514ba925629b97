"""Z-Image (Tongyi 2025, arXiv 2511.22699)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.models.flow import FlowSettings, stepped
from tts.models.prompts import Encoded
from tts.models.text_to_image import chat
from tts.samplers.settings import InterpolantByDefault

if TYPE_CHECKING:
    from torch import Tensor


class ZImage(FlowSettings):
    """Z-Image: a text-to-image flow, the turbo model at 1024x1024 by default.

    ``guidance`` is the pipeline's ``guidance_scale`` plus 1, as the pipeline's number excludes the prompt's own answer.
    """

    PIPELINE: ClassVar[str] = "ZImagePipeline"
    COMPONENTS: ClassVar[dict[str, str]] = {
        "transformer": "ZImageTransformer2DModel",
        "vae": "AutoencoderKL",
        "text_encoder": "transformers",
    }
    SCALE: ClassVar[float] = 1.0
    TOKENIZER: ClassVar[tuple[str, int]] = ("tokenizer", 512)

    id: str = Field("Tongyi-MAI/Z-Image-Turbo", description="local folder, or name on the hub")
    sampler: InterpolantByDefault = stepped(9)

    def tokens(self, tokenizer: Any, prompt: str) -> list[int]:
        """Tokens of a chat with the prompt."""
        return chat(tokenizer, prompt, thinks=True)

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """Qwen3's next-to-last states, one for each token of the prompt."""
        text = (self.negative_prompt or "") if prompt is None else prompt
        return {"tokens": pipeline.encode_prompt(text, device, do_classifier_free_guidance=False)[0][0]}

    def collate(self, encoded: Sequence[Encoded]) -> list[Tensor]:
        """A list of prompts, each with its own length."""
        return [prompt["tokens"] for prompt in encoded]

    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """The network's answer with the sign changed."""
        import torch

        answers = network(list(x[:, :, None].unbind()), 1 - s, texts, return_dict=False)[0]
        return -torch.stack(answers)[:, :, 0]
