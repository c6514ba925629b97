"""Stable Diffusion XL (Podell et al. 2023, arXiv 2307.01952), the base model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar

from pydantic import Field

from tts.models.agreements import check_sizes_told
from tts.models.guiding import LatentGuidance, Scale
from tts.models.latent import GUIDANCE
from tts.models.prompted import PromptedSettings
from tts.models.prompts import Encoded, stacked


class StableDiffusionXL(PromptedSettings):
    """Stable Diffusion XL's base model: prompts, DDIM with noise, 1024x1024 by default."""

    PIPELINE: ClassVar[str] = "StableDiffusionXLPipeline"
    KEYS: ClassVar[dict[str, str]] = {
        "UNet2DConditionModel": "UNet2DConditionModel of SDXL",
        "AutoencoderKL": "AutoencoderKL of SDXL",
    }
    COMPONENTS: ClassVar[dict[str, str]] = {
        "unet": "UNet2DConditionModel",
        "vae": "AutoencoderKL",
        "text_encoder": "CLIPTextModel",
        "text_encoder_2": "CLIPTextModelWithProjection",
    }

    id: str = Field(
        "stabilityai/stable-diffusion-xl-base-1.0",
        description="local folder, or name of a repository on the hub (owner/name)",
    )
    guidance: LatentGuidance = Field(Scale(scale=5.0), description=GUIDANCE)

    def check_configurations(self) -> None:
        """Also check that the UNet takes sizes and a pooled prompt."""
        super().check_configurations()
        unet, text = self.config_of("unet"), self.config_of("text_encoder_2")
        self._explained(lambda: check_sizes_told(unet, text))

    def absent(self) -> dict[str, Any]:
        """Parts to leave out: those that read images, and the watermark."""
        return {"feature_extractor": None, "image_encoder": None, "add_watermarker": False}

    def pipeline(self, parts: Collection[str] | None = None) -> Any:
        """The pipeline; its autoencoder, which overflows in float16, computes in float32 as the checkpoint asks."""
        pipeline = super().pipeline(parts)
        if self.precision == "fp16" and pipeline.vae is not None and pipeline.vae.config.force_upcast:
            pipeline.vae.float()
        return pipeline

    def encoder(self, pipeline: Any, device: str) -> Callable[[str | None], Encoded]:
        """Both text encoders' hidden states, and the second one's pooled state."""

        def encode(prompt: str | None) -> Encoded:
            if prompt is None:
                _, tokens, _, pooled = pipeline.encode_prompt(
                    "", device=device, do_classifier_free_guidance=True, negative_prompt=self.negative_prompt
                )
            else:
                tokens, _, pooled, _ = pipeline.encode_prompt(prompt, device=device, do_classifier_free_guidance=False)
            return {"tokens": tokens[0], "pooled": pooled[0]}

        return encode

    def unet_arguments(self, encoded: Sequence[Encoded]) -> dict[str, Any]:
        """Hidden states, pooled states and sizes: the wanted height and width, without a crop.

        Sizes are float32 in every precision, as bfloat16 cannot represent 2056.
        """
        from tts.networks.constants import constants

        texts = stacked(encoded)
        pooled = texts["pooled"]
        sizes = constants((*self.pixels, 0, 0, *self.pixels), pooled.device)
        return {
            "encoder_hidden_states": texts["tokens"],
            "added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes.expand(len(encoded), -1)},
        }
