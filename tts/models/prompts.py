"""The base of models whose conditions are prompts: sizes, previews, and prompts that are encoded once each."""

from __future__ import annotations

import ast
import hashlib
import inspect
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.errors import SettingError
from tts.models.adapted import AdaptedSettings
from tts.models.checkpoint import INDEX
from tts.models.prompt_store import Encoded as Encoded
from tts.models.prompt_store import Recent, current_source
from tts.models.sizes import Side, both, sample_size
from tts.networks import autoencoder
from tts.plan import Condition
from tts.prompts import Cut, cut_notes
from tts.quiet import quiet

if TYPE_CHECKING:
    from torch import Tensor, nn

KEPT_BYTES = 1 << 30
"""Most bytes of encoded prompts that an engine keeps on its device. A study's problems come in order, so the next
prompt is most likely a recent one."""


class PromptSettings(AdaptedSettings):
    """Settings of a latent model whose conditions are prompts."""

    FOLDED: ClassVar[int] = 1
    """Number of cells of the autoencoder's latent in one cell of the model's latent."""

    negative_prompt: str | None = Field(None, description="the prompt that guidance steers away from")
    size: Side | tuple[Side, Side] | None = Field(
        None, description="height and width, or [height, width]; default: the network's own"
    )
    preview: str | None = Field(
        None, description="AutoencoderTiny (folder or hub name) for predicted images; final ones never use it"
    )

    def condition(self, value: object) -> Condition:
        """A prompt.

        Raises:
            SettingError: the value is not a text, or the text is empty.
        """
        if not isinstance(value, str) or not value.strip():
            raise SettingError(f"condition {value!r}: this model draws prompts, which are texts")
        return value

    def conditions(self) -> tuple[Condition, ...]:
        """Empty: prompts cannot be listed."""
        return ()

    def label(self, condition: Condition) -> str:
        """The prompt."""
        return str(condition)

    def check(self) -> None:
        """Find bad parts (``WeightsError``), the preview's decoder included, and sizes that do not fit."""
        super().check()
        if any(side % self.multiple for side in self.pixels):
            raise SettingError(f"size = {self.size}: this model's images are multiples of {self.multiple}")
        if self.preview is not None:
            preview = autoencoder.tiny(self.preview)
            preview.weights()
            preview.check(self.latent_channels * self.FOLDED, self.factor)

    def identity(self) -> dict[str, Any]:
        """The settings, with digests of the weights, of the schedule and of the preview in place of their addresses."""
        preview = None if self.preview is None else autoencoder.tiny(self.preview).weights()
        return {**super().identity(), "preview": preview}

    @property
    def factor(self) -> int:
        """Pixels along a side of a latent's cell."""
        return int(2 ** (len(self.config_of("vae").get("block_out_channels", (0,))) - 1))

    @property
    def latent_channels(self) -> int:
        """Channels of the autoencoder's latents."""
        vae = self.config_of("vae")
        return int(vae.get("latent_channels", vae.get("z_dim", 4)))

    @property
    def multiple(self) -> int:
        """Number of pixels of which height and width must be multiples."""
        return self.factor

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the images.

        Raises:
            WeightsError: no size is set, and the network's configuration states none.
        """
        if self.size is not None:
            return both(self.size)
        height, width = self._explained(lambda: sample_size(self.config_of(self.network), self.network, "set size"))
        return height * self.factor, width * self.factor

    def notes(self, conditions: Sequence[Condition]) -> list[str]:
        """Notes on prompts that are longer than the text encoder reads, with the part of each that is cut."""
        with quiet():
            return cut_notes([str(prompt) for prompt in conditions], self.cutter())

    @abstractmethod
    def cutter(self) -> Callable[[str], Cut | None]:
        """A function that finds the part of a prompt that is cut; it returns None if nothing is cut."""

    def previewer(self, pipeline: Any, device: str) -> Callable[[Tensor], Tensor] | None:
        """The decoder of previews, if the settings name one."""
        if self.preview is None:
            return None
        dtype = getattr(pipeline, self.network).dtype
        return autoencoder.decoder(autoencoder.tiny(self.preview).load(dtype, device))


class EncodedPromptSettings(PromptSettings):
    """Settings of a model whose prompts can be encoded without its denoiser, so that a store can hold them."""

    @property
    def encoders(self) -> Mapping[str, str]:
        """The parts that encode prompts, and the class (or the library) of each."""
        return {part: kind for part, kind in self.components.items() if part.startswith("text_encoder")}

    def encoder_identity(self) -> dict[str, Any]:
        """Everything that affects encodings of prompts: weights, tokenizers, settings, and the code that uses them."""
        index = self.checkpoint.config(INDEX)
        return {
            "family": type(self).__name__,
            "code": code_of(type(self)),
            "weights": self.checkpoint.identity(self.encoders),
            "precision": self.precision,
            "negative_prompt": self.negative_prompt,
            "loras": [lora.identity() for lora in self.loras],
            "whole": {key: value for key, value in index.items() if key[0] != "_" and not isinstance(value, list)},
        }

    def unstored(self, encoded: Encoded) -> str | None:
        """A note for the user on a store's entry that is no encoding; None for an encoding."""
        return None

    @abstractmethod
    def encoder(self, pipeline: Any, device: str) -> Callable[[str | None], Encoded]:
        """A function that encodes a prompt (None: the negative one) by a pipeline whose parts are on a device."""

    def encoding(self, device: str) -> Callable[[str | None], Encoded]:
        """:meth:`encoder` with text encoders that are loaded without the rest of the pipeline."""
        pipeline = super().placed(device, self.encoders)
        # pipelines read no more of the network than its configuration
        vars(pipeline)[self.network] = SimpleNamespace(config=SimpleNamespace(**self.config_of(self.network)))
        return self.encoder(pipeline, device)

    def placed(self, device: str, parts: Collection[str] | None = None) -> Any:
        """The pipeline with its parts on a device; where prompts come from a store, without text encoders."""
        if parts is None and current_source() is not None:
            parts = [part for part in self.components if part not in self.encoders]
        return super().placed(device, parts)

    def prompts(self, pipeline: Any, device: str) -> Callable[[str | None], Encoded]:
        """A function that encodes a prompt (None: the negative one), from the store if there is one."""
        source = current_source()
        return self.encoder(pipeline, device) if source is None else source(self, device)


