"""``name: diffusers``: any text-to-image pipeline of diffusers that nobody has written a family for."""

from __future__ import annotations

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
from tts.models.flow_schedule import FlowSchedule
from tts.models.guidance import Unguided
from tts.models.latent import SCHEDULER, Denoiser, LatentDenoiser, LatentModel
from tts.models.parameterisation import PARAMETERISATIONS
from tts.models.parts import pipeline_of
from tts.models.pipeline_calls import PipelineCalls
from tts.models.prompts import PromptSettings
from tts.models.schedule import CheckpointSchedule, prediction_type
from tts.precision import Precision
from tts.prompts import Cut
from tts.samplers.interpolant import InterpolantSettings
from tts.samplers.schedules import Schedule
from tts.samplers.settings import InterpolantByDefault

if TYPE_CHECKING:
    from tts.samplers.base import Sampler

LIBRARIES = ("diffusers", "transformers")
"""Whose classes a checkpoint may name."""
WITHOUT_WEIGHTS = ("Scheduler", "Tokenizer", "Processor", "Extractor", "TokenizerFast")


class AnyPipeline(PromptSettings):
    """Any text-to-image pipeline of diffusers: slower than a family of its own, and its levels are not all known."""

    id: str = Field(description="local folder, or name of a repository on the hub (owner/name)")
    precision: Precision = Field("bf16", description="of the networks; states and noise levels are float32")
    sampler: InterpolantByDefault = Field(
        default_factory=InterpolantSettings, description="the sampler: {name: interpolant, steps: 28, noise: {...}}"
    )
    arguments: dict[str, bool | int | float | str | None] = Field(
        {}, description="of the pipeline's call, for example {guidance_scale: 4.5, negative_prompt: ''}"
    )
    forwards: int = Field(
        2, ge=1, le=3, description="of the network for a prediction: 2 with classifier-free guidance, else 1"
    )
    even: bool = Field(True, description="of flows: whether the pipeline hands even levels to its scheduler")
    cell: int = Field(16, ge=1, description="pixels along a side of a token, on which a dynamic shift depends")

    @property
    def components(self) -> Mapping[str, str]:
        """The parts with weights that the checkpoint names, of libraries that are known."""
        index = self.checkpoint.config(INDEX)
        named = {part: kind for part, kind in index.items() if isinstance(kind, list) and all(kind)}
        foreign = next((part for part, kind in named.items() if kind[0] not in LIBRARIES), None)
        if foreign is not None:
            raise WeightsError(
                f"id {self.id}: its {foreign} is code of its own ({named[foreign][0]}), which is not run"
            )
        return {part: kind[1] for part, kind in named.items() if not kind[1].endswith(WITHOUT_WEIGHTS)}

    @property
    def passes(self) -> int:
        """Forwards of a prediction."""
        return self.forwards

    @property
    def network(self) -> str:
        """Name of the denoiser's part."""
        return next((part for part in ("transformer", "unet") if part in self.components), "transformer")

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of the images."""
        if self.size is None:
            raise SettingError("size: model diffusers does not know its images' size; set it")
        return super().pixels

    def absent(self) -> dict[str, Any]:
        """Nothing: the pipeline is used as it is."""
        return {}

    def check(self) -> None:
        """Find missing, damaged and foreign parts, and pipelines that cannot be used."""
        name = self.checkpoint.config(INDEX).get("_class_name")
        self._explained(lambda: pipeline_of(str(name)))
        if self.preview is not None:
            raise SettingError("preview: model diffusers decodes by its pipeline alone; leave it out")
        self.checkpoint.check(str(name), self.components)
        self.stepper()
        self.check_configurations()

    def check_configurations(self) -> None:
        """Refuse keys that no class of the installed releases takes, and those of a schedule that is not known."""
        self.checkpoint.check_classes(self.components)
        index, config = self.checkpoint.config(INDEX), self.scheduler_config()
        for part in self.components:
            table = self._explained(partial(table_of, index[part], ""))
            self._explained(partial(check_keys, f"{part}/config.json", self.config_of(part), table))
        table = scheduler_table(config) if self.of_flow else TABLES["scheduler"]
        self._explained(partial(check_keys, SCHEDULER, config, table))

    @property
    def of_flow(self) -> bool:
        """Whether its scheduler is of a flow."""
        config = self.scheduler_config()
        return "FlowMatch" in str(config.get("_class_name")) or bool(config.get("use_flow_sigmas"))

    def schedule(self) -> Schedule:
        """The checkpoint's noise levels."""
        height, width = self.pixels
        if self.of_flow:
            return FlowSchedule(self.scheduler_config(), self.even, (height // self.cell) * (width // self.cell))
        return CheckpointSchedule(self.scheduler_config())

    def stepper(self) -> Sampler:
        """The sampler on the checkpoint's noise levels."""
        return self._explained(lambda: self.sampler.on(self.schedule()))

    def cutter(self) -> Callable[[str], Cut | None]:
        """Nothing is known of its tokenizers."""
        return lambda _: None

    def pipeline(self, parts: Collection[str] | None = None) -> Any:
        """The pipeline of the class that the checkpoint names."""
        return self.loaded(str(self.checkpoint.config(INDEX)["_class_name"]), parts)

    def load(self, device: str = "cpu") -> Model:
        """The model, after two calls that say how its pipeline asks its network."""
        height, width = self.pixels
        calls = PipelineCalls(
            self.placed(device), {"height": height, "width": width, **self.arguments}, 1000.0 if self.of_flow else 1.0
        )
        self._compare(calls)
        return PipelineModel(self._denoiser(calls), self.stepper(), calls.decode, None, calls.shape, self.forwards)

    def _denoiser(self, calls: PipelineCalls) -> Denoiser:
        if self.of_flow:
            return FlowDenoiser(calls, Unguided())
        kind = PARAMETERISATIONS[prediction_type(self.scheduler_config(), None)]
        return LatentDenoiser(calls, kind, Unguided(), CheckpointSchedule(self.scheduler_config()).alphas)

    def _compare(self, calls: PipelineCalls) -> None:
        """Refuse settings that say other than what the pipeline does."""
        given = calls.scheduler.given or {}
        if calls.passes != self.forwards:
            raise SettingError(
                f"forwards = {self.forwards}: its pipeline takes {calls.passes} for a prediction; set that"
            )
        if self.of_flow and given["sigmas"] != self.even:
            raise SettingError(f"even = {self.even}: its pipeline does otherwise; set even to {given['sigmas']}")
        schedule = self.schedule()
        if isinstance(schedule, FlowSchedule) and schedule.config.get("use_dynamic_shifting"):
            ours = schedule.shift(1)
            if given["mu"] is None or abs(given["mu"] - ours) > 1e-6:
                raise SettingError(f"cell = {self.cell}: its pipeline shifts by {given['mu']}, not by {ours:.4f}")


class PipelineModel(LatentModel):
    """A pipeline as a model: its guidance happens within it.

    Args:
        passes: forwards of a prediction.
    """

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts[:-1])
        self.passes = parts[-1]
