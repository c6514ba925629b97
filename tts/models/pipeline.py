"""The base of all models on diffusers' pipelines: files, checks, identity, loading."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import Field

from tts.errors import WeightsError
from tts.models.agreements import check_latents, check_length
from tts.models.base import ModelSettings
from tts.models.built_keys import defaults_of, table_of
from tts.models.checkpoint import INDEX, Checkpoint
from tts.models.config_keys import TABLES, check_keys
from tts.models.parts import check_filled, load_part, pipeline_of
from tts.plan import Plan
from tts.precision import Precision, dtype
from tts.quiet import quiet

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import DiffusionPipeline
    from torch import nn

    from tts.samplers.base import Sampler

T = TypeVar("T")

ADDRESS = {"id", "revision", "variant", "file", "preview"}
"""Settings that an identity replaces with digests."""


class PipelineSettings(ModelSettings):
    """Settings that all models on diffusers' pipelines share."""

    needs_torch = True

    PIPELINE: ClassVar[str]
    """The checkpoint's class in diffusers."""
    ALSO: ClassVar[frozenset[str]] = frozenset()
    """Other classes with the same parts, which the checkpoint may name instead."""
    COMPONENTS: ClassVar[Mapping[str, str]]
    """The pipeline's parts with weights, and the class (or the library) of each; the denoiser first."""
    KEYS: ClassVar[Mapping[str, str]] = {}
    """Names of tables of keys, by class; other classes have a table of their own name."""
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()
    """Parts that a checkpoint may lack."""

    id: str = Field(description="local folder, or name of a repository on the hub (owner/name)")
    revision: str | None = Field(None, description="branch, tag or commit of the repository")
    variant: str | None = Field(None, description="infix of the weight files to use, for example fp16")
    precision: Precision = Field("fp32", description="precision of the networks; states are float32")

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the files come from."""
        return Checkpoint(self.id, self.revision, self.variant)

    @property
    def components(self) -> Mapping[str, str]:
        """:attr:`COMPONENTS` without the optional parts that the checkpoint lacks."""
        if not self.OPTIONAL:
            return self.COMPONENTS
        index = self.checkpoint.config(INDEX)
        lacking = {part for part in self.OPTIONAL if not any(index.get(part) or ())}
        return {part: kind for part, kind in self.COMPONENTS.items() if part not in lacking}

    @abstractmethod
    def stepper(self) -> Sampler:
        """The sampler on the checkpoint's noise levels."""

    @property
    @abstractmethod
    def passes(self) -> int:
        """Forwards of the network that one prediction takes."""

    def plan(self) -> Plan:
        """The sampler's plan on the checkpoint's schedule; with guidance, a prediction may take two forwards."""
        return self.stepper().plan.times(self.passes)

    def check(self) -> None:
        """Find missing, damaged and foreign parts and unsupported keys (``WeightsError``); downloads missing files."""
        self.checkpoint.check(self.PIPELINE, self.components, self.ALSO)
        self.check_configurations()

    def check_configurations(self) -> None:
        """Refuse unsupported keys in the configurations of the parts.

        Raises:
            WeightsError: a key is unknown or has an unsupported value, or a configuration is for another class.
        """
        self.checkpoint.check_classes(self.components)
        for part, kind in self.components.items():
            self._explained(partial(self._check_part, part, kind))
        if "vae" in self.components:
            self._explained(lambda: check_latents(self.config_of("vae")))

    def _check_part(self, part: str, kind: str) -> None:
        index, name = self.checkpoint.config(INDEX), self.KEYS.get(kind, kind)
        config = {**defaults_of(index[part], name), **self.config_of(part)}
        check_keys(f"{part}/config.json", config, table_of(index[part], name))
        words = part.replace("text_encoder", "tokenizer")
        if kind.startswith("CLIPText") and any(index.get(words) or ()):
            file = f"{words}/tokenizer_config.json"
            check_keys(file, self.checkpoint.config(file), TABLES["CLIPTokenizer"])
            check_length(self.checkpoint.config(file), config, words)

    def identity(self) -> dict[str, Any]:
        """The settings, with digests of the weights and of the schedule in place of their address."""
        settings, schedule = self.record(), self.scheduler_config()
        return {
            **{name: value for name, value in settings.items() if name not in ADDRESS},
            "schedule": {name: value for name, value in schedule.items() if not name.startswith("_")},
            "weights": self.checkpoint.identity(self.components),
        }

    def pipeline(self, parts: Collection[str] | None = None) -> DiffusionPipeline:
        """The pipeline in host memory, without unneeded parts.

        Args:
            parts: names of the parts whose weights are loaded; None: all.

        Raises:
            WeightsError: the weights of a part do not fit its configuration.
        """
        return self.loaded(self.PIPELINE, parts)

    def loaded(self, name: str, parts: Collection[str] | None = None) -> DiffusionPipeline:
        """:meth:`pipeline`, made by the class ``name`` of diffusers."""
        self.check_configurations()
        kind: Any = pipeline_of(name)
        folder, file = self.checkpoint.folder(), self.checkpoint.single_file()
        common = {"dtype": dtype(self.precision), "local_files_only": True, **self.absent(), **self._without(parts)}
        self.checkpoint.check_weights({part: self.components[part] for part in self._wanted(parts)})
        self.checkpoint.check_file(self.components)  # nothing else is opened
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of outdated scheduler configurations
            try:
                if file is not None:
                    found = kind.from_single_file(str(file), config=str(folder), **common)
                    for component in self._wanted(parts):
                        check_filled(getattr(found, component), f"its {component}")
                else:
                    found = kind.from_pretrained(folder, **{**common, **self._parts(folder, self._wanted(parts))})
            except WeightsError as error:
                raise WeightsError(f"id {self.id}: {error}") from None
            except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
                text = " ".join(str(error).split())
                raise WeightsError(f"id {self.id}: its parts cannot be loaded ({text[:300]})") from None
        self.adapt(found, self._wanted(parts))
        return found

    def adapt(self, pipeline: Any, parts: Collection[str]) -> None:
        """Change the weights of a pipeline's parts in host memory, if settings ask for it."""

    def _parts(self, folder: Path, wanted: Collection[str]) -> dict[str, nn.Module]:
        """The networks of some parts, in host memory."""
        index = self.checkpoint.config(INDEX)
        return {part: load_part(folder / part, index[part], self.variant, dtype(self.precision)) for part in wanted}

    def placed(self, device: str, parts: Collection[str] | None = None) -> Any:
        """The pipeline with its parts, or only ``parts``, on a device, ready to compute."""
        from tts.networks.placing import place
        from tts.networks.spreading import devices_of_denoiser, spread

        pipeline = self.pipeline(parts)
        self.shrink(pipeline, self._wanted(parts), device)
        devices = devices_of_denoiser()
        for part in self._wanted(parts):
            if part == next(iter(self.components), None) and len(devices) > 1:
                spread(getattr(pipeline, part), devices, part)
            else:
                place(getattr(pipeline, part), device, part=part)
        return pipeline

    def shrink(self, pipeline: Any, parts: Collection[str], device: str) -> None:
        """Quantise weights for a device, if the settings ask for it."""

    def _wanted(self, parts: Collection[str] | None) -> list[str]:
        return [part for part in self.components if parts is None or part in parts]

    def _without(self, parts: Collection[str] | None) -> dict[str, Any]:
        """None for each part that is not loaded, and for its tokenizer."""
        wanted = self._wanted(parts)
        unwanted = [part for part in self.components if part not in wanted]
        tokenizers = [part.replace("text_encoder", "tokenizer") for part in unwanted]
        return dict.fromkeys([*unwanted, *tokenizers])

    def absent(self) -> dict[str, Any]:
        """None for each part that the pipeline leaves out or the checkpoint lacks."""
        lacking = [part for part in self.COMPONENTS if part not in self.components]
        return dict.fromkeys([*lacking, *(part.replace("text_encoder", "tokenizer") for part in lacking)])

    def config_of(self, component: str) -> dict[str, Any]:
        """A part's own configuration."""
        return self.checkpoint.config(f"{component}/config.json")

    def scheduler_config(self) -> dict[str, Any]:
        """The scheduler's configuration."""
        return self.checkpoint.config("scheduler/scheduler_config.json")

    def _explained(self, make: Callable[[], T]) -> T:
        """The result of a function; the checkpoint's name is added to its errors about weights."""
        try:
            return make()
        except WeightsError as error:
            named = str(error).startswith(f"id {self.id}: ")
            raise WeightsError(str(error) if named else f"id {self.id}: {error}") from None
