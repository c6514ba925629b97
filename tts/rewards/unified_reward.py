"""UnifiedReward (Wang et al. 2025, arXiv 2503.05236): a vision-language model that writes what an image is worth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from tts.errors import SettingError
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.plan import Condition
from tts.rewards.base import Caption, Reward, Score
from tts.rewards.vlm.chat import Chat
from tts.rewards.vlm.settings import VisionLanguageSettings
from tts.rewards.vlm.texts import CAPTION, filled, longest_question

if TYPE_CHECKING:
    from torch import Tensor

REPOSITORY = "https://raw.githubusercontent.com/CodeGoat24/UnifiedReward/ff6f520247a2d36e2aff7b2ba53a935afd437f66"
PUBLISHED = f"{REPOSITORY}/inference_qwen/image_generation/qwen_point_score_image_generation.py"
PUBLISHED_SHA256 = "5c8c2efcb7f07283a3a4b3685043e2da0ee909c876829a9edbe4938a4881971c"


class UnifiedReward(VisionLanguageSettings):
    """The score, 1 to 5, that a model gives an image after it has looked for what the prompt names.

    The question is its authors', read from their published program; an answer without a score has no value.
    """

    id: str = Field(
        "CodeGoat24/UnifiedReward-qwen-7b", description="folder, or name on the hub, of the model in transformers' form"
    )
    question: str = Field(
        PUBLISHED, description="file or address of the question: a text with {caption}, or the authors' program"
    )
    pattern: str = Field(r"Final Score:\s*([0-9.]+)", description="its first group in the answer is the score")
    tokens: int = Field(512, ge=1, description="of the longest answer")

    @field_validator("pattern")
    @classmethod
    def _has_a_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(str(error)) from None
        if groups < 1:
            raise ValueError("it needs a group, as in 'score: ([0-9.]+)'")
        return value

    def check(self) -> None:
        """Also reads the question."""
        super().check()
        self.template()

    def template(self) -> str:
        """The question, with a place for the prompt.

        Raises:
            SettingError: it has none.
            WeightsError: it cannot be had.
        """
        found = longest_question(self._path(), "question")
        if CAPTION not in found:
            raise SettingError(f"question {self.question}: has no {CAPTION}")
        return found

    def _path(self) -> Path:
        return locate(self.question, "question", PUBLISHED_SHA256 if self.question == PUBLISHED else None)

    def identity(self) -> dict[str, Any]:
        """Also the digest of the question."""
        return {**super().identity(), "question": sha256(self._path(), "question")}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The model, ready to be asked."""
        return WrittenScore(self.chat(device), self.template(), self.pattern, self.tokens, caption)


class WrittenScore:
    """The number that a model writes of each image."""

    host = False

    def __init__(self, chat: Chat, question: str, pattern: str, tokens: int, caption: Caption) -> None:
        self.chat, self.question, self.tokens, self.caption = chat, question, tokens, caption
        self.pattern = re.compile(pattern)

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """See :class:`tts.rewards.base.Reward`."""
        asked = [
            self.chat.question([image], filled(self.question, self.caption(condition)))
            for image, condition in zip(images, conditions, strict=True)
        ]
        return [
            self.read(answer) for answer in self.chat.each(asked, lambda each: self.chat.answers(each, self.tokens))
        ]

    def read(self, answer: str) -> Score:
        """The number in an answer; None where there is none."""
        found = self.pattern.search(answer)
        try:
            return None if found is None else float(found.group(1))
        except ValueError:
            return None
