"""VQAScore (Lin et al. 2024, arXiv 2404.01291) by any vision-language model with a chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from tts.plan import Condition
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.vlm.chat import Chat
from tts.rewards.vlm.settings import VisionLanguageSettings
from tts.rewards.vlm.texts import CAPTION, filled

if TYPE_CHECKING:
    from torch import Tensor

QUESTION = f'Does this figure show "{CAPTION}"? Please answer yes or no.'


class VQAScore(VisionLanguageSettings, RewardSettings):
    """Probability that a model answers "Yes" when asked whether the image shows its prompt.

    The published figures use CLIP-FlanT5, which the reward ``vqascore_t5`` loads; other models have other scales.
    """

    id: str = Field(
        "Qwen/Qwen2.5-VL-7B-Instruct", description="folder, or name on the hub, of the model in transformers' form"
    )
    question: str = Field(QUESTION, description="the question; {caption} is replaced by the prompt")
    answer: str = Field("Yes", min_length=1, description="the answer whose probability is the score")

    @field_validator("question")
    @classmethod
    def _asks(cls, value: str) -> str:
        if CAPTION not in value:
            raise ValueError(f"it must contain {CAPTION}")
        return value

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The model, ready to be asked."""
        chat = self.chat(device)
        answer = chat.processor.tokenizer(self.answer, add_special_tokens=False)["input_ids"]
        return VQAScoreReward(chat, self.question, answer, caption)


class VQAScoreReward:
    """Probability in [0, 1] of the answer to each image's own question."""

    host = False

    def __init__(self, chat: Chat, question: str, answer: list[int], caption: Caption) -> None:
        self.chat, self.question, self.answer, self.caption = chat, question, answer, caption

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """The probability of ``answer`` to each image's question."""
        asked = self.chat.of_each(images, [filled(self.question, self.caption(each)) for each in conditions])
        return [*self.chat.each(asked, lambda inputs: self.chat.chances(inputs, self.answer))]
