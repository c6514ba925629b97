"""Latent diffusion models on diffusers' pipelines: what Stable Diffusion, SDXL and DiT share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import Field, model_validator

from tts import media
from tts.errors import WeightsError
from tts.models.config_keys import TABLES, check_keys
from tts.models.guidance import Autoguidance, ClassifierFree, Embedded, Guidance, Unguided
from tts.models.guiding import (
    ClassifierFreeGuidance,
    EmbeddedGuidance,
    GuidanceSettings,
    LatentGuidance,
    Scale,
    WeakerPipeline,
    resolved,
)
from tts.models.parameterisation import PARAMETERISATIONS, Parameterisation
from tts.models.pipeline import PipelineSettings
from tts.models.schedule import CheckpointSchedule, Prediction, prediction_type
from tts.plan import Condition
from tts.samplers.ddim import DDIMSettings
from tts.samplers.linear import LinearSampler
from tts.samplers.settings import DDIMByDefault
from tts.settings import parse

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tts.samplers.base import Sampler

SCHEDULER = "scheduler/scheduler_config.json"
GUIDANCE = (
    "scale (of classifier-free guidance, or told to networks that have it embedded; 1: none), or {name: none, "
    "classifier_free, embedded or autoguidance, scale: ...}"
)
OLD_KEYS = ("steps", "eta", "spacing")
"""Settings of the sampler that stood among the model's while DDIM was the only one."""


class Network(Protocol):
    """A raw denoiser with its conditioning."""

    @property
    def module(self) -> nn.Module:
        """The network itself."""
        ...

    def __call__(self, x: Tensor, times: Tensor, conditions: Sequence[Condition | None]) -> Tensor:
        """``(x [B, C, h, w], times [B] int64, conditions) -> [B, C, h, w]``; a condition of None is the
        unconditional one. With embedded guidance there is a fourth argument, the scales ``[B]``.
        """
        ...


class LatentSettings(PipelineSettings):
    """Settings of latent diffusion models with betas."""

    sampler: DDIMByDefault = Field(
        default_factory=DDIMSettings, description="the sampler: {name: ddim, steps: 50, eta: 1.0}"
    )
    guidance: LatentGuidance = Field(Scale(scale=7.5), description=GUIDANCE)
    prediction: Prediction | None = Field(None, description="what the network predicts, if you want it checked")

    @model_validator(mode="before")
    @classmethod
    def _with_old_keys(cls, values: Any) -> Any:
        """The sampler's settings, where they stand beside it, as they did before there was more than one sampler."""
        moved = tuple(key for key in OLD_KEYS if isinstance(values, dict) and key in values)
        if not moved:
            return values
        rest = {key: value for key, value in values.items() if key not in moved}
        given = rest.get("sampler", {})
        given = {"name": given} if isinstance(given, str) else given
        if not isinstance(given, dict) or given.keys() & set(moved):
            raise ValueError(f"{', '.join(moved)} and sampler: give the former inside the latter, once")
        return {**rest, "sampler": {**given, **{key: values[key] for key in moved}}}

    def record(self) -> dict[str, Any]:
        """The settings as plain values; DDIM's stand beside the others, as they did when it was the only sampler."""
        found = super().record()
        sampler = found.pop("sampler")
        return {**found, "sampler": sampler} if "name" in sampler else {**found, **sampler}

    @classmethod
    def old_keys(cls, given: Mapping[str, Any]) -> list[str]:
        """A line on settings of the sampler that stand beside it."""
        moved = [key for key in OLD_KEYS if key in given]
        values = ", ".join(f"{key}: {given[key]}" for key in moved)
        return [f"{', '.join(moved)}: the sampler's now; write 'sampler: {{name: ddim, {values}}}'"] if moved else []

    def schedule(self) -> CheckpointSchedule:
        """The checkpoint's noise levels."""
        return CheckpointSchedule(self.mended(self.scheduler_config()))

    def mended(self, config: dict[str, Any]) -> dict[str, Any]:
        """The checkpoint's schedule as the pipeline uses it."""
        return config

    def stepper(self) -> Sampler:
        """The sampler on the checkpoint's schedule."""
        return self._explained(lambda: self.sampler.on(self.schedule()))

    def predicts(self) -> Prediction:
        """What the network predicts."""
        config = self.scheduler_config()
        return self._explained(lambda: prediction_type(config, self.prediction))

    @property
    def guided(self) -> GuidanceSettings:
        """The kind of guidance that the network gets.

        Raises:
            SettingError: the network is not made for it.
        """
        return resolved(self.guidance, self.embeds)

    @property
    def embeds(self) -> bool:
        """Whether the network is told the scale of guidance."""
        return False

    @property
    def passes(self) -> int:
        """Forwards of a prediction."""
        return self.guided.passes

    def weaker(self) -> Self | None:
        """The model whose answer autoguidance leads away from."""
        if not isinstance(guided := self.guided, WeakerPipeline):
            return None
        address = guided.record()
        del address["scale"]
        values = {**self.record(), "guidance": "none", **self.elsewhere(), **address}
        found: Self = parse(type(self), values, "guidance autoguidance")
        return found

    def elsewhere(self) -> dict[str, Any]:
        """Settings of where the weights come from, at their defaults, for a model of the same kind elsewhere."""
        return {}

    def check(self) -> None:
        """Find missing, damaged and foreign parts; fetches what is not there."""
        super().check()
        kind, sampler = self.predicts(), self.stepper()
        if kind == "epsilon" and isinstance(sampler, LinearSampler) and sampler.weights(0, False).signal <= 0:
            raise WeightsError(f"id {self.id}: its schedule begins without signal, where noise cannot be predicted")
        if (weaker := self.weaker()) is not None:
            weaker.check()
            self._compare(weaker)

    def check_configurations(self) -> None:
        """Refuse what the parts', the scheduler's and the whole's configurations ask for and nobody here does."""
        super().check_configurations()
        self._explained(partial(check_keys, SCHEDULER, self.scheduler_config(), TABLES["scheduler"]))

    def _compare(self, weaker: LatentSettings) -> None:
        """Answers of two networks can be mixed only if they answer the same question."""
        for what, of in COMPARED.items():
            ours, theirs = of(self), of(weaker)
            if ours != theirs:
                raise WeightsError(
                    f"guidance.id {weaker.id}: has another {what} than {self.id}, so that answers cannot be mixed"
                )

    def identity(self) -> dict[str, Any]:
        """The settings, and digests of the weights, the weaker network's among them, in place of their address."""
        found, weaker = super().identity(), self.weaker()
        if weaker is not None:
            guided: Any = self.guided
            weights = weaker.checkpoint.identity(weaker.components)
            found["guidance"] = {"name": guided.name, "scale": guided.scale, "weights": weights}
        return found

    @abstractmethod
    def raw_network(self, pipeline: Any, device: str) -> Network:
        """The raw denoiser with its conditioning, of a pipeline on a device."""

    def denoiser(self, network: Network, device: str) -> LatentDenoiser:
        """The model that a network on a device and the settings make."""
        alphas = self._explained(lambda: self.schedule().alphas)
        return LatentDenoiser(network, PARAMETERISATIONS[self.predicts()], self.guidance_on(device), alphas)

    def guidance_on(self, device: str) -> Guidance:
        """How the network is asked; a weaker one that its answer leads away from is loaded onto the device."""
        guided = self.guided
        if isinstance(guided, EmbeddedGuidance):
            return Embedded(guided.scale)
        if isinstance(guided, ClassifierFreeGuidance):
            return ClassifierFree(guided.scale)
        if isinstance(guided, WeakerPipeline) and (weaker := self.weaker()) is not None:
            self._compare(weaker)
            return Autoguidance(guided.scale, weaker.raw_network(weaker.placed(device), device))
        return Unguided()


