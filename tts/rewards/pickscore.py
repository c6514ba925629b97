"""PickScore (Kirstain et al. 2023, arXiv 2305.01569): CLIP ViT-H/14 fine-tuned on users' choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.files.digests import sha256
from tts.files.hub import folder
from tts.models.parts import load_part
from tts.plan import Condition
from tts.precision import Precision, dtype
from tts.prompts import Cut, cut_notes
from tts.quiet import quiet
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.encoders import Texts, cosines, unit
from tts.rewards.preprocess import Preprocess, by_row
from tts.rewards.published_configs import check_clip, check_tokenizer, preprocessor_of, read_json
from tts.rewards.transformers_files import explained, weight_files

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

WEIGHTS = ("config.json", "*.safetensors", "*.safetensors.index.json")
WORDS = ("*.json", "*.txt")


class PickScore(RewardSettings):
    """Predicted preference of users for an image and its prompt, about 20: the scaled cosine of a CLIP model."""

    id: str = Field("yuvalkirstain/PickScore_v1", description="folder, or name on the hub, of the weights")
    processor: str = Field(
        "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        description="folder, or name on the hub, of tokenizer and preprocessing",
    )
    precision: Precision = Field("fp32", description="of the encoders")

    def check(self) -> None:
        """Find weights, tokenizer and preprocessing (downloaded if needed), and read their configurations."""
        self._config()
        self._prepare()
        check_tokenizer(self._words(), "processor")

    def notes(self, conditions: Sequence[Condition], caption: Caption = str) -> list[str]:
        """Notes on prompts that are cut."""
        tokenizer, limit = self._tokenizer(), self._limit()

        def cut(text: str) -> Cut | None:
            found = tokenizer(text)["input_ids"]
            return Cut(limit - 2, tokenizer.decode(found[limit - 1 : -1])) if len(found) > limit else None

        with quiet():
            return cut_notes([caption(each) for each in conditions], cut)

    def identity(self) -> dict[str, Any]:
        """Digests of the weights and of the preprocessing, and the precision of the scale."""
        files = [*self._weights(), *sorted(file for kind in WORDS for file in self._words().glob(kind))]
        found = {"precision": self.precision, "files": {file.name: sha256(file, "id") for file in files}}
        return found if self.precision == "fp32" else {**found, "scale": "fp32"}  # once it was the encoders'

    def _weights(self) -> list[Path]:
        return weight_files(folder(self.id, WEIGHTS, "id"), self.id)

    def _words(self) -> Path:
        return folder(self.processor, WORDS, "processor")

    def _config(self) -> dict[str, Any]:
        path = self._weights()[0].parent / "config.json"
        found = read_json(path, "id")
        check_clip(found, f"id {path}")
        return found

    def _prepare(self) -> Preprocess:
        return preprocessor_of(self._words(), "processor")

    def _limit(self) -> int:
        """Number of tokens that the text encoder reads, with the first and the last."""
        from transformers import CLIPConfig

        return int(CLIPConfig.from_dict(self._config()).text_config.max_position_embeddings)

    def _tokenizer(self) -> Any:
        from transformers import CLIPTokenizer

        with quiet(), explained(self.processor, "processor"):
            return CLIPTokenizer.from_pretrained(self._words())

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The CLIP model and its tokenizer on a device."""
        import torch

        from tts.networks.placing import place

        self._config()
        with quiet(), explained(self.id, "id"):
            model: Any = load_part(self._weights()[0].parent, ("transformers", "CLIPModel"), None, torch.float32)
        scale = float(model.logit_scale.detach().exp())  # before it is rounded to the encoders' precision
        place(model, device, dtype(self.precision))
        return PickScoreReward(model, scale, self._tokenizer(), self._prepare(), device, caption)


class PickScoreReward:
    """Cosine of image and prompt times the model's scale."""

    host = False

    def __init__(
        self,
        model: Any,
        scale: float,
        tokenizer: Callable[..., Any],
        prepare: Preprocess,
        device: str,
        caption: Caption,
    ) -> None:
        self.model, self.scale, self.tokenizer, self.prepare = model, scale, tokenizer, prepare
        self.device, self.caption = device, caption
        self.texts = Texts(self._text)

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """The scaled cosine between each image's embedding and that of its caption."""
        pixels = self.prepare(images.to(self.device)).to(self.model.dtype)
        embeddings = unit(by_row(self._image, pixels))
        texts = self.texts([self.caption(condition) for condition in conditions])
        return [self.scale * cosine for cosine in cosines(embeddings, texts)]

    def _image(self, pixels: Tensor) -> Tensor:
        embeddings: Tensor = self.model.get_image_features(pixel_values=pixels).pooler_output
        return embeddings

    def _text(self, text: str) -> Tensor:
        limit = self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(text, truncation=True, max_length=limit, return_tensors="pt").to(self.device)
        return unit(self.model.get_text_features(**tokens).pooler_output)[0]
