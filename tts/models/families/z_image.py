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
    """Z-Image: a flow from prompts, the turbo model at 1024x1024 by default.

    ``guidance`` is one more than the pipeline's ``guidance_scale``, which counts what is added to the prompt's answer.
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
        """A chat's."""
        return chat(tokenizer, prompt)

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """Qwen3's last states but one, of as many tokens as the prompt has."""
        text = (self.negative_prompt or "") if prompt is None else prompt
        return {"tokens": pipeline.encode_prompt(text, device, do_classifier_free_guidance=False)[0][0]}

    def collate(self, encoded: Sequence[Encoded]) -> list[Tensor]:
        """Prompts of their own lengths."""
        return [prompt["tokens"] for prompt in encoded]

    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """Minus the network's answer."""
        import torch

        answers = network(list(x[:, :, None].unbind()), 1 - s, texts, return_dict=False)[0]
        return -torch.stack(answers)[:, :, 0]
