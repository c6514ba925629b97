"""VQAScore as published (Lin et al. 2024, arXiv 2404.01291): by CLIP-FlanT5."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.errors import WeightsError
from tts.files import tensors
from tts.files.digests import sha256
from tts.files.hub import folder
from tts.files.locate import locate
from tts.plan import Condition
from tts.precision import Precision, dtype
from tts.quiet import quiet
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.preprocess import Preprocess
from tts.rewards.published_configs import preprocessor_of, read_json
from tts.rewards.transformers_files import explained
from tts.rewards.vlm.texts import constants, filled
from tts.rewards.vqascore import QUESTION

if TYPE_CHECKING:
    from torch import Tensor

    from tts.networks.clip_t5 import ClipT5

SYSTEM = (
    "https://raw.githubusercontent.com/linzhiqiu/t2v_metrics/6ecb74f92028f42c7e64546d3a71e98c8c73068f/"
    "t2v_metrics/constants.py"
)
SYSTEM_SHA256 = "f93f748270e4461bd46b1c89a28b71d852fba0d7013ae3d8f6af8618ec0c7e3c"
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
WORDS = ("spiece.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
EYES = ("config.json", "preprocessor_config.json")
BEFORE, AFTER = "{} USER: ", "\n{} ASSISTANT: "
"""Text before and after an image in the conversations on which the network was trained."""


class VQAScoreT5(RewardSettings):
    """Probability that CLIP-FlanT5 answers "Yes" when asked whether the image shows its prompt.

    As published, it is the geometric mean of the probabilities of the answer's tokens, including the end token.
    """

    id: str = Field("zhiqiulin/clip-flant5-xxl", description="folder, or name on the hub, of the weights")
    tokenizer: str = Field("google/flan-t5-xxl", description="folder, or name on the hub, of T5's tokenizer")
    tower: str = Field(
        "openai/clip-vit-large-patch14-336",
        description="folder, or name on the hub, of the image encoder: its configuration, its image preparation, and "
        "its weights if id has none",
    )
    system: str = Field(
        SYSTEM, description="file or address of a conversation's first text, or of the authors' program"
    )
    precision: Precision = Field("bf16", description="of the network")

    def check(self) -> None:
        """Find all files, which are downloaded if needed; raises a ``TTSError``."""
        self._files()
        self._tower_files()
        self._prepare()
        self._tokenizer()
        constants(self._system(), ["SYSTEM_MSG"], "system")

    def identity(self) -> dict[str, Any]:
        """The settings, with the digests of all files in place of names and addresses."""
        words = [file for name in WORDS for file in sorted(self._words().glob(name))]
        seen = [*(self._tower() / name for name in EYES), *self._tower_files()]
        return {
            **self.record(),
            "id": {file.name: sha256(file, "id") for file in [self._folder() / "config.json", *self._files()]},
            "tokenizer": {file.name: sha256(file, "tokenizer") for file in words},
            "tower": {file.name: sha256(file, "tower") for file in seen},
            "system": sha256(self._system(), "system"),
        }

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The network, ready to be asked.

        Raises:
            WeightsError: a file is damaged or for another network.
        """
        from tts.networks.placing import place

        network = place(self._network(), device)
        system = constants(self._system(), ["SYSTEM_MSG"], "system")
        return VQAScoreT5Reward(network, self._tokenizer(), self._prepare(), system, device, caption)

    def _network(self) -> ClipT5:
        from transformers import CLIPVisionConfig

        from tts.networks.clip_t5 import build

        found = {name: each for file in self._files() for name, each in tensors.read(file, "id").items()}
        tower = {name: each for file in self._tower_files() for name, each in self._tower_weights(file).items()}
        config = read_json(self._folder() / "config.json", "id")
        with quiet(), explained(self.id, "id"):
            return build(found, config, tower, CLIPVisionConfig.from_pretrained(self._tower()), dtype(self.precision))

    def _tower_files(self) -> list[Path]:
        """The file of the image encoder's weights; none if ``id`` holds them itself."""
        from tts.networks.clip_t5 import TOWER

        names = (name for file in self._files() for name in tensors.read(file, "id", mapped=True))
        if any(name.startswith(TOWER) for name in names):
            return []
        place = folder(self.tower, (*EYES, *WEIGHTS), "tower")
        files = [file for kind in WEIGHTS for file in sorted(place.glob(kind))]
        if not files:
            raise WeightsError(f"tower {self.tower}: has no weights, and id {self.id} has none for an image encoder")
        return files[:1]

    @staticmethod
    def _tower_weights(file: Path) -> dict[str, Tensor]:
        found = tensors.read(file, "tower")
        return {name: each for name, each in found.items() if name.startswith("vision_model.")} or found

    def _files(self) -> list[Path]:
        kinds = [sorted(self._folder().glob(kind)) for kind in WEIGHTS]
        files = next((found for found in kinds if found), None)
        if files is None:
            raise WeightsError(f"id {self.id}: has no weights ({' or '.join(WEIGHTS)})")
        return files

    def _folder(self) -> Path:
        return folder(self.id, ("config.json", *WEIGHTS), "id")

    def _words(self) -> Path:
        return folder(self.tokenizer, WORDS, "tokenizer")

    def _tower(self) -> Path:
        return folder(self.tower, EYES, "tower")

    def _system(self) -> Path:
        return locate(self.system, "system", SYSTEM_SHA256 if self.system == SYSTEM else None)

    def _prepare(self) -> Preprocess:
        return preprocessor_of(self._tower(), "tower")

    def _tokenizer(self) -> Any:
        from transformers import T5Tokenizer

        with quiet(), explained(self.tokenizer, "tokenizer"):
            return T5Tokenizer.from_pretrained(self._words(), local_files_only=True)


class VQAScoreT5Reward:
    """Probability in [0, 1] of "Yes" for each image's own prompt; images go one at a time."""

    host = False

    def __init__(
        self, network: ClipT5, tokenizer: Any, prepare: Preprocess, system: str, device: str, caption: Caption
    ) -> None:
        self.network, self.tokenizer, self.prepare = network, tokenizer, prepare
        self.system, self.device, self.caption = system.strip(), device, caption
        self.answer = self._tokens("Yes")

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """The probability of the answer "Yes" to each image's question."""
        return [self._one(image, self.caption(each)) for image, each in zip(images, conditions, strict=True)]

    def _one(self, image: Tensor, caption: str) -> float:
        square = padded(image.to(self.device), self.prepare.mean)
        pixels = self.prepare(square[None]).to(self.network.t5.dtype)
        before = self._tokens(BEFORE.format(self.system))
        after = self._tokens(AFTER.format(filled(QUESTION, caption)))
        return float(self.network.log_chances(pixels, before, after, self.answer).mean().exp())

    def _tokens(self, text: str) -> Tensor:
        """Tokens of each part of a text; each part ends with the end token, as in training."""
        import torch

        return torch.tensor(self.tokenizer(text)["input_ids"], device=self.device)


def padded(image: Tensor, mean: Sequence[float]) -> Tensor:
    """An image ``[3, H, W]`` uint8 centred on a square of the mean colour."""
    height, width = image.shape[1:]
    side = max(height, width)
    if height == width:
        return image
    colour = image.new_tensor([int(channel * 255) for channel in mean])[:, None, None]
    square = colour.expand(3, side, side).clone()
    top, left = (side - height) // 2, (side - width) // 2
    square[:, top : top + height, left : left + width] = image
    return square
