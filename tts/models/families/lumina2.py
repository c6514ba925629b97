"""Lumina-Image 2 (Qin et al. 2025, arXiv 2503.21758)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.models.flow import FlowSettings, stepped
from tts.models.guidance import Guidance, Renormalised, Unguided
from tts.models.parts import pipeline_of
from tts.models.prompts import Encoded
from tts.samplers.settings import InterpolantByDefault

if TYPE_CHECKING:
    from torch import Tensor


class Lumina2(FlowSettings):
    """Lumina-Image 2: a text-to-image flow, 1024x1024 by default."""

    PIPELINE: ClassVar[str] = "Lumina2Pipeline"
    COMPONENTS: ClassVar[dict[str, str]] = {
        "transformer": "Lumina2Transformer2DModel",
        "vae": "AutoencoderKL",
        "text_encoder": "transformers",
    }
    SCALE: ClassVar[float] = 4.0
    TOKENIZER: ClassVar[tuple[str, int]] = ("tokenizer", 256)

    id: str = Field("Alpha-VLLM/Lumina-Image-2.0", description="local folder, or name on the hub")
    sampler: InterpolantByDefault = stepped(30)

    def guide(self) -> Guidance:
        """Classifier-free; each row of cells is scaled to the norm that it has in the answer with the prompt."""
        return Renormalised(self.scale, lambda x: x.norm(dim=-1, keepdim=True)) if self.scale > 1 else Unguided()

    def tokens(self, tokenizer: Any, prompt: str) -> list[int]:
        """Tokens of the pipeline's own system prompt and the prompt; only an object of its class has the former."""
        kind = pipeline_of(self.PIPELINE)
        empty: Any = kind(**dict.fromkeys(inspect.signature(kind).parameters))
        return super().tokens(tokenizer, f"{empty.system_prompt} <Prompt Start> {prompt}")

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """Gemma's next-to-last states; the pipeline's own system prompt precedes a prompt, but not a negative one."""
        negative = self.negative_prompt or ""
        found = pipeline.encode_prompt(prompt or "", prompt is None, negative_prompt=negative, device=device)
        tokens, mask = found[2:] if prompt is None else found[:2]
        return {"encoder_hidden_states": tokens[0], "encoder_attention_mask": mask[0]}

    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """The network's answer with the sign changed.

        The network pads prompts to the longest one of a batch. One more row, with a prompt of full length, keeps that
        length the same in every batch, so that a row does not depend on the others.
        """
        import torch

        full = {name: torch.cat([text, torch.ones_like(text[:1])]) for name, text in texts.items()}
        answer = network(torch.cat([x, x[:1]]), timestep=torch.cat([1 - s, 1 - s[:1]]), return_dict=False, **full)[0]
        found: Tensor = -answer[:-1]
        return found