COMPARED: dict[str, Callable[[LatentSettings], object]] = {
    "kind of prediction": lambda model: model.predicts(),
    "schedule": lambda model: model.schedule().alphas,
    "number of channels": lambda model: model.config_of(next(iter(model.COMPONENTS))).get("in_channels"),
    "number of classes": lambda model: len(model.conditions()),
}
"""The properties that two networks must share for their answers to be mixed."""


@dataclass(frozen=True)
class LatentDenoiser:
    """A network that predicts clean latents, told whole time steps.

    Args:
        network: the raw denoiser, with its conditioning.
        kind: what it predicts.
        guidance: how it is asked.
        alphas: signal level of every time step.
    """

    network: Network
    kind: Parameterisation
    guidance: Guidance
    alphas: Sequence[float]

    def __call__(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """``(x [B, C, h, w] float32, levels [B] on the host, conditions) -> [B, C, h, w]`` float32."""
        import torch

        from tts.engine.device_queue import upload

        times = levels.long()
        alphas = torch.tensor([self.alphas[time] for time in times.tolist()], dtype=torch.float64)
        output = self.guidance(self.network, x, upload(times, x.device), conditions)
        alpha = upload(alphas, x.device)
        return self.kind.clean(x, output, alpha.sqrt(), (1 - alpha).sqrt())


class Denoiser(Protocol):
    """Predicts clean latents, ``(x [B, C, h, w] float32, levels [B] float64 on the host, conditions)``."""

    @property
    def guidance(self) -> Guidance:
        """How the network is asked."""
        ...

    @property
    def network(self) -> Network:
        """The raw network, with its conditioning."""
        ...

    def __call__(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Clean latents, ``[B, C, h, w]`` float32."""
        ...


class LatentModel:
    """A latent model on one device, a model (:class:`tts.models.base.Model`) of classes or prompts.

    Args:
        denoiser: predicts clean latents.
        sampler: on the time steps that the denoiser is told.
        decoder: clean latents to images in [-1, 1].
        preview: the same by cheaper means, for predicted images.
        shape: of a latent, ``(C, h, w)``.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        sampler: Sampler,
        decoder: Callable[[Tensor], Tensor],
        preview: Callable[[Tensor], Tensor] | None,
        shape: tuple[int, ...],
    ) -> None:
        self.denoiser, self.sampler, self.shape = denoiser, sampler, shape
        self.decoder, self.preview = decoder, preview
        self.passes, self.previews = denoiser.guidance.passes, preview is not None

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Predicted clean latents ``[B, C, h, w]`` float32 of noisy ones at levels ``[B]``."""
        return self.denoiser(x, levels, conditions)

    @property
    def module(self) -> nn.Module:
        """The raw network."""
        return self.denoiser.network.module

    def decode(self, x: Tensor, preview: bool = False) -> media.Media:
        """Clean latents as images; rounded as diffusers does."""
        decoder = self.preview if preview and self.preview is not None else self.decoder
        return media.quantised_as_diffusers(decoder(x).float())
