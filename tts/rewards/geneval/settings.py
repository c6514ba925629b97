"""GenEval's scorer as a reward."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tts.errors import SettingError
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.models.base import ModelSettings
from tts.plan import Condition
from tts.rewards.base import Caption, Reward, Score
from tts.rewards.contrastive import ContrastiveSettings
from tts.rewards.geneval import metadata, rules
from tts.rewards.geneval.colours import ColourNames
from tts.rewards.geneval.loading import Detecting
from tts.rewards.geneval.metadata import Demand

if TYPE_CHECKING:
    from torch import Tensor

    from tts.rewards.geneval.detectors import Detector

PUBLISHED = (
    "https://raw.githubusercontent.com/djghosh13/geneval/af4902f24d3ca90ebbb446dd9891a59e0f82725f/"
    "prompts/evaluation_metadata.jsonl"
)
PUBLISHED_SHA256 = "5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13"


class GenEval(ContrastiveSettings):
    """Whether a detector finds the objects that the prompt names, in their number, colours and positions.

    ``model``, ``pretrained`` and the settings beside them choose the CLIP that names colours. Prompts that are not in
    the metadata cannot be scored.
    """

    reads_prompts = False  # it reads fixed phrases

    metadata: str = Field(PUBLISHED, description="file or address of the prompts and what their images must show")
    detector: Detecting = Field(default_factory=Detecting, description="the detector of objects")
    value: Literal["strict", "graded"] = Field(
        "strict", description="strict: 1 where all demands hold, else 0, as published; graded: how far they hold"
    )

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model of classes, as the metadata is about prompts; raises a ``SettingError``."""
        if model.conditions():
            raise SettingError("reward geneval: judges prompts, and this model draws classes; use dino_classes")

    def check(self) -> None:
        """Check CLIP, read the metadata and find the detector."""
        super().check()
        unknown = sorted({name for each in self.demands.values() for name in each.classes} - self.detector.classes())
        if unknown:
            raise SettingError(f"detector: does not know '{unknown[0]}', which metadata {self.metadata} needs")

    @property
    def path(self) -> Path:
        """The metadata file; if the setting is an address, it is downloaded once."""
        return locate(self.metadata, "metadata", PUBLISHED_SHA256 if self.metadata == PUBLISHED else None)

    @cached_property
    def demands(self) -> dict[str, Demand]:
        """The demands on images, by prompt."""
        return {each.prompt: each for each in metadata.read(self.path)}

    def notes(self, conditions: Sequence[Condition], caption: Caption = str) -> list[str]:
        """Notes on prompts that are not in the metadata."""
        unknown = [text for each in conditions if (text := caption(each).strip()) not in self.demands]
        if not unknown:
            return super().notes(conditions, caption)
        line = (
            f"{len(unknown)} of {len(conditions)} prompts are not in the metadata and cannot be scored: {unknown[0]!r}"
        )
        return [line, *super().notes(conditions, caption)]

    def identity(self) -> dict[str, Any]:
        """The identity of CLIP, and the digests of the metadata and of the detector's files."""
        found = {"metadata": sha256(self.path, "metadata"), "detector": self.detector.identity()}
        return {**super().identity(), **found}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The detector, and the encoders that name colours."""
        colours = ColourNames(self.encoders(device))
        return GenEvalReward(self.detector.load(device), colours, self.demands, self.value == "graded", device, caption)


class GenEvalReward:
    """The verdict on each image; images go one at a time, so that none depends on the others."""

    host = False

    def __init__(
        self,
        detector: Detector,
        colours: ColourNames,
        demands: dict[str, Demand],
        graded: bool,
        device: str,
        caption: Caption,
    ) -> None:
        self.detector, self.colours, self.demands, self.graded = detector, colours, demands, graded
        self.device, self.caption = device, caption

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        return [self._one(image, self.caption(each)) for image, each in zip(images, conditions, strict=True)]

    def _one(self, image: Tensor, prompt: str) -> Score:
        demand = self.demands.get(prompt.strip())
        if demand is None:
            return None
        near = image.to(self.device)
        objects = rules.kept(self.detector(near), demand.task)

        def colour(found: rules.Found) -> str:
            return self.colours(near, found)

        judge = rules.graded if self.graded else rules.correct
        return float(judge(objects, demand, colour))
