"""Features of final images, computed in the batches in which images are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tts.engine.device_errors import device_error, of_the_device
from tts.engine.small_batches import REMEDY, small_batches
from tts.errors import DeviceError, EngineError, first_line
from tts.metrics.base import Metric
from tts.models.base import Model
from tts.noise import Noise, NoiseBank

Features = NDArray[np.float32]


def extract(name: str, metric: Metric, images: Tensor) -> list[Features | None]:
    """A row of features for each image; None where a feature is not a finite number.

    Args:
        name: the extractor's name, for messages.
        metric: computes the features.
        images: ``[B, 3, H, W]`` uint8.

    Raises:
        DeviceError: the device failed in the extractor.
        EngineError: the extractor failed, or did not return ``[B, F]`` float32.
    """
    try:
        found: Any = metric.features(images)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # as in tts.engine.asking
        if of_the_device(error):
            raise device_error(f"metric {name}", error) from None
        raise EngineError(f"metric {name} failed: {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images) or found.dtype != torch.float32:
        got = f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise EngineError(f"metric {name}: features of {len(images)} images must be [B, F] float32, and are {got}")
    rows = found.cpu().numpy()
    return [row.copy() if np.isfinite(row).all() else None for row in rows]


def extract_places(
    name: str, metric: Metric, images: Tensor, places: Sequence[int]
) -> tuple[dict[int, Features | None], dict[int, str]]:
    """Features of the images at some positions, and errors; if the extractor fails, each image is tried alone.

    Raises:
        DeviceError: the device failed.
    """
    try:
        rows = extract(name, metric, images)
        return {place: rows[place] for place in places}, {}
    except DeviceError:
        raise
    except EngineError:
        found, errors, count = dict[int, Features | None](), dict[int, str](), len(images)
    for place in places:
        alone = images[place : place + 1]
        try:
            found[place] = extract(name, metric, alone.expand(count, *alone.shape[1:]))[0]
        except DeviceError:
            raise
        except EngineError as error:
            errors[place] = str(error)
    return found, errors


@torch.inference_mode()
def first_dependent_features(
    model: Model, metrics: Mapping[str, Metric], batch: int, device: str = "cpu", metric_device: str | None = None
) -> str | None:
    """The first metric whose features of an image change with its position or the rows beside it; None if none does.

    Raises:
        EngineError: a metric fails, or its features have another form.
    """
    bank = NoiseBank(model.shape)
    clean = torch.stack([torch.from_numpy(bank(Noise(k))) for k in range(batch)]).to(device)
    images = model.decode(clean)
    for name, metric in metrics.items():
        given = images.cpu() if metric.host else images.to(metric_device or device)
        there, back = extract(name, metric, given), extract(name, metric, given.flip(0))[::-1]
        alone = extract(name, metric, given[:1].expand(batch, *given.shape[1:]))[:1]
        if any(not same_features(a, b) for a, b in zip([*there, *alone], [*back, *there[:1]], strict=True)):
            return f"metric {name}"
        for count in small_batches(metric):
            few = extract(name, metric, given[:count])
            if any(not same_features(a, b) for a, b in zip(few, there, strict=False)):
                return f"metric {name} (which could {REMEDY})"
    return None


def same_features(a: Features | None, b: Features | None) -> bool:
    """Whether features are equal, or at least one of them is missing."""
    return a is None or b is None or np.array_equal(a, b)
