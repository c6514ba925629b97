"""FLUX.1 dev and schnell (Black Forest Labs 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.models.flow import FlowSettings
from tts.models.guidance import Embedded, Guidance, Unguided
from tts.models.packing import pack, places, unpack
from tts.models.prompts import Encoded

if TYPE_CHECKING:
    from torch import Tensor


class Flux(FlowSettings):
    """FLUX.1: a text-to-image flow, dev at 1024x1024 by default; schnell takes 4 steps and no guidance."""

    PIPELINE: ClassVar[str] = "FluxPipeline"
    COMPONENTS: ClassVar[dict[str, str]] = {
        "transformer": "FluxTransformer2DModel",
        "vae": "AutoencoderKL",
        "text_encoder": "CLIPTextModel",
        "text_encoder_2": "T5EncoderModel",
    }
    SCALE: ClassVar[float] = 3.5
    TOKENIZER: ClassVar[tuple[str, int]] = ("tokenizer_2", 512)

    id: str = Field("black-forest-labs/FLUX.1-dev", description="local folder, or name on the hub")

    @property
    def channels(self) -> int:
        """Channels of a latent; each of the network's tokens holds four cells of it."""
        return super().channels // 4

    def guide(self) -> Guidance:
        """One forward: dev is told the scale; schnell was distilled without guidance."""
        if self.config_of("transformer").get("guidance_embeds"):
            return Embedded(self.scale)
        self.refuse_scale()
        return Unguided()

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """T5's states of the tokens, and CLIP's pooled state."""
        tokens, pooled, _ = pipeline.encode_prompt(prompt or "", device=device)
        return {"encoder_hidden_states": tokens[0], "pooled_projections": pooled[0]}

    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """The network's answer as it is; a token holds 2x2 cells."""
        words = x.new_zeros(texts["encoder_hidden_states"].shape[1], 3)
        cells = places(x.shape[2] // 2, x.shape[3] // 2, 3, x.device).to(x.dtype)
        answer = network(pack(x), timestep=s, guidance=scale, txt_ids=words, img_ids=cells, return_dict=False, **texts)[
            0
        ]
        return unpack(answer, x.shape[1:])
