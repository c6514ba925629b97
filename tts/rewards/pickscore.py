"""PickScore (Kirstain et al. 2023, arXiv 2305.01569): CLIP ViT-H/14 as trained on users' choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.errors import WeightsError
from tts.files.digests import sha256
from tts.files.hub import folder
from tts.plan import Condition
from tts.precision import Precision, dtype
from tts.quiet import quiet
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.encoders import Texts, cosines, unit
from tts.rewards.preprocess import Preprocess, by_row

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

WEIGHTS = ("config.json", "*.safetensors", "*.safetensors.index.json")
WORDS = ("*.json", "*.txt")


class PickScore(RewardSettings):
    """Agreement of image and prompt as users choose, about 20: the scaled cosine of a CLIP model."""

    id: str = Field("yuvalkirstain/PickScore_v1", description="folder, or name on the hub, of the weights")
    processor: str = Field(
        "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        description="folder, or name on the hub, of tokenizer and preprocessing",
    )
    precision: Precision = Field("fp32", description="of the encoders")

    def check(self) -> None:
        """Find weights and tokenizer, fetched first if need be."""
        self._weights()
        self._words()

    def identity(self) -> dict[str, Any]:
        """Digests of the weights and of the preprocessing, wherever they lie."""
        files = [*self._weights(), *sorted(file for kind in WORDS for file in self._words().glob(kind))]
        return {"precision": self.precision, "files": {file.name: sha256(file, "id") for file in files}}

    def _weights(self) -> list[Path]:
        files = sorted(folder(self.id, WEIGHTS, "id").glob("*.safetensors"))
        if not files:
            raise WeightsError(f"id {self.id}: has no safetensors weights (pickled ones are not opened)")
        return files

    def _words(self) -> Path:
        return folder(self.processor, WORDS, "processor")

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """See :class:`RewardSettings`."""
        from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

        with quiet():
            try:
                model = CLIPModel.from_pretrained(self._weights()[0].parent, use_safetensors=True)
                tokenizer = CLIPTokenizer.from_pretrained(self._words())
                images = CLIPImageProcessor.from_pretrained(self._words())
            except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
                raise WeightsError(f"id {self.id}: cannot be loaded ({' '.join(str(error).split())[:300]})") from None
        size = images.crop_size["height"]
        model.to(device, dtype(self.precision)).eval().requires_grad_(False)
        return PickScoreReward(model, tokenizer, Preprocess(size, images.image_mean, images.image_std), device, caption)


class PickScoreReward:
    """Cosine times the model's scale."""

    host = False

    def __init__(
        self, model: Any, tokenizer: Callable[..., Any], prepare: Preprocess, device: str, caption: Caption
    ) -> None:
        self.model, self.tokenizer, self.prepare, self.device, self.caption = model, tokenizer, prepare, device, caption
        self.scale = float(model.logit_scale.float().exp())
        self.texts = Texts(self._text)

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """See :class:`tts.rewards.base.Reward`."""
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
