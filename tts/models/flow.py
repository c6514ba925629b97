"""Flow matching from prompts, on diffusers' pipelines: what all of its families share.

A family says how its prompts are encoded and how its network is asked for the velocity; where its images, its
guidance, its levels or its decoder are unlike the others', it says so, too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.errors import SettingError
from tts.models.base import Model
from tts.models.flow_schedule import FlowSchedule
from tts.models.guidance import Guidance, classifier_free
from tts.models.latent import LatentModel, Network
from tts.models.parameterisation import FlowVelocity
from tts.models.prompts import Encoded, PromptedNetwork, PromptSettings, shortened, stacked
from tts.networks import autoencoder
from tts.plan import Condition
from tts.precision import Precision
from tts.samplers.interpolant import InterpolantSettings
from tts.samplers.schedules import FlowLevels
from tts.samplers.settings import InterpolantByDefault

if TYPE_CHECKING:
    from torch import Tensor

    from tts.samplers.base import Sampler


def stepped(steps: int, **noise: Any) -> Any:
    """The field of a family's sampler."""
    made = InterpolantSettings.model_validate({"steps": steps, "noise": noise})
    return Field(
        default_factory=lambda: made,
        description=f"the sampler: {{name: interpolant, steps: {steps}, noise: {{kind: {made.noise.kind}, share: 1}}}}",
    )


class FlowSettings(PromptSettings):
    """Settings of a flow that draws prompts."""

    PATCH: ClassVar[int] = 2
    """Cells of a latent along a side of the network's tokens."""
    EVEN: ClassVar[bool] = True
    """Whether its pipeline hands even levels to the scheduler."""
    PIXELS: ClassVar[int | None] = 1024
    """Height and width where none are set; None: the network's own."""
    TOKENIZER: ClassVar[tuple[str, int]]
    """The tokenizer that reads most of a prompt, and how many tokens of it are read."""

    precision: Precision = Field("bf16", description="of the networks; states and noise levels are float32")
    sampler: InterpolantByDefault = stepped(28)
    guidance: float = Field(ge=1, description="scale of classifier-free guidance; 1: none, half the forwards")

    @abstractmethod
    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """An encoded prompt, or for None what guidance leads away from."""

    @abstractmethod
    def velocity(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """The network's velocity towards noise.

        Args:
            x: latents, ``[B, C, h, w]`` in the network's precision.
            s: noise levels, ``[B]`` float32.
            texts: prompts as :meth:`collate` has made them.
            scale: of the guidance, ``[B]`` float32, of networks that are told it.

        Returns:
            ``[B, C, h, w]``.
        """

    def collate(self, encoded: Sequence[Encoded]) -> Any:
        """A batch of encoded prompts; stacked where all are of one length."""
        return stacked(encoded)

    def guide(self) -> Guidance:
        """How the network is asked."""
        return classifier_free(self.guidance)

    @property
    def passes(self) -> int:
        """Forwards of a prediction."""
        return self.guide().passes

    @property
    def multiple(self) -> int:
        """Of which height and width must be multiples."""
        return self.factor * self.PATCH

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the images."""
        if self.size is None and self.PIXELS is not None:
            return self.PIXELS, self.PIXELS
        return super().pixels

    @property
    def channels(self) -> int:
        """Of a latent."""
        return int(self.config_of(self.network)["in_channels"])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a latent, ``(C, h, w)``."""
        height, width = self.pixels
        return self.channels, height // self.factor, width // self.factor

    def schedule(self) -> FlowLevels:
        """The checkpoint's noise levels, for images of the wanted size."""
        _, height, width = self.shape
        return FlowSchedule(self.scheduler_config(), self.EVEN, height * width // self.PATCH**2)

    def stepper(self) -> Sampler:
        """The sampler on the checkpoint's noise levels."""
        return self._explained(lambda: self.sampler.on(self.schedule()))

    def check(self) -> None:
        """Find missing, damaged and foreign parts, and settings that do not fit them."""
        super().check()
        self.guide()
        self.stepper()
        if self.preview is not None:
            autoencoder.check_tiny(self.preview, self.channels)

    def cutter(self) -> Callable[[str], str | None]:
        """What says of a prompt what is cut of it; None: nothing."""
        from transformers import AutoTokenizer

        part, limit = self.TOKENIZER
        tokenizer = AutoTokenizer.from_pretrained(self.checkpoint.folder() / part, local_files_only=True)
        return partial(self._cut, tokenizer, limit)

    def tokens(self, tokenizer: Any, prompt: str) -> list[int]:
        """All that is read of a prompt if there is no limit."""
        found: list[int] = tokenizer(prompt)["input_ids"]
        return found

    def _cut(self, tokenizer: Any, limit: int, prompt: str) -> str | None:
        tokens, around = self.tokens(tokenizer, prompt), len(self.tokens(tokenizer, ""))
        if len(tokens) <= limit:
            return None
        lost = tokenizer.decode(tokens[limit - around : len(tokens) - around])
        return (
            f"prompt '{shortened(prompt)}' is longer than the {limit - around} tokens that are read; cut: "
            f"'{shortened(lost)}'"
        )

    def decoder(self, vae: Any) -> Callable[[Tensor], Tensor]:
        """Clean latents ``[B, C, h, w]`` float32 to images ``[B, 3, H, W]`` in about [-1, 1]."""
        return autoencoder.decoder(vae)

    def load(self, device: str = "cpu") -> Model:
        """The model in its precision; prompts are encoded when they are first asked for."""
        pipeline = self.placed(device)
        network = getattr(pipeline, self.network)

        def answer(x: Tensor, s: Tensor, encoded: Sequence[Encoded], scale: Tensor | None) -> Tensor:
            return self.velocity(network, x.to(network.dtype), s.float(), self.collate(encoded), scale)

        asked = PromptedNetwork(network, lambda prompt: self.encode(pipeline, prompt, device), answer)
        return LatentModel(
            FlowDenoiser(asked, self.guide()),
            self.stepper(),
            self.decoder(pipeline.vae),
            self.previewer(pipeline, device),
            self.shape,
        )

    def told(self, embedded: bool) -> None:
        """Refuse a scale of guidance that is given to a network that was distilled without one.

        Raises:
            SettingError: it is given.
        """
        if not embedded and "guidance" in self.model_fields_set and self.guidance > 1:
            raise SettingError(f"guidance = {self.guidance:g}: {self.id} was distilled to need none; leave it out")


@dataclass(frozen=True)
class FlowDenoiser:
    """A network that predicts the velocity of a flow, told its noise levels.

    Args:
        network: the raw denoiser, with its conditioning.
        guidance: how it is asked.
    """

    network: Network
    guidance: Guidance

    def __call__(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Clean latents, ``[B, C, h, w]`` float32, of such latents at levels ``[B]`` float64 on the host."""
        from tts.engine.device_queue import upload

        s = upload(levels, x.device)
        return FlowVelocity().clean(x, self.guidance(self.network, x, s, conditions), 1 - s, s)
