"""Latent diffusion models that draw prompts: what Stable Diffusion and SDXL share."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from tts.errors import SettingError
from tts.models.base import Model
from tts.models.checkpoint import Checkpoint
from tts.models.latent import LatentModel, LatentSettings
from tts.models.sizes import Side, both, sample_size
from tts.networks import autoencoder
from tts.plan import Condition
from tts.prompts import Cut, cut_notes
from tts.quiet import quiet

if TYPE_CHECKING:
    from torch import Tensor, nn

KEPT = 512
"""Encoded prompts that an engine keeps; a study's problems come in order, so that the recent ones are the wanted."""


class PromptedSettings(LatentSettings):
    """Settings of a latent diffusion model whose conditions are prompts."""

    file: str | None = Field(
        None,
        description="single safetensors file in the original form (path or address); id then has its configuration",
    )
    negative_prompt: str | None = Field(None, description="what guidance leads away from")
    size: Side | tuple[Side, Side] | None = Field(
        None, description="height and width, or [height, width]; left out: the network's own"
    )
    preview: str | None = Field(
        None, description="AutoencoderTiny (folder or hub name) for predicted images; final ones never use it"
    )

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the files come from."""
        return Checkpoint(self.id, self.revision, self.variant, self.file)

    def condition(self, value: object) -> Condition:
        """A prompt.

        Raises:
            SettingError: it is no text, or an empty one.
        """
        if not isinstance(value, str) or not value.strip():
            raise SettingError(f"condition {value!r}: this model draws prompts, which are texts")
        return value

    def conditions(self) -> tuple[Condition, ...]:
        """There is no list of all prompts."""
        return ()

    def label(self, condition: Condition) -> str:
        """The prompt."""
        return str(condition)

    def check(self) -> None:
        """See :class:`tts.models.latent.LatentSettings`; also of the preview's decoder and of the size."""
        super().check()
        channels = self.config_of("unet").get("in_channels")
        if channels != self.config_of("vae").get("latent_channels"):
            raise SettingError(f"id {self.id}: its unet takes {channels} channels; inpainting models cannot be used")
        if any(side % self.factor for side in self.pixels):
            raise SettingError(f"size = {self.size}: this model's images are multiples of {self.factor}")
        if self.preview is not None:
            autoencoder.tiny_weights(self.preview)

    def identity(self) -> dict[str, Any]:
        """See :class:`tts.models.latent.LatentSettings`."""
        preview = None if self.preview is None else autoencoder.tiny_weights(self.preview)
        return {**super().identity(), "preview": preview}

    @property
    def factor(self) -> int:
        """Pixels along a side of a latent's cell."""
        return int(2 ** (len(self.config_of("vae").get("block_out_channels", (0,))) - 1))

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the images.

        Raises:
            WeightsError: none is set, and the network has none of its own.
        """
        if self.size is not None:
            return both(self.size)
        height, width = self._explained(lambda: sample_size(self.config_of("unet"), "unet", "set size"))
        return height * self.factor, width * self.factor

    def notes(self, conditions: Sequence[Condition]) -> list[str]:
        """Prompts that are longer than the text encoder reads, and what is cut of each."""
        with quiet():
            tokenizer = self._tokenizer()
            return cut_notes([str(prompt) for prompt in conditions], partial(_cut, tokenizer))

    def _tokenizer(self) -> Any:
        from transformers import CLIPTokenizer

        return CLIPTokenizer.from_pretrained(self.checkpoint.folder() / "tokenizer")

    @abstractmethod
    def encoder(self, pipeline: Any, device: str) -> Callable[[str | None], Encoded]:
        """Encodes a prompt, or for None what guidance leads away from."""

    @abstractmethod
    def unet_arguments(self, encoded: Sequence[Encoded]) -> dict[str, Any]:
        """The network's arguments beside state and time."""

    def load(self, device: str = "cpu") -> Model:
        """The model in its precision, its decoder as the checkpoint asks."""
        (height, width), pipeline = self.pixels, self.pipeline()
        for part in self.COMPONENTS:
            getattr(pipeline, part).to(device).eval().requires_grad_(False)
        unet = pipeline.unet
        return LatentModel(
            self.denoiser(PromptedUNet(unet, self.encoder(pipeline, device), self.unet_arguments)),
            self.stepper(),
            autoencoder.decoder(pipeline.vae),
            None if self.preview is None else autoencoder.load_tiny(self.preview, unet.dtype, device),
            (int(unet.config.in_channels), height // self.factor, width // self.factor),
        )


class Encoded(NamedTuple):
    """An encoded prompt: ``tokens [L, D]``, and SDXL's ``pooled [P]``."""

    tokens: Tensor
    pooled: Tensor | None = None


class PromptedUNet:
    """A UNet with its prompts, each encoded once and by itself, so that a row does not depend on the others'."""

    def __init__(
        self,
        unet: Any,
        encode: Callable[[str | None], Encoded],
        arguments: Callable[[Sequence[Encoded]], dict[str, Any]],
    ) -> None:
        self.unet, self.encode, self.arguments = unet, encode, arguments
        self._recent: OrderedDict[str | None, Encoded] = OrderedDict()

    @property
    def module(self) -> nn.Module:
        """See :class:`tts.models.latent.Network`."""
        return self.unet  # type: ignore[no-any-return]

    def __call__(self, x: Tensor, times: Tensor, conditions: Sequence[Condition | None]) -> Tensor:
        """See :class:`tts.models.latent.Network`."""
        encoded = [self._encoded(None if prompt is None else str(prompt)) for prompt in conditions]
        output: Tensor = self.unet(x.to(self.unet.dtype), times, return_dict=False, **self.arguments(encoded))[0]
        return output

    def _encoded(self, prompt: str | None) -> Encoded:
        found = self._recent.get(prompt)
        if found is None:
            with quiet():
                found = self.encode(prompt)
            self._recent[prompt] = found
            if len(self._recent) > KEPT:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(prompt)
        return found


def _cut(tokenizer: Any, prompt: str) -> Cut | None:
    """What a tokenizer of CLIP cuts of a prompt."""
    tokens, limit = tokenizer(prompt)["input_ids"], tokenizer.model_max_length
    return Cut(limit - 2, tokenizer.decode(tokens[limit - 1 : -1])) if len(tokens) > limit else None
