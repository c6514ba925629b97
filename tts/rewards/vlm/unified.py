"""UnifiedReward (Wang et al. 2025, arXiv 2503.05236): a model, and its authors' question for each of its tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from tts.errors import SettingError
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.rewards.vlm.settings import VisionLanguageSettings
from tts.rewards.vlm.texts import CAPTION, longest_question

PROGRAMS = (
    "https://raw.githubusercontent.com/CodeGoat24/UnifiedReward/ff6f520247a2d36e2aff7b2ba53a935afd437f66/"
    "inference_qwen/image_generation"
)
POINTS, PAIRS = (f"{PROGRAMS}/qwen_{task}_image_generation.py" for task in ("point_score", "pair_rank"))
"""Programs that ask for the score of an image, and which of two is better."""
DIGESTS = {
    POINTS: "5c8c2efcb7f07283a3a4b3685043e2da0ee909c876829a9edbe4938a4881971c",
    PAIRS: "6e574817f88b86542a1de1cd0201dd5754f6d292ab1fc8a4d4a73501412bd5ac",
}
QUESTION = "file or address of the question: a text with {caption}, or the authors' program"


class UnifiedModel(VisionLanguageSettings):
    """The model, and what it is asked; it answers in words."""

    id: str = Field(
        "CodeGoat24/UnifiedReward-qwen-7b", description="folder, or name on the hub, of the model in transformers' form"
    )
    question: str = Field(description=QUESTION)
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
        found = longest_question(self._path(), "question")
        if CAPTION not in found:
            raise SettingError(f"question {self.question}: has no {CAPTION}")
        return found

    def identity(self) -> dict[str, Any]:
        """Also the digest of the question."""
        return {**super().identity(), "question": sha256(self._path(), "question")}

    def _path(self) -> Path:
        return locate(self.question, "question", DIGESTS.get(self.question))
