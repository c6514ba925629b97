"""One look of a network at a batch, shared by the metrics that ask for its layers."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from tts.metrics.extractors.base import ExtractorSettings, Look


class SharedLook:
    """Looks at a batch once and keeps every layer until other images come.

    Args:
        look: from images to every layer.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._images: Tensor | None = None
        self._found: Mapping[str, Tensor] = {}

    def layer(self, name: str, images: Tensor) -> Tensor:
        """One layer of these images, ``[B, F]``."""
        if self._images is None or not _same(self._images, images):
            self._found, self._images = self._look(images), images.clone()
        return self._found[name]


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.device == b.device and torch.equal(a, b)


class LayerFeatures:
    """A metric's view of images: one layer of a network.

    Args:
        shared: the network's.
        layer: its name.
        device: of the network.
    """

    host = False

    def __init__(self, shared: SharedLook, layer: str, device: str) -> None:
        self.shared, self.name, self.device = shared, layer, device

    def features(self, images: Tensor) -> Tensor:
        """``[B, F]`` float32 of images ``[B, 3, H, W]`` uint8."""
        return self.shared.layer(self.name, images.to(self.device))


_LOADED: WeakValueDictionary[tuple[str, str], SharedLook] = WeakValueDictionary()


def layer_features(extractor: ExtractorSettings, layer: str, device: str) -> LayerFeatures:
    """A layer of an extractor; metrics of one process that are in use at once share its network."""
    key = extractor.about(), device
    shared = _LOADED.get(key)
    if shared is None:
        shared = _LOADED[key] = SharedLook(extractor.look(device))
    return LayerFeatures(shared, layer, device)
