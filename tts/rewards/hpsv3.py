"""HPSv3 (Ma et al. 2025, arXiv 2508.03789): Qwen2-VL with a head that reads a mean and a spread of preference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.errors import WeightsError
from tts.files import tensors
from tts.files.digests import sha256
from tts.files.hub import folder, named_file
from tts.files.locate import locate
from tts.plan import Condition
from tts.precision import Precision, dtype
from tts.quiet import quiet
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.transformers_files import explained, load_processor
from tts.rewards.vlm.chat import Chat, Inputs
from tts.rewards.vlm.settings import TEXTS
from tts.rewards.vlm.texts import CAPTION, constants, filled

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED = (
    "https://raw.githubusercontent.com/louisdarbandi/HPSv3/19378ad830f9bccb7e0977b73210f1a7e072050e/"
    "hpsv3/dataset/data_collator_qwen.py"
)
"""The authors' program at a fixed commit."""
PUBLISHED_SHA256 = "b0f936e89f8df652c67d470412e1d9afd27aa711dec85724c19989ac91e7a3e3"
NAMES = ("INSTRUCTION", "prompt_with_special_token")
"""Names of the texts in the authors' program whose concatenation is the question."""
GAP = "{text_prompt}"
MARK = "<|Reward|>"
"""The token whose hidden state the head reads."""
PIXELS = 256 * 28 * 28
"""Pixels of each training image."""


class HPSv3(RewardSettings):
    """Predicted human preference for an image and its prompt, about 0 to 15: the mean that the head predicts.

    The question is that of the authors, read from their published program. As in that program, positions count all
    tokens one by one, including those of the image.
    """

    weights: str = Field("hf-hub:MizzenAI/HPSv3/HPSv3.safetensors", description="a file, or hf-hub:owner/name/file")
    base: str = Field(
        "Qwen/Qwen2-VL-7B-Instruct",
        description="folder, or name on the hub, of configuration, tokenizer and image size",
    )
    question: str = Field(
        PUBLISHED, description="file or address of the question: a text with {caption}, or the authors' program"
    )
    pixels: int = Field(PIXELS, ge=28 * 28, description="pixels of an image, as nearly as its shape allows")
    precision: Precision = Field("bf16", description="precision of the network; its head is in fp32")

    def check(self) -> None:
        """Find all files, which are downloaded if needed, and read the question; raises a ``TTSError``."""
        self.template()
        self._processor()
        if not self._path().is_file():
            raise WeightsError(f"weights {self.weights}: no such file")

    def template(self) -> str:
        """The question, with a placeholder for the prompt.

        Raises:
            WeightsError: it cannot be read, or lacks the placeholder or the head's token.
        """
        found = constants(self._question(), NAMES, "question").replace(GAP, CAPTION)
        for needed in (CAPTION, MARK):
            if found.count(needed) != 1:
                raise WeightsError(
                    f"question {self.question}: contains {needed} {found.count(needed)} times, but must contain it once"
                )
        return found

    def identity(self) -> dict[str, Any]:
        """The settings, with digests in place of names and addresses."""
        texts = sorted(file for kind in TEXTS for file in self._base().glob(kind))
        return {
            **self.record(),
            "weights": sha256(self._path(), "weights"),
            "base": {file.name: sha256(file, "base") for file in texts},
            "question": sha256(self._question(), "question"),
        }

    def _question(self) -> Path:
        return locate(self.question, "question", PUBLISHED_SHA256 if self.question == PUBLISHED else None)

    def _path(self) -> Path:
        return named_file(self.weights, "weights")

    def _base(self) -> Path:
        return folder(self.base, TEXTS, "base")

    def _processor(self) -> Any:
        found = load_processor(self._base(), "base", self.base)
        with quiet(), explained(self.base, "base"):
            found.tokenizer.add_special_tokens({"additional_special_tokens": [MARK]})
        return found

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The network, ready to judge.

        Raises:
            WeightsError: a file is damaged or for another network.
        """
        from tts.networks.placing import place
        from tts.networks.preference_vl import build

        found = tensors.read(self._path(), "weights")
        with quiet(), explained(self.weights, "weights"):
            network = build(found, self._base(), dtype(self.precision))
        place(network, device)
        processor = self._processor()
        chat = Chat(network, processor, device, {"shortest_edge": self.pixels, "longest_edge": self.pixels})
        return HPSv3Reward(chat, self.template(), processor.tokenizer.convert_tokens_to_ids(MARK), caption)


class HPSv3Reward:
    """The predicted mean for each image with its own prompt."""

    host = False

    def __init__(self, chat: Chat, question: str, mark: int, caption: Caption) -> None:
        self.chat, self.question, self.mark, self.caption = chat, question, mark, caption

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """The predicted mean preference of each image for its caption."""
        return [mean for mean, _ in self.predicted(images, conditions)]

    def predicted(self, images: Tensor, conditions: Sequence[Condition]) -> list[tuple[float, float]]:
        """Mean and standard deviation of each image's preference."""
        asked = self.chat.of_each(images, [filled(self.question, self.caption(each)) for each in conditions])
        return self.chat.each(asked, self._read)

    def _read(self, inputs: Inputs) -> list[tuple[float, float]]:
        values = self.chat.model.head_at(inputs, self.mark).double()
        return list(zip(values[:, 0].tolist(), values[:, 1].exp().tolist(), strict=True))
