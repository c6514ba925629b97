"""Diffusers checkpoints: local folders, repositories of the hub, single files. Nothing in them is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tts.errors import WeightsError, first_line
from tts.files.digests import sha256
from tts.files.hub import hub_file, hub_folder, local_folder, unreachable
from tts.files.locate import locate
from tts.files.reading import obstacle
from tts.models.parts import tensors_of
from tts.models.schedule import CheckpointSchedule
from tts.models.single_file import PREFIXES, Contents, check_count, check_form, check_whole, contents_of
from tts.quiet import quiet

INDEX = "model_index.json"
UNUSED = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts of Stable Diffusion's repositories that are not needed to draw images."""
FORMER = dict.fromkeys(("DiTTransformer2DModel", "PixArtTransformer2DModel"), "Transformer2DModel")
"""Former names of classes, as published checkpoints have them."""
TEXTS = ("*.json", "*.txt", "*.model", "*.jinja")
"""Patterns of the names of configurations, vocabularies and chat templates."""
READERS = ("tokenizer*/", "processor*/")
"""Folders of the parts that read prompts."""
ADAPTER = "adapter_config.json"
"""The name of an adapter's configuration, by which transformers finds one beside a network's own weights."""
WHOLE = {"I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "BOOL"}
"""Names of integer types in safetensors files."""


@dataclass(frozen=True)
class Checkpoint:
    """The files of a pipeline, wherever they come from.

    Args:
        id: local folder, or name of a repository on the hub.
        revision: branch, tag or commit of the repository.
        variant: infix of the weight files to use, for example ``fp16``.
        file: path or address of a single safetensors file in the original authors' form, whose weights are used with
            the configuration that ``id`` has.
    """

    id: str
    revision: str | None = None
    variant: str | None = None
    file: str | None = None

    def config(self, name: str) -> dict[str, Any]:
        """Read one of its JSON files; only this file is downloaded.

        Raises:
            WeightsError: the file is missing, or does not hold a JSON object.
        """
        path = self._file(name)
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise WeightsError(f"id {self.id}: {name} cannot be read ({error})") from None
        if not isinstance(content, dict):
            raise WeightsError(f"id {self.id}: {name} holds no settings")
        return content

    def _file(self, name: str) -> Path:
        folder = local_folder(self.id, "id")
        if folder is None:
            return hub_file(self.id, name, "id", self.revision)
        if not (folder / name).is_file():
            raise WeightsError(f"id {self.id}: the folder has no {name}; is it a diffusers checkpoint?")
        return folder / name

    def folder(self) -> Path:
        """A local folder with all needed files, except the weights of a single file; downloaded if needed.

        Raises:
            WeightsError: the folder cannot be fetched.
        """
        return local_folder(self.id, "id") or _fetch(self)

    def single_file(self) -> Path | None:
        """The single file, downloaded if needed; None if there is none."""
        return None if self.file is None else locate(self.file, "file")

    def contents(self) -> Contents | None:
        """The single file's description of itself, if there is one."""
        file = self.single_file()
        if file is None:
            return None
        check_safetensors(file)
        return contents_of(file)

    def check(self, pipeline: str, components: Mapping[str, str], also: Collection[str] = ()) -> None:
        """Find missing and damaged files before anything is loaded.

        Args:
            pipeline: the pipeline's class that the checkpoint must name.
            components: parts with weights, and the class (or the library) of each.
            also: other pipeline classes that it may name instead.

        Raises:
            WeightsError: a part is missing, damaged or of another class.
        """
        index = self.config(INDEX)
        if index.get("_class_name") not in (pipeline, *also):
            raise WeightsError(f"id {self.id}: holds a {index.get('_class_name')}, not a {pipeline}; set another model")
        for component, kind in components.items():
            found = index.get(component)
            if not (isinstance(found, list) and any(found)):
                raise WeightsError(f"id {self.id}: has no {component}, which must be a {kind}; set an id that has one")
            if not names_of(kind) & {str(name) for name in found}:
                raise WeightsError(f"id {self.id}: its {component} is {found}, not a {kind}; set another id")
        self.check_weights(components)
        self.check_file(components)

    def check_classes(self, components: Collection[str]) -> None:
        """Compare the class that each part's own configuration names with the class in the index.

        Raises:
            WeightsError: they differ.
        """
        index = self.config(INDEX)
        for part in components:
            named, own = str((index.get(part) or [""])[-1]), self.config(f"{part}/config.json").get("_class_name")
            if own is not None and not names_of(named) & names_of(own):
                raise WeightsError(f"id {self.id}: its {part}'s config is of a {own}, not a {named}; set another id")

    def check_weights(self, components: Mapping[str, str]) -> None:
        """Find weights that are missing, damaged or quantised.

        Raises:
            WeightsError: there are such weights.
        """
        for file in self._weights(components):
            check_safetensors(file)

    def check_file(self, components: Mapping[str, str]) -> None:
        """Check the single file, if there is one: it must hold all parts and fit the configuration used with it.

        Raises:
            WeightsError: it does not; the message says what it holds.
        """
        found = self.contents()
        if found is None:
            return
        scheduler = self.config("scheduler/scheduler_config.json")
        try:
            check_whole(found.names, components)
            alphas = CheckpointSchedule(scheduler).alphas if found.alphas else ()
            check_form(found, self.config("unet/config.json"), scheduler, alphas)
            check_count(found.names, {part: self._tensors(part, components[part]) for part in PREFIXES})
        except WeightsError as error:
            raise WeightsError(f"file {self.file}: {error}") from None

    def _tensors(self, part: str, kind: str) -> int:
        return tensors_of(("diffusers", kind), self.config(f"{part}/config.json"))

    def identity(self, components: Mapping[str, str]) -> dict[str, str]:
        """SHA-256 of every file that affects what the parts compute, by its name in the checkpoint."""
        folder, weights = self.folder(), self._weights(components)
        parts = [*components, *sorted(part.name for kind in READERS for part in folder.glob(kind))]
        texts = [file for part in parts for kind in TEXTS for file in sorted((folder / part).glob(kind))]
        names = ["file" if self.file else str(file.relative_to(folder)) for file in weights]
        return {
            **{name: _digest(file) for name, file in zip(names, weights, strict=True)},
            **{str(file.relative_to(folder)): _digest(file) for file in texts},
        }

    def _weights(self, components: Mapping[str, str]) -> list[Path]:
        single = self.single_file()
        if single is not None:
            return [single]
        folder = self.folder()
        return [file for component in components for file in self._component_weights(folder / component)]

    def _component_weights(self, folder: Path) -> list[Path]:
        refuse_adapter(folder, f"id {self.id}: its {folder.name}")
        infix = rf"\.{re.escape(self.variant)}" if self.variant else ""
        pattern = re.compile(rf"(diffusion_pytorch_)?model{infix}(-\d+-of-\d+)?\.safetensors")
        files = [file for file in sorted(folder.glob("*")) if pattern.fullmatch(file.name)]
        if not files:
            wanted = f"safetensors weights of variant '{self.variant}'" if self.variant else "safetensors weights"
            raise WeightsError(
                f"id {self.id}: its {folder.name} has no {wanted}; set variant to what it has, or save it as "
                "safetensors (pickled weights are not opened)"
            )
        index = re.compile(rf"(diffusion_pytorch_)?model\.safetensors\.index{infix}\.json")
        listed = {name for file in folder.glob("*.json") if index.fullmatch(file.name) for name in shards(file)}
        if lacking := sorted(listed - {file.name for file in files}):
            raise WeightsError(f"id {self.id}: its {folder.name} lacks {', '.join(lacking)}; download it again")
        return files


@lru_cache(maxsize=8)
def _fetch(checkpoint: Checkpoint) -> Path:
    from diffusers import DiffusionPipeline

    if checkpoint.file is not None:
        return hub_folder(checkpoint.id, TEXTS, "id", checkpoint.revision)
    with unreachable(checkpoint.id), quiet():
        folder = DiffusionPipeline.download(
            checkpoint.id,
            revision=checkpoint.revision,
            variant=checkpoint.variant,
            use_safetensors=True,
            **dict.fromkeys(UNUSED),  # parts that are handed over are not fetched
        )
    return Path(folder)


def names_of(kind: str) -> set[str]:
    """The present and former names of a class."""
    return {kind, FORMER.get(kind, kind)}


def refuse_adapter(folder: Path, what: str) -> None:
    """Refuse a network with an adapter beside its weights, which transformers adds only where peft is installed.

    Raises:
        WeightsError: there is one.
    """
    if (folder / ADAPTER).exists():
        raise WeightsError(f"{what} has an adapter beside its weights ({ADAPTER}); merge it, or remove it in a copy")


def check_safetensors(path: Path, setting: str = "weights") -> None:
    """Check by its header and size that a file is a whole safetensors file without quantised weights.

    Args:
        path: the file.
        setting: the setting that names the file, for messages.

    Raises:
        WeightsError: it is missing, cut short, quantised or no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise WeightsError(f"{setting} {path}: a folder; name a file, or set id to the folder")
    try:
        with safe_open(path, framework="numpy") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise WeightsError(f"{setting} {path}: {obstacle(path)}") from None
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{setting} {path}: damaged or not a safetensors file ({first_line(error)})") from None
    whole = next((name for name, kind in kinds.items() if kind in WHOLE and name.endswith((".weight", ".bias"))), None)
    if whole is not None:
        raise WeightsError(
            f"{setting} {path}: '{whole}' is {kinds[whole]}: quantised weights are not read; name others"
        )


def shards(path: Path) -> set[str]:
    """Names of the files over which the weights are split, by the file that lists them."""
    try:
        return {str(name) for name in json.loads(path.read_text())["weight_map"].values()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise WeightsError(f"weights {path}: cannot be read ({first_line(error)})") from None


def _digest(path: Path) -> str:
    """SHA-256 of a file; for large files, the hub's cache has it as the name of the file that a link points to.

    A link in any other folder may lead to a file of any name.
    """
    from huggingface_hub import constants

    found = path.resolve()
    named = path.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", found.name)
    return found.name if named and found.is_relative_to(Path(constants.HF_HUB_CACHE).resolve()) else sha256(path, "id")
