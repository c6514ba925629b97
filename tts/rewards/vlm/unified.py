"""UnifiedReward (Wang et al. 2025, arXiv 2503.05236): the model, and the authors' question for each task."""

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
"""The authors' programs: one asks for the score of an image, one which of two images is better."""
DIGESTS = {
    POINTS: "5c8c2efcb7f07283a3a4b3685043e2da0ee909c876829a9edbe4938a4881971c",
    PAIRS: "6e574817f88b86542a1de1cd0201dd5754f6d292ab1fc8a4d4a73501412bd5ac",
}
QUESTION = "file or address of the question: a text with {caption}, or the authors' program"


class UnifiedModel(VisionLanguageSettings):
    """The model and its question; it answers in words."""

    id: str = Field(
        "CodeGoat24/UnifiedReward-qwen-7b", description="folder, or name on the hub, of the model in transformers' form"
    )
    question: str = Field(description=QUESTION)
    tokens: int = Field(512, ge=1, description="most tokens of an answer")

    def check(self) -> None:
        """Find the files, and read the question."""
        super().check()
        self.template()

    def template(self) -> str:
        """The question, with a placeholder for the prompt.

        Raises:
            SettingError: it has no placeholder.
            WeightsError: it cannot be read.
        """
        found = longest_question(self._path(), "question")
        if CAPTION not in found:
            raise SettingError(f"question {self.question}: has no {CAPTION}")
        return found

    def identity(self) -> dict[str, Any]:
        """The identity of the model, and the digest of the question."""
        return {**super().identity(), "question": sha256(self._path(), "question")}

    def _path(self) -> Path:
        return locate(self.question, "question", DIGESTS.get(self.question))
