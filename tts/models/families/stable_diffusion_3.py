"""Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv 2403.03206)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.models.flow import FlowSettings
from tts.models.prompts import Encoded

if TYPE_CHECKING:
    from torch import Tensor


class StableDiffusion3(FlowSettings):
    """Stable Diffusion 3 or 3.5: a text-to-image flow, 3.5 medium at 1024x1024 by default."""

    PIPELINE: ClassVar[str] = "StableDiffusion3Pipeline"
    COMPONENTS: ClassVar[dict[str, str]] = {
        "transformer": "SD3Transformer2DModel",
        "vae": "AutoencoderKL",
        "text_encoder": "CLIPTextModelWithProjection",
        "text_encoder_2": "CLIPTextModelWithProjection",
        "text_encoder_3": "T5EncoderModel",
    }
    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"text_encoder_3"})
    EVEN: ClassVar[bool] = False
    PIXELS: ClassVar[int | None] = None
    SCALE: ClassVar[float] = 4.5
    TOKENIZER: ClassVar[tuple[str, int]] = ("tokenizer_3", 256)

    id: str = Field("stabilityai/stable-diffusion-3.5-medium", description="local folder, or name on the hub")

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """States of all encoders' tokens, and the first two encoders' pooled states; zeros in place of a missing T5."""
        text = (self.negative_prompt or "") if prompt is None else prompt
        tokens, _, pooled, _ = pipeline.encode_prompt(text, None, None, device, do_classifier_free_guidance=False)
        return {"encoder_hidden_states": tokens[0], "pooled_projections": pooled[0]}

    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """The network's answer as it is."""
        found: Tensor = network(x, timestep=1000 * s, return_dict=False, **texts)[0]
        return found
