"""Encode prompts into a store: one process loads the text encoders, uses them and frees them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from tts.models.base import ModelSettings
from tts.models.prompt_store import Encoded, PromptStore, prompts_by
from tts.models.prompts import EncodedPromptSettings
from tts.quiet import quiet

if TYPE_CHECKING:
    from tts.plan import Condition

Tell = Callable[[int, int], None]
"""Function that is told the progress: number of encoded prompts, and of all prompts."""


def prompted(settings: ModelSettings) -> list[EncodedPromptSettings]:
    """Those of a model and its autoguidance's weaker model whose prompts can be stored."""
    if not isinstance(settings, EncodedPromptSettings):
        return []
    weaker = getattr(settings, "weaker", lambda: None)()
    return [settings, *prompted(weaker)] if weaker is not None else [settings]


def lacking(settings: ModelSettings, conditions: Iterable[Condition], store: PromptStore) -> int:
    """Number of encodings that a model needs and a store lacks."""
    wanted = _wanted(conditions)
    return sum(len(store.lacking(model.encoder_identity(), wanted)) for model in prompted(settings))


def unstored(settings: ModelSettings, store: PromptStore) -> list[str]:
    """Notes on models whose prompts cannot be stored, as far as the store knows."""
    found = [(model, store.read(store.key(model.encoder_identity(), None))) for model in prompted(settings)]
    return [note for model, encoded in found if encoded is not None and (note := model.unstored(encoded)) is not None]


def encode_lacking(
    settings: ModelSettings,
    conditions: Iterable[Condition],
    store: PromptStore,
    device: str,
    tell: Tell = lambda done, total: None,
) -> int:
    """Encode the prompts that a store lacks. Other processes wait meanwhile, and then find them in the store.

    Args:
        settings: the model.
        conditions: prompts; the negative prompt is encoded too.
        store: where encodings are written.
        device: where the text encoders are loaded.
        tell: called with the progress.

    Returns:
        Number of prompts that this process has encoded.

    Raises:
        TTSError: the encoders cannot be loaded, or the store cannot be written to.
    """
    wanted, count = _wanted(conditions), 0
    for model in prompted(settings):
        identity = model.encoder_identity()
        if store.lacking(identity, wanted):
            with store.lock(identity):
                left = store.lacking(identity, wanted)
                if left:
                    _encode(model, left, store, device, tell)
                    _forget(device)
                count += len(left)
    return count


def _wanted(conditions: Iterable[Condition]) -> list[str | None]:
    return [None, *map(str, conditions)]


def _encode(
    model: EncodedPromptSettings, prompts: list[str | None], store: PromptStore, device: str, tell: Tell
) -> None:
    import torch

    identity = model.encoder_identity()
    with torch.inference_mode(), quiet():
        encode = model.encoding(device)
        for done, prompt in enumerate(prompts):
            tell(done, len(prompts))
            store.write(store.key(identity, prompt), encode(prompt))
    tell(len(prompts), len(prompts))


def _forget(device: str) -> None:
    """Free the encoders' memory."""
    import torch

    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


class StoredPrompts:
    """Encodings of prompts from a store; for a missing one, text encoders are loaded and freed again.

    Args:
        store: the store of encoded prompts.
        settings: the model.
        device: device of the encodings; text encoders are loaded on the store's device.
    """

    def __init__(self, store: PromptStore, settings: EncodedPromptSettings, device: str) -> None:
        self.store, self.settings, self.device = store, settings, device
        self._identity = settings.encoder_identity()

    def __call__(self, prompt: str | None) -> Encoded:
        """An encoded prompt on the device; for None, the negative prompt."""
        from tts.engine.device_queue import upload

        key = self.store.key(self._identity, prompt)
        found = self.store.read(key)
        while found is None:
            where = str(self.store.computed.get("device", self.device))
            encode_lacking(self.settings, [] if prompt is None else [prompt], self.store, where)
            found = self.store.read(key)
        return {name: upload(tensor, self.device) for name, tensor in found.items()}


def prompts_from(store: PromptStore | None) -> AbstractContextManager[None]:
    """Context in which models load without text encoders and take prompts from a store; None: no change."""
    return prompts_by(None if store is None else partial(StoredPrompts, store))
