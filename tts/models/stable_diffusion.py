"""Stable Diffusion 1.x and 2.x (Rombach et al. 2022, arXiv 2112.10752)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from pydantic import Field

from tts.models.prompted import PromptedSettings
from tts.models.prompts import Encoded, stacked


class StableDiffusion(PromptedSettings):
    """Stable Diffusion 1.x or 2.x: prompts, DDIM with noise; 1.5 at 512x512 by default."""

    PIPELINE: ClassVar[str] = "StableDiffusionPipeline"
    ALSO: ClassVar[frozenset[str]] = frozenset({"LatentConsistencyModelPipeline"})
    COMPONENTS: ClassVar[dict[str, str]] = {
        "unet": "UNet2DConditionModel",
        "vae": "AutoencoderKL",
        "text_encoder": "CLIPTextModel",
    }

    id: str = Field(
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        description="local folder, or name of a repository on the hub (owner/name)",
    )

    def mended(self, config: dict[str, Any]) -> dict[str, Any]:
        """The scheduler's configuration with the corrections that the pipeline makes to outdated ones."""
        return {**config, "steps_offset": 1, "clip_sample": False}

    def absent(self) -> dict[str, Any]:
        """Parts to leave out: the safety checker, which would replace images with black ones."""
        names = ("safety_checker", "feature_extractor", "image_encoder")
        return {**dict.fromkeys(names), "requires_safety_checker": False}

    def encoder(self, pipeline: Any, device: str) -> Callable[[str | None], Encoded]:
        """The text encoder's last hidden states."""

        def encode(prompt: str | None) -> Encoded:
            if prompt is None:
                _, tokens = pipeline.encode_prompt("", device, 1, True, negative_prompt=self.negative_prompt)
            else:
                tokens, _ = pipeline.encode_prompt(prompt, device, 1, False)
            return {"encoder_hidden_states": tokens[0]}

        return encode

    def unet_arguments(self, encoded: Sequence[Encoded]) -> dict[str, Any]:
        """The prompts' hidden states, as ``encoder_hidden_states``."""
        return dict(stacked(encoded))
