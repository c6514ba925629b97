"""FLUX.2 dev (Black Forest Labs 2025)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.models.flow import FlowSettings
from tts.models.flow_schedule import FlowSchedule, flux2_mu
from tts.models.guidance import Embedded, Guidance
from tts.models.packing import places
from tts.models.prompts import Encoded
from tts.networks import autoencoder
from tts.samplers.schedules import FlowLevels

if TYPE_CHECKING:
    from torch import Tensor


class Flux2(FlowSettings):
    """FLUX.2 dev: a text-to-image flow whose network is told the guidance scale; 1024x1024 by default."""

    PIPELINE: ClassVar[str] = "Flux2Pipeline"
    COMPONENTS: ClassVar[dict[str, str]] = {
        "transformer": "Flux2Transformer2DModel",
        "vae": "AutoencoderKLFlux2",
        "text_encoder": "transformers",
    }
    PATCH: ClassVar[int] = 1
    FOLDED: ClassVar[int] = 4
    SCALE: ClassVar[float] = 4.0
    TOKENIZER: ClassVar[tuple[str, int]] = ("tokenizer", 512)

    id: str = Field("black-forest-labs/FLUX.2-dev", description="local folder, or name on the hub")

    @property
    def factor(self) -> int:
        """Pixels along a side of a latent's cell, which holds 2x2 cells of the autoencoder."""
        return 2 * super().factor

    def schedule(self) -> FlowLevels:
        """The checkpoint's noise levels, with the shift that diffusers' pipeline computes."""
        tokens = self.shape[1] * self.shape[2]
        return FlowSchedule(self.scheduler_config(), self.EVEN, tokens, lambda steps: flux2_mu(tokens, steps))

    def guide(self) -> Guidance:
        """One forward; the network is told the scale."""
        return Embedded(self.scale)

    def tokens(self, tokenizer: Any, prompt: str) -> list[int]:
        """Tokens of a chat with the pipeline's instruction and the prompt."""
        from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE

        parts = {"system": SYSTEM_MESSAGE, "user": prompt}
        lines = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in parts.items()]
        found: list[int] = tokenizer(tokenizer.apply_chat_template(lines, tokenize=False))["input_ids"]
        return found

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """States of three layers of the text encoder, concatenated."""
        return {"encoder_hidden_states": pipeline.encode_prompt(prompt or "", device)[0][0]}

    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """The network's answer as it is; a token holds one cell."""
        import torch

        rows, (height, width), length = len(x), x.shape[2:], texts["encoder_hidden_states"].shape[1]
        words = torch.zeros(rows, length, 4, device=x.device)
        words[..., 3] += torch.arange(length, device=x.device)
        cells, tokens = places(height, width, 4, x.device).expand(rows, -1, -1), x.flatten(2).transpose(1, 2)
        answer = network(tokens, timestep=s, guidance=scale, txt_ids=words, img_ids=cells, return_dict=False, **texts)
        found: Tensor = answer[0].transpose(1, 2).reshape(x.shape)
        return found

    def decoder(self, vae: Any) -> Callable[[Tensor], Tensor]:
        """Decoder of latents that a layer of the autoencoder has normalised."""
        return autoencoder.normalised_decoder(vae)