class PromptedNetwork:
    """A network that takes prompts; each is encoded once and alone, so that a row does not depend on the others.

    Args:
        module: the network.
        encode: encodes a prompt; None: the negative one, away from which guidance leads.
        answer: ``(x [B, ...], times [B], encoded, scale)`` to the network's answer ``[B, ...]``; ``scale`` is ``[B]``
            for networks that are told the guidance scale, else None.
    """

    def __init__(
        self,
        module: nn.Module,
        encode: Callable[[str | None], Encoded],
        answer: Callable[[Tensor, Tensor, Sequence[Encoded], Tensor | None], Tensor],
    ) -> None:
        self.module, self.encode, self.answer = module, encode, answer
        self._recent = Recent(KEPT_BYTES)

    def __call__(
        self, x: Tensor, times: Tensor, conditions: Sequence[Condition | None], scale: Tensor | None = None
    ) -> Tensor:
        encoded = [self._encoded(None if prompt is None else str(prompt)) for prompt in conditions]
        return self.answer(x, times, encoded, scale)

    def _encoded(self, prompt: str | None) -> Encoded:
        found = self._recent.get(prompt)
        if found is None:
            with quiet():
                found = self.encode(prompt)
            self._recent.put(prompt, found)
        return found


def code_of(kind: type) -> dict[str, str]:
    """Versions of the libraries that encode, and the SHA-256 of the code of the source file that calls them."""
    from importlib.metadata import version

    file = inspect.getsourcefile(kind)
    source = "" if file is None else hashlib.sha256(_bare(Path(file).read_text("utf-8")).encode()).hexdigest()
    return {"source": source, **{name: version(name) for name in ("diffusers", "transformers", "torch")}}


def _bare(source: str) -> str:
    """Python code without comments, documentation and layout, so that a change of words encodes nothing again."""
    module = ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not _is_text(each)] or [ast.Pass()]
    return ast.unparse(module)


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a string by itself: a docstring, or a text behind an attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def stacked(encoded: Sequence[Encoded]) -> dict[str, Tensor]:
    """Encoded prompts of one length as one batch: each tensor gets a first dimension of prompts."""
    import torch

    return {name: torch.stack([prompt[name] for prompt in encoded]) for name in encoded[0]}
