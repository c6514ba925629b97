"""The base of all text-to-image transformers, flows or not.

A family defines how its prompts are encoded and how its network is asked; and its sizes, guidance or decoder where
these differ from the usual.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.errors import SettingError, WeightsError
from tts.models.base import Model
from tts.models.checkpoint import INDEX
from tts.models.config_keys import TABLES, Key, check_keys
from tts.models.latent import Denoiser, LatentModel, Network
from tts.models.parts import pipeline_of
from tts.models.prompts import Encoded, EncodedPromptSettings, PromptedNetwork, stacked
from tts.models.tokenizers import read_tokenizer
from tts.networks import autoencoder
from tts.precision import Precision
from tts.prompts import Cut, cut_by

if TYPE_CHECKING:
    from torch import Tensor


class TextToImageSettings(EncodedPromptSettings):
    """Settings of a text-to-image transformer."""

    PATCH: ClassVar[int] = 2
    """Cells of a latent along a side of the network's tokens."""
    PIXELS: ClassVar[int | None] = 1024
    """Height and width in pixels where none are set; None: the network's own."""
    TOKENIZER: ClassVar[tuple[str, int]]
    """Name of the tokenizer that reads most of a prompt, and the number of tokens that are read."""

    precision: Precision = Field(
        "bf16",
        description="precision of the networks; states and noise levels are float32. FLUX and Qwen-Image round "
        "the time inside their networks, as in their authors' programs: bf16 is off by tenths of a deviation",
    )

    @abstractmethod
    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """An encoded prompt; None: the negative prompt, away from which guidance leads."""

    @abstractmethod
    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """What the network predicts; for a flow, the velocity towards noise.

        Args:
            x: latents, ``[B, C, h, w]`` in the network's precision.
            s: noise levels of a flow, or time steps, ``[B]`` float32.
            texts: prompts as :meth:`collate` has made them.
            scale: the guidance scale, ``[B]`` float64, for networks that are told it; else None.

        Returns:
            ``[B, C, h, w]``.
        """

    @abstractmethod
    def denoiser(self, network: Network, device: str) -> Denoiser:
        """A denoiser from a network on a device and the settings."""

    def collate(self, encoded: Sequence[Encoded]) -> Any:
        """A batch of encoded prompts: stacked, as all have one length."""
        return stacked(encoded)

    @property
    def multiple(self) -> int:
        """Number of pixels of which height and width must be multiples."""
        return self.factor * self.PATCH

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the images."""
        if self.size is None and self.PIXELS is not None:
            return self.PIXELS, self.PIXELS
        return super().pixels

    @property
    def channels(self) -> int:
        """Channels of a latent."""
        return int(self.config_of(self.network)["in_channels"])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a latent, ``(C, h, w)``."""
        height, width = self.pixels
        return self.channels, height // self.factor, width // self.factor

    def check(self) -> None:
        """Find missing, damaged and foreign parts (``WeightsError``), and settings that do not fit them."""
        super().check()
        if self.passes == 1 and self.negative_prompt is not None:
            raise SettingError("negative_prompt: without classifier-free guidance it changes nothing; leave it out")

    def check_configurations(self) -> None:
        """Also check the pipeline's own configuration, and the network's channels."""
        super().check_configurations()
        made = inspect.signature(self._explained(lambda: pipeline_of(self.PIPELINE)))
        pipeline = dict.fromkeys(made.parameters, Key("built", "the pipeline"))
        index = partial(check_keys, INDEX, self.checkpoint.config(INDEX), {**TABLES["index"], **pipeline})
        self._explained(index)
        if (latent := self.latent_channels * self.FOLDED) != self.channels:
            raise WeightsError(
                f"id {self.id}: its {self.network} takes {self.channels} channels, and a latent has {latent}; a "
                "network that is told an image, or another vae: set another id"
            )

    def cutter(self) -> Callable[[str], Cut | None]:
        """A function that finds the part of a prompt that is cut; it returns None if nothing is cut."""
        part, limit = self.TOKENIZER
        lacking = part.replace("tokenizer", "text_encoder") not in self.components
        part = "tokenizer" if lacking else part
        tokenizer = self._explained(lambda: read_tokenizer(self.checkpoint.folder() / part))
        limit = tokenizer.model_max_length if lacking else limit
        return lambda prompt: cut_by(tokenizer, limit, prompt, partial(self.tokens, tokenizer))

    def tokens(self, tokenizer: Any, prompt: str) -> list[int]:
        """All tokens of a prompt, with those that the pipeline adds around it, before any cut."""
        found: list[int] = tokenizer(prompt)["input_ids"]
        return found

    def decoder(self, vae: Any) -> Callable[[Tensor], Tensor]:
        """A function from clean latents ``[B, C, h, w]`` float32 to images ``[B, 3, H, W]`` in about [-1, 1]."""
        return autoencoder.decoder(vae)

    def raw_network(self, pipeline: Any, device: str) -> PromptedNetwork:
        """The transformer, which takes prompts."""
        network = getattr(pipeline, self.network)

        def answer(x: Tensor, s: Tensor, encoded: Sequence[Encoded], scale: Tensor | None) -> Tensor:
            return self.ask(network, x.to(network.dtype), s.float(), self.collate(encoded), scale)

        return PromptedNetwork(network, self.prompts(pipeline, device), answer)

    def encoder(self, pipeline: Any, device: str) -> Callable[[str | None], Encoded]:
        """A function that encodes a prompt (None: the negative one)."""
        return lambda prompt: self.encode(pipeline, prompt, device)

    def load(self, device: str = "cpu") -> Model:
        """The model on a device, in the precision of its settings; a prompt is encoded when it is first needed."""
        pipeline = self.placed(device)
        return LatentModel(
            self.denoiser(self.raw_network(pipeline, device), device),
            self.stepper(),
            self.decoder(pipeline.vae),
            self.previewer(pipeline, device),
            self.shape,
        )


def chat(tokenizer: Any, prompt: str, thinks: bool) -> list[int]:
    """Tokens of a chat whose only turn is the prompt, up to where the answer would begin, with thoughts or without."""
    lines = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(lines, tokenize=False, add_generation_prompt=True, enable_thinking=thinks)
    found: list[int] = tokenizer(text)["input_ids"]
    return found
