"""``name: diffusers``: any text-to-image pipeline of diffusers without a dedicated family."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.errors import SettingError, WeightsError
from tts.models.base import Model
from tts.models.built_keys import table_of
from tts.models.checkpoint import INDEX
from tts.models.config_keys import TABLES, check_keys
from tts.models.flow import FlowDenoiser
from tts.models.flow_keys import scheduler_table
from tts.models.flow_schedule import CogView4Schedule, FlowSchedule
from tts.models.guidance import Unguided
from tts.models.latent import SCHEDULER, Denoiser, LatentDenoiser, LatentModel
from tts.models.parameterisation import PARAMETERISATIONS
from tts.models.parts import hollow_part, pipeline_of
from tts.models.pipeline_asking import PROBE, PipelineEncoder, check_call, one_step
from tts.models.pipeline_calls import PipelineCalls
from tts.models.pipeline_prompts import refusal, refused
from tts.models.prompt_store import Encoded, current_source
from tts.models.prompts import EncodedPromptSettings, code_of
from tts.models.schedule import CheckpointSchedule, prediction_type
from tts.models.tokenizers import cutter_of, length_read, read_tokenizer
from tts.precision import Precision, dtype
from tts.prompts import Cut
from tts.samplers.interpolant import InterpolantSettings
from tts.samplers.schedules import Schedule
from tts.samplers.settings import InterpolantByDefault

if TYPE_CHECKING:
    from tts.samplers.base import Sampler

LIBRARIES = ("diffusers", "transformers")
"""Libraries of the classes that a checkpoint may name."""
DENOISERS = ("transformer", "unet")
"""Possible names of the denoiser's part."""
TOKENIZER = re.compile(r"tokenizer(_\d)?")
"""Names of the parts that read prompts."""
OWN_LEVELS = {"CogView4Pipeline": CogView4Schedule}
"""Pipelines that give their scheduler neither even levels nor none, and their levels."""
WITHOUT_WEIGHTS = ("Scheduler", "Tokenizer", "Processor", "Extractor", "TokenizerFast")


