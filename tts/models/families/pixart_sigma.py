"""PixArt-Sigma (Chen et al. 2024, arXiv 2403.04692)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.errors import WeightsError
from tts.models.guiding import LatentGuidance, Scale
from tts.models.latent import GUIDANCE, LatentDenoiser, LatentSettings, Network
from tts.models.prompts import Encoded, PromptedNetwork
from tts.models.text_to_image import TextToImageSettings

if TYPE_CHECKING:
    from torch import Tensor


class PixArtSigma(TextToImageSettings, LatentSettings):
    """PixArt-Sigma: text-to-image diffusion by a transformer, DDIM with noise; 1024x1024 by default.

    Prompts are read in lower case and are not cleaned (``clean_caption=False``); the pipeline's call cleans them where
    bs4 and ftfy are installed.
    """

    PIPELINE: ClassVar[str] = "PixArtSigmaPipeline"
    COMPONENTS: ClassVar[dict[str, str]] = {
        "transformer": "PixArtTransformer2DModel",
        "vae": "AutoencoderKL",
        "text_encoder": "T5EncoderModel",
    }
    PIXELS: ClassVar[int | None] = None
    TOKENIZER: ClassVar[tuple[str, int]] = ("tokenizer", 300)

    id: str = Field("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", description="local folder, or name on the hub")
    guidance: LatentGuidance = Field(Scale(scale=4.5), description=GUIDANCE)

    def check_configurations(self) -> None:
        """Also check that the network takes no sizes; one of 128 cells does unless its configuration denies it."""
        super().check_configurations()
        config = self.config_of("transformer")
        if config.get("sample_size", 128) == 128 and config.get("use_additional_conditions") is None:
            raise WeightsError(
                f"id {self.id}: its transformer is told sizes (use_additional_conditions), as PixArt-alpha's is; set "
                "another id"
            )

    def denoiser(self, network: Network, device: str) -> LatentDenoiser:
        """A denoiser that predicts noise, on the schedule of betas."""
        return LatentSettings.denoiser(self, network, device)

    def raw_network(self, pipeline: Any, device: str) -> PromptedNetwork:
        """The transformer, which takes prompts."""
        return TextToImageSettings.raw_network(self, pipeline, device)

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """T5's states of the tokens, padded to one length, with a mask."""
        text = (self.negative_prompt or "") if prompt is None else prompt
        tokens, mask, *_ = pipeline.encode_prompt(text, False, device=device)
        return {"encoder_hidden_states": tokens[0], "encoder_attention_mask": mask[0]}

    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """The network's answer without the learned variance."""
        sizes = {"resolution": None, "aspect_ratio": None}
        found: Tensor = network(x, timestep=s, added_cond_kwargs=sizes, return_dict=False, **texts)[0]
        return found[:, : x.shape[1]]
