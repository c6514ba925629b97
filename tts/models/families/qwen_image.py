"""Qwen-Image (Wu et al. 2025, arXiv 2508.02324)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.models.flow import FlowSettings, stepped
from tts.models.guidance import Guidance, Renormalised, Unguided
from tts.models.packing import pack, patch_norm, unpack
from tts.models.prompts import Encoded
from tts.networks import autoencoder
from tts.samplers.settings import InterpolantByDefault

if TYPE_CHECKING:
    from torch import Tensor


class QwenImage(FlowSettings):
    """Qwen-Image: a text-to-image flow, 1328x1328 by default."""

    PIPELINE: ClassVar[str] = "QwenImagePipeline"
    COMPONENTS: ClassVar[dict[str, str]] = {
        "transformer": "QwenImageTransformer2DModel",
        "vae": "AutoencoderKLQwenImage",
        "text_encoder": "transformers",
    }
    PIXELS: ClassVar[int | None] = 1328
    SCALE: ClassVar[float] = 4.0
    TOKENIZER: ClassVar[tuple[str, int]] = ("tokenizer", 512)

    id: str = Field("Qwen/Qwen-Image", description="local folder, or name on the hub")
    sampler: InterpolantByDefault = stepped(50)

    @property
    def factor(self) -> int:
        """Pixels along a side of a latent's cell."""
        return int(2 ** len(self.config_of("vae")["temperal_downsample"]))

    @property
    def channels(self) -> int:
        """Channels of a latent; each of the network's tokens holds four cells of it."""
        return super().channels // 4

    def guide(self) -> Guidance:
        """Classifier-free; each token is scaled to the norm that it has in the answer with the prompt."""
        return Renormalised(self.scale, patch_norm) if self.scale > 1 else Unguided()

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """The text encoder's last states, padded to one length, with a mask; no negative prompt is read as a space."""
        from torch.nn.functional import pad

        text = (self.negative_prompt or " ") if prompt is None else prompt
        tokens, mask = pipeline.encode_prompt(text, device, max_sequence_length=(limit := self.TOKENIZER[1]))
        missing = limit - tokens.shape[1]
        read = tokens.new_ones(tokens.shape[:2]).long() if mask is None else mask
        return {
            "encoder_hidden_states": pad(tokens[0], (0, 0, 0, missing)),
            "encoder_hidden_states_mask": pad(read[0], (0, missing)),
        }

    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """The network's answer as it is; a token holds 2x2 cells."""
        cells = [[(1, x.shape[2] // 2, x.shape[3] // 2)]] * len(x)
        answer = network(pack(x), timestep=s, img_shapes=cells, return_dict=False, **texts)[0]
        return unpack(answer, x.shape[1:])

    def decoder(self, vae: Any) -> Callable[[Tensor], Tensor]:
        """The autoencoder's decoder of videos, for a video of one frame."""
        return autoencoder.film_decoder(vae)