class AnyPipeline(EncodedPromptSettings):
    """Any text-to-image pipeline of diffusers; slower than a dedicated family, and some noise levels are unknown."""

    id: str = Field(description="local folder, or name of a repository on the hub (owner/name)")
    precision: Precision = Field("bf16", description="precision of the networks; states and noise levels are float32")
    sampler: InterpolantByDefault = Field(
        default_factory=InterpolantSettings, description="the sampler: {name: interpolant, steps: 28, noise: {...}}"
    )
    arguments: dict[str, bool | int | float | str | None] = Field(
        {}, description="arguments of the pipeline's call, for example {guidance_scale: 4.5, negative_prompt: ''}"
    )
    forwards: int = Field(
        2, ge=1, le=3, description="forwards of the network per prediction: 2 with classifier-free guidance, else 1"
    )
    even: bool = Field(True, description="for flows: whether the pipeline gives its scheduler evenly spaced levels")
    cell: int = Field(16, ge=1, description="pixels along a side of a token, on which a dynamic shift depends")

    @property
    def components(self) -> Mapping[str, str]:
        """The parts with weights that the checkpoint names, if their library is known, and the library of each."""
        index = self.checkpoint.config(INDEX)
        named = {part: kind for part, kind in index.items() if isinstance(kind, list) and all(kind)}
        foreign = next((part for part, kind in named.items() if kind[0] not in LIBRARIES), None)
        if foreign is not None:
            raise WeightsError(
                f"id {self.id}: its {foreign} is code of its own ({named[foreign][0]}), which is not run"
            )
        found = {part: kind[1] for part, kind in named.items() if not kind[1].endswith(WITHOUT_WEIGHTS)}
        return dict(sorted(found.items(), key=lambda part: part[0] not in DENOISERS))

    @property
    def passes(self) -> int:
        """Forwards of the network that one prediction takes."""
        return self.forwards

    @property
    def network(self) -> str:
        """Name of the denoiser's part."""
        return next((part for part in DENOISERS if part in self.components), DENOISERS[0])

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the images."""
        if self.size is None:
            raise SettingError("size: model diffusers does not know its images' size; set it")
        return super().pixels

    def absent(self) -> dict[str, Any]:
        """Parts to leave out: none, as the pipeline is used as it is."""
        return {}

    def check(self) -> None:
        """Find missing, damaged and foreign parts (``WeightsError``), and pipelines that cannot be used."""
        name = self.checkpoint.config(INDEX).get("_class_name")
        check_call(self._explained(lambda: pipeline_of(str(name))), self.arguments)
        if self.preview is not None:
            raise SettingError("preview: model diffusers decodes by its pipeline alone; leave it out")
        self.checkpoint.check(str(name), self.components)
        self.stepper()
        self.check_configurations()

    def check_configurations(self) -> None:
        """Refuse keys that no class of the installed releases takes, and unknown keys of the schedule."""
        self.checkpoint.check_classes(self.components)
        index, config = self.checkpoint.config(INDEX), self.scheduler_config()
        for part in self.components:
            table = self._explained(partial(table_of, index[part], ""))
            self._explained(partial(check_keys, f"{part}/config.json", self.config_of(part), table))
        table = scheduler_table(config) if self.of_flow else TABLES["scheduler"]
        self._explained(partial(check_keys, SCHEDULER, config, table))

    @property
    def of_flow(self) -> bool:
        """Whether its scheduler is a flow's."""
        config = self.scheduler_config()
        return "FlowMatch" in str(config.get("_class_name")) or bool(config.get("use_flow_sigmas"))

    def schedule(self) -> Schedule:
        """The checkpoint's noise levels."""
        height, width = self.pixels
        if self.of_flow:
            kind = OWN_LEVELS.get(str(self.checkpoint.config(INDEX).get("_class_name")), FlowSchedule)
            return kind(self.scheduler_config(), self.even, (height // self.cell) * (width // self.cell))
        return CheckpointSchedule(self.scheduler_config())

    def stepper(self) -> Sampler:
        """The sampler on the checkpoint's noise levels."""
        return self._explained(lambda: self.sampler.on(self.schedule()))

    def cutter(self) -> Callable[[str], Cut | None]:
        """A function that finds the part of a prompt that none of the tokenizers reads.

        Tokens that the pipeline adds around a prompt are not counted.
        """
        index, folder = self.checkpoint.config(INDEX), self.checkpoint.folder()
        names = sorted(name for name in index if TOKENIZER.fullmatch(name) and any(index[name] or ()))
        tokenizers = [self._explained(partial(read_tokenizer, folder / name)) for name in names]
        kind = self._explained(lambda: pipeline_of(str(index["_class_name"])))
        return cutter_of(tokenizers, length_read(kind, self.arguments))

    def pipeline(self, parts: Collection[str] | None = None) -> Any:
        """The pipeline of the class that the checkpoint names."""
        return self.loaded(str(self.checkpoint.config(INDEX)["_class_name"]), parts)

    @property
    def called_with(self) -> dict[str, Any]:
        """Arguments of the pipeline's call other than prompts, latents and steps."""
        height, width = self.pixels
        return {"height": height, "width": width, **self.arguments}

    def encoder_identity(self) -> dict[str, Any]:
        """The identity, with the arguments of the pipeline's call."""
        called = {"called_with": self.called_with, "calling": code_of(PipelineEncoder)["source"], "any": PROBE}
        return {**super().encoder_identity(), **called}

    def encoder(self, pipeline: Any, device: str) -> Callable[[str | None], Encoded]:
        """A function that encodes a prompt (None: any) by the pipeline's own call."""
        return PipelineEncoder(pipeline, self.called_with)

    def encoding(self, device: str) -> Callable[[str | None], Encoded]:
        """:meth:`encoder` with text encoders only; for a pipeline that needs more, the function returns the reason."""
        encode = self.encoder(self.placed(device, self.encoders), device)
        try:
            encode(None)
        except SettingError as error:
            return partial(_refuse, str(error))
        return encode

    def unstored(self, encoded: Encoded) -> str | None:
        """The note on a pipeline whose prompts cannot be encoded separately."""
        why = refused(encoded)
        if why is None:
            return None
        return (
            f"model diffusers: every engine loads the text encoders, as prompts of {self.id} cannot be encoded "
            f"without the rest of its pipeline ({why})"
        )

    def placed(self, device: str, parts: Collection[str] | None = None) -> Any:
        """The pipeline with its parts, or some of them, on a device, to be called for one step."""
        pipeline = super().placed(device, parts)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.scheduler = one_step(pipeline.scheduler)
        return at(pipeline, device)

    def _without(self, parts: Collection[str] | None) -> dict[str, Any]:
        """Unused parts as networks without weights, since a pipeline reads their configurations."""
        index, folder = self.checkpoint.config(INDEX), self.checkpoint.folder()
        unwanted = [part for part in self.components if part not in self._wanted(parts)]
        return {part: hollow_part(folder / part, index[part], dtype(self.precision)) for part in unwanted}

    def load(self, device: str = "cpu") -> Model:
        """The model on a device, after two calls that probe its pipeline."""
        source = current_source()
        encode = None if source is None else source(self, device)
        if encode is not None and self.unstored(encode(None)) is not None:
            encode = None
        pipeline = self.placed(device, self.components if encode is None else None)
        schedule = self.schedule()
        calls = PipelineCalls(
            pipeline,
            self.called_with,
            1000.0 if self.of_flow else 1.0,
            encode or self.encoder(pipeline, device),
            schedule.told if isinstance(schedule, FlowSchedule) else None,
        )
        self._compare(calls)
        return PipelineModel(self._denoiser(calls), self.stepper(), calls.decode, None, calls.shape, self.forwards)

    def _denoiser(self, calls: PipelineCalls) -> Denoiser:
        if self.of_flow:
            return FlowDenoiser(calls, Unguided())
        kind = PARAMETERISATIONS[prediction_type(self.scheduler_config(), None)]
        return LatentDenoiser(calls, kind, Unguided(), CheckpointSchedule(self.scheduler_config()).alphas)

    def _compare(self, calls: PipelineCalls) -> None:
        """Refuse settings that contradict the pipeline."""
        given = calls.scheduler.given or {}
        if calls.size != self.pixels:
            raise SettingError(
                f"size = {self.size}: its pipeline draws {calls.size[0]}x{calls.size[1]} pixels for it; set size to "
                "multiples of what it can draw"
            )
        if calls.passes != self.forwards:
            raise SettingError(
                f"forwards = {self.forwards}: its pipeline takes {calls.passes} for a prediction; set that"
            )
        if self.of_flow and given["sigmas"] != self.even:
            raise SettingError(f"even = {self.even}: its pipeline does not; set even to {given['sigmas']}")
        schedule = self.schedule()
        if self.of_flow and given["timesteps"] and not isinstance(schedule, CogView4Schedule):
            raise SettingError(
                "model diffusers: its pipeline has time steps of its own beside its levels, which are not known"
            )
        if isinstance(schedule, FlowSchedule) and schedule.config.get("use_dynamic_shifting"):
            ours = schedule.shift(1)
            if given["mu"] is None or abs(given["mu"] - ours) > 1e-6:
                raise SettingError(f"cell = {self.cell}: its pipeline shifts by {given['mu']}, not by {ours:.4f}")


def _refuse(why: str, prompt: str | None) -> Encoded:
    return refusal(why)


def at(pipeline: Any, device: str) -> Any:
    """The pipeline, made to compute on a device even if some of its networks have no weights there."""
    import torch

    kind, where = type(pipeline), property(lambda _: torch.device(device))
    pipeline.__class__ = type(kind.__name__, (kind,), {"device": where, "_execution_device": where})
    return pipeline


class PipelineModel(LatentModel):
    """A pipeline as a model; the pipeline itself does the guidance.

    Args:
        passes: forwards of the network that one prediction takes.
    """

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts[:-1])
        self.passes = parts[-1]
