"""UnifiedReward (Wang et al. 2025, arXiv 2503.05236): a vision-language model that writes a score for an image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from tts.plan import Condition
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.vlm.chat import Chat
from tts.rewards.vlm.texts import filled
from tts.rewards.vlm.unified import POINTS, QUESTION, UnifiedModel
from tts.rewards.written import written

if TYPE_CHECKING:
    from torch import Tensor


class UnifiedReward(UnifiedModel, RewardSettings):
    """The score, 1 to 5, that a model writes after it has checked the image against the prompt.

    The question is that of the authors, read from their published program. An answer without a score gives no value.
    """

    question: str = Field(POINTS, description=QUESTION)
    pattern: str = Field(r"Final Score:\s*([0-9.]+)", description="regex; its first group in the answer is the score")

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

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The model, ready to be asked."""
        return WrittenScore(self.chat(device), self.template(), self.pattern, self.tokens, caption)


class WrittenScore:
    """The score that a model writes for each image."""

    host = False

    def __init__(self, chat: Chat, question: str, pattern: str, tokens: int, caption: Caption) -> None:
        self.chat, self.question, self.tokens, self.caption = chat, question, tokens, caption
        self.pattern = re.compile(pattern)

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """The score in each answer; None where there is none."""
        asked = self.chat.of_each(images, [filled(self.question, self.caption(each)) for each in conditions])
        return [
            self.read(answer) for answer in self.chat.each(asked, lambda each: self.chat.answers(each, self.tokens))
        ]

    def read(self, answer: str) -> Score:
        """The number in an answer; None where there is none."""
        return written(self.pattern, answer)
