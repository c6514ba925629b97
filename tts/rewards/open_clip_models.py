"""Models of open_clip: their published files, networks, tokenizers; whatever goes wrong is one line."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.errors import WeightsError, first_line
from tts.rewards import clip_constants
from tts.rewards.clip_constants import Constants
from tts.rewards.preprocess import Preprocess

if TYPE_CHECKING:
    from torch import Tensor


def network(source: str, name: str, quick_gelu: bool) -> Any:
    """A model without weights.

    Args:
        source: the model as open_clip wants it named.
        name: as the configuration names it, for messages.
    """
    import open_clip

    with silent(), explained(name):
        return open_clip.create_model(source, load_weights=False, quick_gelu=quick_gelu)


def tokenizer(source: str, name: str) -> Any:
    """What makes tokens of texts; see :func:`network`."""
    import open_clip

    with silent(), explained(name):
        return open_clip.get_tokenizer(source)


def preprocess(model: Any, constants: Constants, name: str) -> Preprocess:
    """What makes images the model's input.

    Raises:
        WeightsError: it takes no squares.
    """
    size = model.visual.image_size
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise WeightsError(f"model {name}: takes images of {size} pixels; only squares can be prepared here")
    return Preprocess(
        sides.pop(),
        constants.mean,
        constants.std,
        constants.interpolation,
        constants.resize_mode,
        constants.fill,
    )


def published(model: str, tag: str) -> Path:
    """The file of a tag's weights, fetched first if need be.

    Raises:
        WeightsError: it cannot be had; the message says what to set for a file of them.
    """
    import open_clip

    try:
        with silent():
            return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, tag)))
    except (OSError, RuntimeError, ValueError) as error:
        line = " ".join(str(error).split())[:160]
        found = clip_constants.of_tag(model, tag)
        raise WeightsError(
            f"pretrained {tag}: weights of {model} are not in the cache and cannot be fetched ({line}); set pretrained "
            f"to a file of them, quick_gelu to {str(found.quick_gelu).lower()} and preprocessing to {tag}"
        ) from None


def without_extras(found: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """Published files have some buffers that models build by themselves."""
    wanted = model.state_dict().keys()
    extras = (
        "text.transformer.embeddings.position_ids",
        "input_resolution",
        "context_length",
        "vocab_size",
        "attn_mask",
    )
    return {
        name.removeprefix("module."): value
        for name, value in found.items()
        if name in wanted or not name.endswith(extras)
    }


@contextmanager
def silent() -> Iterator[None]:
    """open_clip warns of weights that are not loaded and of the GELU, both of which are seen to here."""
    import logging

    logger, level = logging.getLogger(), logging.getLogger().level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def explained(model: str) -> Iterator[None]:
    """Whatever open_clip raises of a configuration, in one line."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError, ImportError) as error:
        raise WeightsError(f"model {model}: open_clip cannot build it ({first_line(error)})") from None


def read_json(path: Path) -> Any:
    """What a folder's configuration holds."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"model {path}: cannot be read ({first_line(error)})") from None
