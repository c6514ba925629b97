"""Image and text encoders on a device, and cosines of their embeddings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tts.prompts import Cut
from tts.rewards.preprocess import Preprocess, by_row

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 4096
"""Number of encoded texts in the cache."""
UNCUT = 2048
"""Number of tokens with which a tokenizer reads a text to find out whether it would be cut."""


class Encoders:
    """Image and text encoders on one device; embeddings have unit length, float32."""

    def __init__(self, model: Any, tokenizer: Callable[[str], Tensor], prepare: Preprocess, device: str) -> None:
        self.model, self.tokenizer, self.prepare, self.device = model, tokenizer, prepare, device
        self.dtype = next(model.parameters()).dtype
        self.texts = Texts(self._text)

    def images(self, images: Tensor) -> Tensor:
        """``[B, 3, H, W]`` uint8 to ``[B, D]``."""
        return unit(by_row(self.model.encode_image, self.prepare(images.to(self.device)).to(self.dtype)))

    def _text(self, text: str) -> Tensor:
        return unit(self.model.encode_text(self.tokenizer(text).to(self.device)))[0]


class Texts:
    """Embeddings of texts; each is encoded once and alone, so that none depends on the others.

    Args:
        encode: function from a text to ``[D]``.
    """

    def __init__(self, encode: Callable[[str], Tensor]) -> None:
        self.encode = encode
        self._recent: OrderedDict[str, Tensor] = OrderedDict()

    def __call__(self, texts: list[str]) -> Tensor:
        """Embeddings of texts, ``[B, D]``."""
        import torch

        return torch.stack([self._one(text) for text in texts])

    def _one(self, text: str) -> Tensor:
        if text in self._recent:
            self._recent.move_to_end(text)
            return self._recent[text]
        self._recent[text] = self.encode(text)
        if len(self._recent) > KEPT:
            self._recent.popitem(last=False)
        return self._recent[text]


def unit(embeddings: Tensor) -> Tensor:
    """Embeddings scaled to length 1, float32."""
    from torch.nn.functional import normalize

    return normalize(embeddings.float(), dim=-1)


def cosines(images: Tensor, texts: Tensor) -> list[float]:
    """Cosine of each image's row and the same row of the texts, in float64."""
    values: list[float] = (images.double() * texts.double()).sum(dim=1).tolist()
    return values


def cut_by(tokenizer: Any) -> Callable[[str], Cut | None]:
    """A function, for :func:`tts.prompts.cut_notes`, that finds the part of a text that an open_clip tokenizer cuts."""
    fills = int(tokenizer("", context_length=UNCUT)[0, -2])
    marks_whole = getattr(tokenizer, "tokenizer_mode", "") == "clips"  # marked by a last token after the padding

    def tokens(text: str, length: int) -> list[int]:
        found: list[int] = tokenizer(text, context_length=length)[0].tolist()
        found = found[:-1] if marks_whole else found
        while found and found[-1] == fills:
            found.pop()
        return found

    nothing = tokens("", UNCUT)

    def cut(text: str) -> Cut | None:
        read, whole = (tokens(text, length) for length in (tokenizer.context_length, UNCUT))
        if len(whole) <= len(read):
            return None
        end = int(bool(nothing) and nothing[-1] == whole[-1])  # the end-of-text token
        words = getattr(tokenizer, "tokenizer", tokenizer)
        return Cut(len(read) - len(nothing), str(words.decode(whole[len(read) - end : len(whole) - end])).strip())

    return cut
