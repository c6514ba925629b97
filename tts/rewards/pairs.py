"""Which of two images of a prompt is better: UnifiedReward's other question (Wang et al. 2025, arXiv 2503.05236)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import Field

from tts.errors import SettingError
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.rewards.unified_reward import REPOSITORY
from tts.rewards.vlm.chat import Chat
from tts.rewards.vlm.settings import VisionLanguageSettings
from tts.rewards.vlm.texts import CAPTION, filled, longest_question

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED = f"{REPOSITORY}/inference_qwen/image_generation/qwen_pair_rank_image_generation.py"
PUBLISHED_SHA256 = "6e574817f88b86542a1de1cd0201dd5754f6d292ab1fc8a4d4a73501412bd5ac"
BETTER, EQUAL = re.compile(r"Image ([12]) is better"), re.compile(r"equally good")


class Pair(NamedTuple):
    """Two images ``[3, H, W]`` uint8 of a prompt."""

    first: Tensor
    second: Tensor
    prompt: str


class PairJudge(Protocol):
    """Compares images."""

    def preferences(self, pairs: Sequence[Pair]) -> list[float | None]:
        """1 where the second image is better, 0 where the first is, 0.5 where neither; None: it did not say."""
        ...


class UnifiedRewardPairs(VisionLanguageSettings):
    """A model that is shown two images of a prompt and writes which is better."""

    id: str = Field(
        "CodeGoat24/UnifiedReward-qwen-7b", description="folder, or name on the hub, of the model in transformers' form"
    )
    question: str = Field(
        PUBLISHED, description="file or address of the question: a text with {caption}, or the authors' program"
    )
    tokens: int = Field(512, ge=1, description="of the longest answer")

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
        path = locate(self.question, "question", PUBLISHED_SHA256 if self.question == PUBLISHED else None)
        found = longest_question(path, "question")
        if CAPTION not in found:
            raise SettingError(f"question {self.question}: has no {CAPTION}")
        return found

    def identity(self) -> dict[str, Any]:
        """Also the digest of the question."""
        path = locate(self.question, "question", PUBLISHED_SHA256 if self.question == PUBLISHED else None)
        return {**super().identity(), "question": sha256(path, "question")}

    def judge(self, device: str = "cpu") -> PairJudge:
        """The model, ready to be asked."""
        return WrittenPreference(self.chat(device), self.template(), self.tokens)

    def load(self, device: str = "cpu", caption: Any = str) -> Any:
        """It judges pairs only.

        Raises:
            SettingError: always.
        """
        raise SettingError("it compares two images, so that it is no reward of one; see tts-bench duel")


class WrittenPreference:
    """What a model writes of two images, each pair in both orders, as such models prefer a place."""

    def __init__(self, chat: Chat, question: str, tokens: int) -> None:
        self.chat, self.question, self.tokens = chat, question, tokens

    def preferences(self, pairs: Sequence[Pair]) -> list[float | None]:
        """See :class:`PairJudge`; the mean of both orders."""
        there = self._answers(pairs)
        back = self._answers([Pair(pair.second, pair.first, pair.prompt) for pair in pairs])
        return [None if a is None or b is None else (a + 1 - b) / 2 for a, b in zip(there, back, strict=True)]

    def _answers(self, pairs: Sequence[Pair]) -> list[float | None]:
        asked = [self.chat.question([pair.first, pair.second], filled(self.question, pair.prompt)) for pair in pairs]
        return [read(answer) for answer in self.chat.each(asked, lambda each: self.chat.answers(each, self.tokens))]


def read(answer: str) -> float | None:
    """1 where the second image is called better, 0 where the first is, 0.5 where neither; None where nothing is said.

    The last word counts, as models think aloud before.
    """
    found = [(match.start(), float(match.group(1) == "2")) for match in BETTER.finditer(answer)]
    found += [(match.start(), 0.5) for match in EQUAL.finditer(answer)]
    return max(found)[1] if found else None
