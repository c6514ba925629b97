"""The base of latent diffusion models with a UNet that takes prompts: Stable Diffusion and SDXL."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.errors import SettingError, WeightsError
from tts.models.agreements import check_widths
from tts.models.base import Model
from tts.models.checkpoint import INDEX, Checkpoint
from tts.models.config_keys import TABLES, check_keys
from tts.models.latent import LatentModel, LatentSettings
from tts.models.prompts import Encoded, EncodedPromptSettings, PromptedNetwork
from tts.models.single_file import EMA
from tts.networks import autoencoder
from tts.plan import Condition
from tts.precision import Precision
from tts.prompts import Cut, cut_by

if TYPE_CHECKING:
    from torch import Tensor

AVERAGES = (
    "file {}: has averages of the UNet's weights beside them (model_ema), as the published folders have them; the "
    "weights themselves are used; to change that name a file of the averages (EMA)"
)


class PromptedSettings(EncodedPromptSettings, LatentSettings):
    """Settings of a latent diffusion model with a UNet whose conditions are prompts."""

    file: str | None = Field(
        None,
        description="single safetensors file in the original form (path or address); id then has its configuration",
    )

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the files come from."""
        return Checkpoint(self.id, self.revision, self.variant, self.file)

    def check(self) -> None:
        """Find bad parts (``WeightsError``), the preview's decoder included, and sizes that do not fit."""
        super().check()
        channels = self.config_of("unet").get("in_channels")
        if channels != self.config_of("vae").get("latent_channels"):
            raise SettingError(f"id {self.id}: its unet takes {channels} channels; inpainting models cannot be used")
        if self.negative_prompt is not None and self.guided.name in ("embedded", "autoguidance"):
            raise SettingError(f"negative_prompt: {self.guided.name} guidance leads away from no prompt; leave it out")

    def check_configurations(self) -> None:
        """Also check the pipeline's own configuration, and what the UNet predicts and reads."""
        super().check_configurations()
        self._explained(partial(check_keys, INDEX, self.checkpoint.config(INDEX), TABLES["index"]))
        unet, channels = self.config_of("unet"), self.config_of("vae").get("latent_channels", 4)
        self._explained(partial(check_unet, unet, channels, self.precision))
        texts = [self.config_of(part) for part in self.components if part.startswith("text_encoder")]
        self._explained(partial(check_widths, unet, texts))

    def notes(self, conditions: Sequence[Condition]) -> list[str]:
        """Also note that averaged weights in a single file are not used."""
        file = self.checkpoint.contents()
        averages = any(name.startswith(EMA) for name in file.names) if file else False
        return [AVERAGES.format(self.file)] * averages + super().notes(conditions)

    @property
    def embeds(self) -> bool:
        """Whether the UNet is told the guidance scale."""
        return self.config_of("unet").get("time_cond_proj_dim") is not None

    def elsewhere(self) -> dict[str, Any]:
        return {**super().elsewhere(), "file": None}

    def cutter(self) -> Callable[[str], Cut | None]:
        """A function that finds the part of a prompt that is cut; it returns None if nothing is cut."""
        from transformers import CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(self.checkpoint.folder() / "tokenizer")
        return partial(cut_by, tokenizer, tokenizer.model_max_length)

    @abstractmethod
    def unet_arguments(self, encoded: Sequence[Encoded]) -> dict[str, Any]:
        """The UNet's arguments other than state and time, for a batch of encoded prompts."""

    def raw_network(self, pipeline: Any, device: str) -> PromptedNetwork:
        """The UNet, which takes prompts; it is also told the guidance scale if it was made for that."""
        from tts.networks.guidance_embedding import guidance_embedding

        unet = pipeline.unet
        width = unet.config.time_cond_proj_dim

        def answer(x: Tensor, times: Tensor, encoded: Sequence[Encoded], scale: Tensor | None) -> Tensor:
            told = None if scale is None else guidance_embedding(scale, width).to(unet.dtype)
            output: Tensor = unet(
                x.to(unet.dtype), times, timestep_cond=told, return_dict=False, **self.unet_arguments(encoded)
            )[0]
            return output

        return PromptedNetwork(unet, self.prompts(pipeline, device), answer)

    def load(self, device: str = "cpu") -> Model:
        """The model on a device, in the precision of its settings; its decoder's precision is the checkpoint's."""
        (height, width), pipeline = self.pixels, self.placed(device)
        return LatentModel(
            self.denoiser(self.raw_network(pipeline, device), device),
            self.stepper(),
            autoencoder.decoder(pipeline.vae),
            self.previewer(pipeline, device),
            (int(pipeline.unet.config.in_channels), height // self.factor, width // self.factor),
        )


def check_unet(config: Mapping[str, Any], channels: int, precision: Precision) -> None:
    """Refuse a UNet that does not return a prediction, or cannot run in this precision.

    Raises:
        WeightsError: the UNet is such a one.
    """
    if (outs := config.get("out_channels", 4)) != channels:
        raise WeightsError(f"its unet answers with {outs} channels, and a latent has {channels}; set another id")
    if config.get("time_embedding_type") == "fourier" and precision != "fp32":
        raise WeightsError(f"its unet's Fourier frequencies would be rounded; set precision to fp32, not {precision}")
