"""Latent diffusion models on diffusers' pipelines: the base of Stable Diffusion, SDXL, DiT and PixArt-Sigma."""

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
"""Settings of the sampler that stood among the model's settings while DDIM was the only sampler."""


class Network(Protocol):
    """A raw denoiser with its conditioning."""

    @property
    def module(self) -> nn.Module:
        """The network itself."""
        ...

    def __call__(self, x: Tensor, times: Tensor, conditions: Sequence[Condition | None]) -> Tensor:
        """``(x [B, C, h, w], times [B] int64, conditions) -> [B, C, h, w]``.

        None asks for the answer without a condition. With embedded guidance there is a fourth argument: the guidance
        scales ``[B]``.
        """
        ...


class LatentSettings(PipelineSettings):
    """Settings of latent diffusion models whose schedule has betas."""

    sampler: DDIMByDefault = Field(
        default_factory=DDIMSettings, description="the sampler: {name: ddim, steps: 50, eta: 1.0}"
    )
    guidance: LatentGuidance = Field(Scale(scale=7.5), description=GUIDANCE)
    prediction: Prediction | None = Field(None, description="what the network predicts, if you want it checked")

    @model_validator(mode="before")
    @classmethod
    def _with_old_keys(cls, values: Any) -> Any:
        """Move the sampler's settings into ``sampler``, where an old configuration has them beside it."""
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
        """The settings as plain values; DDIM's stand among the model's, as when DDIM was the only sampler."""
        found = super().record()
        sampler = found.pop("sampler")
        return {**found, "sampler": sampler} if "name" in sampler else {**found, **sampler}

    @classmethod
    def old_keys(cls, given: Mapping[str, Any]) -> list[str]:
        """A line about settings of the sampler that stand beside it, if there are any."""
        moved = [key for key in OLD_KEYS if key in given]
        values = ", ".join(f"{key}: {given[key]}" for key in moved)
        return [f"{', '.join(moved)}: the sampler's now; write 'sampler: {{name: ddim, {values}}}'"] if moved else []

    def schedule(self) -> CheckpointSchedule:
        """The checkpoint's noise levels."""
        return CheckpointSchedule(self.mended(self.scheduler_config()))

    def mended(self, config: dict[str, Any]) -> dict[str, Any]:
        """The scheduler's configuration with the changes that the pipeline makes to it."""
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
            SettingError: the network does not support it.
        """
        return resolved(self.guidance, self.embeds)

    @property
    def embeds(self) -> bool:
        """Whether the network is told the guidance scale."""
        return False

    @property
    def passes(self) -> int:
        """Forwards of the network that one prediction takes."""
        return self.guided.passes

    def weaker(self) -> Self | None:
        """The model away from whose answer autoguidance leads; None without autoguidance."""
        if not isinstance(guided := self.guided, WeakerPipeline):
            return None
        address = guided.record()
        del address["scale"]
        values = {**self.record(), "guidance": "none", **self.elsewhere(), **address}
        found: Self = parse(type(self), values, "guidance autoguidance")
        return found

    def elsewhere(self) -> dict[str, Any]:
        """Defaults of the settings that say where weights come from, for a model of the same kind from elsewhere."""
        return {}

    def check(self) -> None:
        """Find missing, damaged and foreign parts (``WeightsError``); missing files are downloaded."""
        super().check()
        kind, sampler = self.predicts(), self.stepper()
        if kind == "epsilon" and isinstance(sampler, LinearSampler) and sampler.weights(0, False).signal <= 0:
            raise WeightsError(f"id {self.id}: its schedule begins without signal, where noise cannot be predicted")
        if (weaker := self.weaker()) is not None:
            weaker.check()
            self._compare(weaker)

    def check_configurations(self) -> None:
        """Refuse unsupported values in the configurations of the parts, the scheduler and the pipeline."""
        super().check_configurations()
        self._explained(partial(check_keys, SCHEDULER, self.scheduler_config(), TABLES["scheduler"]))

    def _compare(self, weaker: LatentSettings) -> None:
        """Check that both networks predict the same thing, so that their answers can be mixed."""
        for what, of in COMPARED.items():
            ours, theirs = of(self), of(weaker)
            if ours != theirs:
                raise WeightsError(
                    f"guidance.id {weaker.id}: has another {what} than {self.id}, so that answers cannot be mixed"
                )

    def identity(self) -> dict[str, Any]:
        """The settings, with digests of the weights (also of the weaker network's) in place of their address."""
        found, weaker = super().identity(), self.weaker()
        if weaker is not None:
            guided: Any = self.guided
            weights = weaker.checkpoint.identity(weaker.components)
            found["guidance"] = {"name": guided.name, "scale": guided.scale, "weights": weights}
        return found

    @abstractmethod
    def raw_network(self, pipeline: Any, device: str) -> Network:
        """The raw denoiser with its conditioning, from a pipeline on a device."""

    def denoiser(self, network: Network, device: str) -> LatentDenoiser:
        """A denoiser from a network on a device, with the guidance of the settings."""
        alphas = self._explained(lambda: self.schedule().alphas)
        return LatentDenoiser(network, PARAMETERISATIONS[self.predicts()], self.guidance_on(device), alphas)

    def guidance_on(self, device: str) -> Guidance:
        """The guidance with which the network is asked; autoguidance's weaker network is loaded onto the device."""
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
"""Properties that two networks must share, so that their answers can be mixed."""


@dataclass(frozen=True)
class LatentDenoiser:
    """Clean latents from a network that is told integer time steps.

    Args:
        network: the raw denoiser, with its conditioning.
        kind: what it predicts.
        guidance: the guidance with which it is asked.
        alphas: signal level (cumulative alpha) of every time step.
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
        """The guidance with which the network is asked."""
        ...

    @property
    def network(self) -> Network:
        """The raw network, with its conditioning."""
        ...

    def __call__(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Clean latents, ``[B, C, h, w]`` float32."""
        ...


class LatentModel:
    """A latent model on one device, as a :class:`tts.models.base.Model` of classes or prompts.

    Args:
        denoiser: predicts clean latents.
        sampler: steps on the levels that the denoiser is told.
        decoder: clean latents ``[B, C, h, w]`` to images ``[B, 3, H, W]`` in [-1, 1].
        preview: a cheaper decoder of the same form, for predicted images; None: ``decoder``.
        shape: shape of a latent, ``(C, h, w)``.
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
        """Predicted clean latents of noisy ones at levels ``[B]`` float64; both are ``[B, C, h, w]`` float32."""
        return self.denoiser(x, levels, conditions)

    @property
    def module(self) -> nn.Module:
        """The raw network."""
        return self.denoiser.network.module

    def decode(self, x: Tensor, preview: bool = False) -> media.Media:
        """Clean latents as images ``[B, 3, H, W]`` uint8, rounded as diffusers does."""
        decoder = self.preview if preview and self.preview is not None else self.decoder
        return media.quantised_as_diffusers(decoder(x).float())
