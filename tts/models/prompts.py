"""Models that draw prompts: conditions, sizes, previews, and prompts encoded once each."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import Field

from tts.errors import SettingError
from tts.models.pipeline import PipelineSettings
from tts.models.sizes import Side, both, sample_size
from tts.networks import autoencoder
from tts.plan import Condition
from tts.prompts import Cut, cut_notes
from tts.quiet import quiet

if TYPE_CHECKING:
    from torch import Tensor, nn

Encoded: TypeAlias = "Mapping[str, Tensor]"
"""An encoded prompt: tensors by names, without a batch dimension."""

KEPT = 512
"""Encoded prompts that an engine keeps; a study's problems come in order, so that the recent ones are the wanted."""


class PromptSettings(PipelineSettings):
    """Settings of a latent model whose conditions are prompts."""

    negative_prompt: str | None = Field(None, description="what guidance leads away from")
    size: Side | tuple[Side, Side] | None = Field(
        None, description="height and width, or [height, width]; left out: the network's own"
    )
    preview: str | None = Field(
        None, description="AutoencoderTiny (folder or hub name) for predicted images; final ones never use it"
    )

    @property
    def network(self) -> str:
        """Name of the denoiser's part."""
        return next(iter(self.COMPONENTS))

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
        """Find missing, damaged and foreign parts, the preview's decoder among them, and sizes that do not fit."""
        super().check()
        if any(side % self.multiple for side in self.pixels):
            raise SettingError(f"size = {self.size}: this model's images are multiples of {self.multiple}")
        if self.preview is not None:
            autoencoder.tiny(self.preview).weights()

    def identity(self) -> dict[str, Any]:
        """The settings, and digests of the weights, of the schedule and of the preview in place of their address."""
        preview = None if self.preview is None else autoencoder.tiny(self.preview).weights()
        return {**super().identity(), "preview": preview}

    @property
    def factor(self) -> int:
        """Pixels along a side of a latent's cell."""
        return int(2 ** (len(self.config_of("vae").get("block_out_channels", (0,))) - 1))

    @property
    def multiple(self) -> int:
        """Of which height and width must be multiples."""
        return self.factor

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the images.

        Raises:
            WeightsError: none is set, and the network has none of its own.
        """
        if self.size is not None:
            return both(self.size)
        height, width = self._explained(lambda: sample_size(self.config_of(self.network), self.network, "set size"))
        return height * self.factor, width * self.factor

    def notes(self, conditions: Sequence[Condition]) -> list[str]:
        """Prompts that are longer than the text encoder reads, and what is cut of each."""
        with quiet():
            return cut_notes([str(prompt) for prompt in conditions], self.cutter())

    @abstractmethod
    def cutter(self) -> Callable[[str], Cut | None]:
        """What says of a prompt what is cut of it; None: nothing."""

    def previewer(self, pipeline: Any, device: str) -> Callable[[Tensor], Tensor] | None:
        """The preview's decoder, if there is to be one."""
        if self.preview is None:
            return None
        dtype = getattr(pipeline, self.network).dtype
        return autoencoder.decoder(autoencoder.tiny(self.preview).load(dtype, device))


class PromptedNetwork:
    """A network with its prompts, each encoded once and by itself, so that a row does not depend on the others'.

    Args:
        module: the network.
        encode: encodes a prompt, or for None what guidance leads away from.
        answer: ``(x [B, ...], times [B], encoded, scale)`` to the network's answer; ``scale``, ``[B]``, of networks
            that are told their guidance, else None.
    """

    def __init__(
        self,
        module: nn.Module,
        encode: Callable[[str | None], Encoded],
        answer: Callable[[Tensor, Tensor, Sequence[Encoded], Tensor | None], Tensor],
    ) -> None:
        self.module, self.encode, self.answer = module, encode, answer
        self._recent: OrderedDict[str | None, Encoded] = OrderedDict()

    def __call__(
        self, x: Tensor, times: Tensor, conditions: Sequence[Condition | None], scale: Tensor | None = None
    ) -> Tensor:
        """See :class:`tts.models.latent.Network`."""
        encoded = [self._encoded(None if prompt is None else str(prompt)) for prompt in conditions]
        return self.answer(x, times, encoded, scale)

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


def stacked(encoded: Sequence[Encoded]) -> dict[str, Tensor]:
    """Prompts of one length as one batch."""
    import torch

    return {name: torch.stack([prompt[name] for prompt in encoded]) for name in encoded[0]}
