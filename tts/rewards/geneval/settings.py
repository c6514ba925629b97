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
    """Whether an image shows the objects that its prompt names: their number, colours and positions, by a detector.

    model, pretrained and the settings beside them are of the CLIP that names colours. Prompts that the metadata do not
    have cannot be scored.
    """

    reads_prompts = False  # what it reads are a few words of its own

    metadata: str = Field(PUBLISHED, description="file or address of the prompts and what their images must show")
    detector: Detecting = Field(default_factory=Detecting, description="which objects an image has")
    value: Literal["strict", "graded"] = Field(
        "strict", description="strict: 1 where all demands hold, else 0, as published; graded: how far they hold"
    )

    def suits(self, model: ModelSettings) -> None:
        """Models that draw prompts only."""
        if model.conditions():
            raise SettingError("reward geneval: judges prompts, and this model draws classes; use dino_classes")

    def check(self) -> None:
        """Also reads the metadata and finds the detector."""
        super().check()
        unknown = sorted({name for each in self.demands.values() for name in each.classes} - self.detector.classes())
        if unknown:
            raise SettingError(f"detector: knows no {unknown[0]}, which metadata {self.metadata} ask for")

    @property
    def path(self) -> Path:
        """The file of the metadata, fetched first if need be."""
        return locate(self.metadata, "metadata", PUBLISHED_SHA256 if self.metadata == PUBLISHED else None)

    @cached_property
    def demands(self) -> dict[str, Demand]:
        """What images must show, by prompt."""
        return {each.prompt: each for each in metadata.read(self.path)}

    def notes(self, conditions: Sequence[Condition], caption: Caption = str) -> list[str]:
        """Prompts that the metadata do not have."""
        unknown = [text for each in conditions if (text := caption(each).strip()) not in self.demands]
        if not unknown:
            return super().notes(conditions, caption)
        line = (
            f"{len(unknown)} of {len(conditions)} prompts are not in the metadata and cannot be scored: {unknown[0]!r}"
        )
        return [line, *super().notes(conditions, caption)]

    def identity(self) -> dict[str, Any]:
        """Also the digests of the metadata and of the detector's files."""
        found = {"metadata": sha256(self.path, "metadata"), "detector": self.detector.identity()}
        return {**super().identity(), **found}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The detector, and the encoders that name colours."""
        colours = ColourNames(self.encoders(device))
        return GenEvalReward(self.detector.load(device), colours, self.demands, self.value == "graded", device, caption)


class GenEvalReward:
    """The verdict on each image, one after another, as what is found in one depends on no other."""

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
