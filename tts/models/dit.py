"""Diffusion transformers for ImageNet classes (Peebles and Xie 2023, arXiv 2212.09748).

The network is diffusers'. It embeds a time by waves of the frequencies 10000^(-i/127), i = 0 .. 127. The authors'
program, in which the weights were trained, has 10000^(-i/128) instead. So images equal those of diffusers' pipeline,
and differ slightly from those of the authors' program. The model ``sit`` uses the published frequencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.errors import WeightsError
from tts.models.base import Model
from tts.models.checkpoint import INDEX
from tts.models.classes import OfClasses
from tts.models.config_keys import TABLES, check_keys
from tts.models.guiding import LatentGuidance, Scale
from tts.models.latent import GUIDANCE, LatentModel, LatentSettings
from tts.models.sizes import sample_size
from tts.networks import autoencoder
from tts.plan import Condition

if TYPE_CHECKING:
    from torch import Tensor, nn


DEFAULTS = {"sample_size": 32, "in_channels": 4}
"""Defaults of diffusers' class, for configurations that leave them out."""


class DiT(OfClasses, LatentSettings):
    """DiT: class-conditional latent diffusion, DDIM with noise; ImageNet at 256x256 by default."""

    PIPELINE: ClassVar[str] = "DiTPipeline"
    COMPONENTS: ClassVar[dict[str, str]] = {"transformer": "DiTTransformer2DModel", "vae": "AutoencoderKL"}

    id: str = Field(
        "facebook/DiT-XL-2-256", description="local folder, or name of a repository on the hub (owner/name)"
    )
    guidance: LatentGuidance = Field(Scale(scale=4.0), description=GUIDANCE)

    @property
    def classes(self) -> int:
        """Number of classes of the network."""
        return int(self.config_of("transformer")["num_embeds_ada_norm"])

    def check(self) -> None:
        """Also check the images' size."""
        super().check()
        self.latent_shape()

    def check_configurations(self) -> None:
        """Also check the pipeline's own configuration, and the number of channels that the transformer returns."""
        super().check_configurations()
        self._explained(partial(check_keys, INDEX, self.checkpoint.config(INDEX), TABLES["index"]))
        config = {**DEFAULTS, **self.config_of("transformer")}
        ins, outs = config["in_channels"], config.get("out_channels")
        if outs not in (None, ins, 2 * ins):
            raise WeightsError(f"id {self.id}: its transformer answers with {outs} channels to {ins}; set another id")

    def latent_shape(self) -> tuple[int, int, int]:
        """Shape of a latent, ``(C, h, w)``.

        Raises:
            WeightsError: it is not square; diffusers' network supports square latents only.
        """
        config = {**DEFAULTS, **self.config_of("transformer")}
        height, width = self._explained(lambda: sample_size(config, "transformer", "set another id"))
        if isinstance(config["sample_size"], list):
            raise WeightsError(
                f"id {self.id}: its transformer's sample_size is {[height, width]}, and a DiTTransformer2DModel takes "
                "one number; set another id"
            )
        return int(config["in_channels"]), height, width

    def raw_network(self, pipeline: Any, device: str) -> ClassTransformer:
        """The transformer, which takes class indices."""
        return ClassTransformer(pipeline.transformer)

    def load(self, device: str = "cpu") -> Model:
        """The model on a device, in the precision of its settings."""
        shape, pipeline = self.latent_shape(), self.placed(device)
        return LatentModel(
            self.denoiser(self.raw_network(pipeline, device), device),
            self.stepper(),
            autoencoder.decoder(pipeline.vae),
            None,
            shape,
        )


class ClassTransformer:
    """A DiT; the class index after the last one means "no class". The learned variance is ignored."""

    def __init__(self, transformer: Any) -> None:
        self.transformer, self.none = transformer, int(transformer.config.num_embeds_ada_norm)

    @property
    def module(self) -> nn.Module:
        """The transformer, which is the part worth compiling."""
        return self.transformer  # type: ignore[no-any-return]

    def __call__(self, x: Tensor, times: Tensor, conditions: Sequence[Condition | None]) -> Tensor:
        import torch

        from tts.engine.device_queue import upload

        labels = [self.none if condition is None else int(condition) for condition in conditions]
        classes = upload(torch.tensor(labels), x.device)
        output: Tensor = self.transformer(
            x.to(self.transformer.dtype), timestep=times, class_labels=classes, return_dict=False
        )[0]
        return output[:, : x.shape[1]]
