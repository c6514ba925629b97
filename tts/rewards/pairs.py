"""Which of two images of a prompt is better: UnifiedReward's other question (Wang et al. 2025, arXiv 2503.05236)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pydantic import Field

from tts.rewards.vlm.chat import Chat
from tts.rewards.vlm.texts import filled
from tts.rewards.vlm.unified import PAIRS, QUESTION, UnifiedModel

if TYPE_CHECKING:
    from torch import Tensor

BETTER, EQUAL = re.compile(r"Image ([12]) is better"), re.compile(r"equally good")


class Pair(NamedTuple):
    """Two images ``[3, H, W]`` uint8 of a prompt."""

    first: Tensor
    second: Tensor
    prompt: str


class PairJudge(Protocol):
    """Compares images."""

    def preferences(self, pairs: Sequence[Pair]) -> list[float | None]:
        """For each pair, 1 if the second image is better, 0 if the first is, 0.5 if they are equal; None: no answer."""
        ...


class UnifiedRewardPairs(UnifiedModel):
    """A model that reads two images of a prompt and writes which is better. It cannot score a single image."""

    question: str = Field(PAIRS, description=QUESTION)

    def judge(self, device: str = "cpu") -> PairJudge:
        """The model, ready to be asked."""
        return WrittenPreference(self.chat(device), self.template(), self.tokens)


class WrittenPreference:
    """Preferences that a model writes; each pair is asked in both orders, as such models favour one position."""

    def __init__(self, chat: Chat, question: str, tokens: int) -> None:
        self.chat, self.question, self.tokens = chat, question, tokens

    def preferences(self, pairs: Sequence[Pair]) -> list[float | None]:
        """The mean over both orders of each pair; None where one order has no answer."""
        there = self._answers(pairs)
        back = self._answers([Pair(pair.second, pair.first, pair.prompt) for pair in pairs])
        return [None if a is None or b is None else (a + 1 - b) / 2 for a, b in zip(there, back, strict=True)]

    def _answers(self, pairs: Sequence[Pair]) -> list[float | None]:
        asked = [self.chat.question([pair.first, pair.second], filled(self.question, pair.prompt)) for pair in pairs]
        return [read(answer) for answer in self.chat.each(asked, lambda each: self.chat.answers(each, self.tokens))]


def read(answer: str) -> float | None:
    """1 if the answer calls the second image better, 0 if it calls the first better, 0.5 if neither; None: no verdict.

    The last verdict counts, as models reason before they decide.
    """
    found = [(match.start(), float(match.group(1) == "2")) for match in BETTER.finditer(answer)]
    found += [(match.start(), 0.5) for match in EQUAL.finditer(answer)]
    return max(found)[1] if found else None
