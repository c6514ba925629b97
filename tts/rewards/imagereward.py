"""ImageReward (Xu et al. 2023, arXiv 2304.05977): a head on BLIP's text encoder, which reads prompt and image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.errors import WeightsError
from tts.files import tensors
from tts.files.digests import sha256
from tts.files.homes import expanded
from tts.files.hub import HUB, folder, named_file
from tts.plan import Condition
from tts.precision import Precision, dtype
from tts.prompts import Cut, cut_notes
from tts.quiet import quiet
from tts.rewards.base import Caption, Reward, RewardSettings, Score
from tts.rewards.preprocess import CLIP_MEAN, CLIP_STD, Preprocess, by_row
from tts.rewards.published_configs import check_bert, check_tokenizer, read_json

if TYPE_CHECKING:
    from torch import Tensor

    from tts.networks.blip_reward import BlipReward

PUBLISHED = "hf-hub:zai-org/ImageReward/ImageReward.pt"
MARKS = 2
"""Tokens that BLIP adds to its tokenizer; prompts do not use them."""
STANDARDISED = (
    "weights {}: values are standardised by the mean {:.4f} and the deviation {:.4f} of the published weights, as the "
    "authors' program does for all weights"
)
WORDS = ("*.json", "*.txt")
TOKENS = 35
"""Length to which prompts are cut and padded."""
AVERAGE, SPREAD = 0.16717362830052426, 1.0333394966054072
"""Mean and deviation of the head's values in training; rewards are standardised by them."""


class ImageReward(RewardSettings):
    """Predicted human preference, standardised: mean 0 and deviation 1 over the training images."""

    weights: str = Field(PUBLISHED, description="a file, or hf-hub:owner/name/file")
    tokenizer: str = Field(
        "google-bert/bert-base-uncased", description="folder, or name on the hub, of BERT's tokenizer"
    )
    precision: Precision = Field("fp32", description="of the network")

    def check(self) -> None:
        """Read all weights and find the tokenizer; raises a ``WeightsError`` if one is bad or they do not fit."""
        size, found = self._network().sizes["vocab_size"], len(self._tokenizer())
        if not size - MARKS <= found <= size:
            raise WeightsError(
                f"tokenizer {self.tokenizer}: has {found} tokens, but the text encoder was trained with "
                f"{size - MARKS} and {MARKS} special ones; set tokenizer to the one used in training"
            )

    def notes(self, conditions: Sequence[Condition], caption: Caption = str) -> list[str]:
        """Notes on prompts that are cut, and on published constants that may not fit other weights."""
        tokenizer = self._tokenizer()

        def cut(text: str) -> Cut | None:
            found = tokenizer(text)["input_ids"]
            return Cut(TOKENS - 2, tokenizer.decode(found[TOKENS - 1 : -1])) if len(found) > TOKENS else None

        told = [] if self.weights == PUBLISHED else [STANDARDISED.format(self.weights, AVERAGE, SPREAD)]
        with quiet():
            return [*told, *cut_notes([caption(each) for each in conditions], cut)]

    def identity(self) -> dict[str, Any]:
        """The settings, with digests in place of addresses, and the precision of the head."""
        kept = {} if self.precision == "fp32" else {"head": "fp32"}  # once it was the network's
        words = {file.name: sha256(file, "tokenizer") for kind in WORDS for file in sorted(self._words().glob(kind))}
        return {**self.record(), "weights": sha256(self._path(), "weights"), "tokenizer": words, **kept}

    def _path(self) -> Path:
        return named_file(self.weights, "weights")

    def _words(self) -> Path:
        return folder(self.tokenizer, WORDS, "tokenizer")

    def _network(self) -> BlipReward:
        from tts.networks.blip_reward import build

        path = self._path()
        found = tensors.read(path, "weights")
        try:
            network = build(found)
        except KeyError as error:
            raise WeightsError(f"weights {path}: are not ImageReward's (no {error})") from None
        except WeightsError as error:
            raise WeightsError(f"weights {path}: {error}") from None
        beside = expanded(self.weights).parent / "med_config.json"
        if not self.weights.startswith(HUB) and beside.is_file():
            check_bert(read_json(beside, "weights"), network.sizes, f"weights {beside}")
        return network

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The network and its tokenizer on a device."""
        from tts.networks.placing import place

        network = place(self._network(), device, dtype(self.precision))
        network.head.float()  # rounding here would round the score
        return ImageRewardReward(network, self._tokenizer(), device, caption)

    def _tokenizer(self) -> Any:
        from transformers import BertTokenizer

        check_tokenizer(self._words(), "tokenizer")
        with quiet():
            try:
                return BertTokenizer.from_pretrained(self._words())
            except (OSError, ValueError, TypeError) as error:
                raise WeightsError(f"tokenizer {self.tokenizer}: cannot be loaded ({error})") from None


class ImageRewardReward:
    """The standardised value for each image with its own prompt."""

    host = False

    def __init__(
        self, network: BlipReward, tokenizer: Callable[..., Mapping[str, Tensor]], device: str, caption: Caption
    ) -> None:
        self.network, self.tokenizer, self.device, self.caption = network, tokenizer, device, caption
        self.prepare = Preprocess(network.image_size, CLIP_MEAN, CLIP_STD)

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
        """ImageReward of each image for its caption; 0 is an average image."""
        texts = [self.caption(condition) for condition in conditions]
        words = self.tokenizer(texts, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
        pixels = self.prepare(images.to(self.device))
        values = by_row(
            self.network, pixels, *(words[name].to(self.device) for name in ("input_ids", "attention_mask"))
        )
        return [(value - AVERAGE) / SPREAD for value in values.double().tolist()]
