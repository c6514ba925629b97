"""Sana (Xie et al. 2024, arXiv 2410.10629)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.models.flow import FlowSettings, stepped
from tts.models.prompts import Encoded
from tts.samplers.settings import InterpolantByDefault

if TYPE_CHECKING:
    from torch import Tensor


class Sana(FlowSettings):
    """Sana: a text-to-image flow on few large cells, 1.6B at 1024x1024 by default."""

    PIPELINE: ClassVar[str] = "SanaPipeline"
    COMPONENTS: ClassVar[dict[str, str]] = {
        "transformer": "SanaTransformer2DModel",
        "vae": "AutoencoderDC",
        "text_encoder": "transformers",
    }
    ALONE: ClassVar[dict[str, Any]] = {"do_classifier_free_guidance": False}
    EVEN: ClassVar[bool] = False
    PATCH: ClassVar[int] = 1
    PIXELS: ClassVar[int | None] = None
    SCALE: ClassVar[float] = 4.5
    TOKENIZER: ClassVar[tuple[str, int]] = ("tokenizer", 300)

    id: str = Field("Efficient-Large-Model/Sana_1600M_1024px_diffusers", description="local folder, or name on the hub")
    sampler: InterpolantByDefault = stepped(20)

    @property
    def factor(self) -> int:
        """Pixels along a side of a latent's cell."""
        return int(2 ** (len(self.config_of("vae")["encoder_block_out_channels"]) - 1))

    def tokens(self, tokenizer: Any, prompt: str) -> list[int]:
        """Tokens of the prompt, after two that stand for the instruction's first and last token, which are read too."""
        return [0, 0, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """Gemma's last states; the pipeline's own instruction precedes a prompt, but not a negative one."""
        instruction = inspect.signature(pipeline.__call__).parameters["complex_human_instruction"].default
        text, before = (self.negative_prompt or "", None) if prompt is None else (prompt, instruction)
        found = pipeline.encode_prompt(text, device=device, complex_human_instruction=before, **self.ALONE)
        return {"encoder_hidden_states": found[0][0], "encoder_attention_mask": found[1][0]}

    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """The network's answer as it is."""
        found: Tensor = network(x, timestep=1000 * network.config.timestep_scale * s, return_dict=False, **texts)[0]
        return found
