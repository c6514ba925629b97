"""open_clip's published files, networks and tokenizers, with errors of one line."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.errors import WeightsError, first_line
from tts.quiet import unasked
from tts.rewards import clip_constants
from tts.rewards.clip_constants import Constants
from tts.rewards.preprocess import Preprocess

if TYPE_CHECKING:
    from torch import Tensor


def network(source: str, name: str, quick_gelu: bool) -> Any:
    """A model with random weights.

    Args:
        source: the model's name for open_clip.
        name: the model as the configuration names it, for messages.
        quick_gelu: whether its encoders use OpenAI's approximate GELU.
    """
    import open_clip

    with silent(), explained(name):
        return open_clip.create_model(source, load_weights=False, quick_gelu=quick_gelu)


def tokenizer(source: str, name: str) -> Any:
    """A model's tokenizer; arguments as in :func:`network`."""
    import open_clip

    with silent(), explained(name):
        return open_clip.get_tokenizer(source)


def preprocess(model: Any, constants: Constants, name: str) -> Preprocess:
    """The preparation of images for a model.

    Raises:
        WeightsError: the model's input is not square.
    """
    size = model.visual.image_size
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1:
        raise WeightsError(f"model {name}: takes images of {size} pixels, and only square ones are supported")
    return Preprocess(
        sides.pop(),
        constants.mean,
        constants.std,
        constants.interpolation,
        constants.resize_mode,
        constants.fill,
    )


def published(model: str, tag: str) -> Path:
    """The file of a tag's weights; it is downloaded if it is not on this machine.

    Raises:
        WeightsError: the file cannot be downloaded; the message says how to name a local file instead.
    """
    import open_clip

    try:
        with silent():
            return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, tag)))
    except (OSError, RuntimeError, ValueError) as error:
        line = " ".join(str(error).split())[:160]
        found = clip_constants.of_tag(model, tag)
        raise WeightsError(
            f"pretrained {tag}: weights of {model} are not in the cache and cannot be downloaded ({line}); set "
            f"pretrained to a file of them, quick_gelu to {str(found.quick_gelu).lower()} and preprocessing to {tag}"
        ) from None


def without_extras(found: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """Weights of a published file without the buffers that models build themselves."""
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
    """Silence open_clip's warnings of missing weights and of the GELU; this package handles both."""
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
    """Turn any error of open_clip about a configuration into one line; code of a model is refused."""
    try:
        with unasked():
            yield
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError, ImportError) as error:
        raise WeightsError(f"model {model}: open_clip cannot build it ({first_line(error)})") from None


def read_json(path: Path) -> Any:
    """A folder's configuration."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"model {path}: cannot be read ({first_line(error)})") from None
