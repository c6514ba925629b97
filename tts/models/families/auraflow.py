"""AuraFlow (fal 2024)."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.errors import SettingError
from tts.models.flow import FlowSettings, stepped
from tts.models.prompts import Encoded
from tts.samplers.settings import InterpolantByDefault

if TYPE_CHECKING:
    from torch import Tensor


class AuraFlow(FlowSettings):
    """AuraFlow: a text-to-image flow, 1024x1024 by default."""

    PIPELINE: ClassVar[str] = "AuraFlowPipeline"
    COMPONENTS: ClassVar[dict[str, str]] = {
        "transformer": "AuraFlowTransformer2DModel",
        "vae": "AutoencoderKL",
        "text_encoder": "UMT5EncoderModel",
    }
    KEYS: ClassVar[dict[str, str]] = {}
    EVEN: ClassVar[bool] = False
    SCALE: ClassVar[float] = 3.5
    TOKENIZER: ClassVar[tuple[str, int]] = ("tokenizer", 256)

    id: str = Field("fal/AuraFlow-v0.3", description="local folder, or name on the hub")
    sampler: InterpolantByDefault = stepped(50)

    def check_configurations(self) -> None:
        """Also check the size: cells beyond the network's grid would get the positions of other cells."""
        super().check_configurations()
        side = self.multiple * math.isqrt(self.config_of("transformer").get("pos_embed_max_size", 1024))
        if max(self.pixels) > side:
            raise SettingError(f"size: {self.id} has places for at most {side}x{side} pixels; set a smaller one")

    def pipeline(self, parts: Collection[str] | None = None) -> Any:
        """The pipeline; its autoencoder, which overflows in float16, computes in float32 as the checkpoint asks."""
        pipeline = super().pipeline(parts)
        if self.precision == "fp16" and pipeline.vae is not None and pipeline.vae.config.force_upcast:
            pipeline.vae.float()
        return pipeline

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """Pile-T5's states of the prompt's tokens, padded with zeros to one length."""
        text = (self.negative_prompt or "") if prompt is None else prompt
        tokens = pipeline.encode_prompt(text, do_classifier_free_guidance=False, device=device)[0]
        return {"encoder_hidden_states": tokens[0]}

    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """The network's answer as it is."""
        found: Tensor = network(x, timestep=s, return_dict=False, **texts)[0]
        return found
