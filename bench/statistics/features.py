"""Features of a run's final images, by which sets of images are compared: how diverse, how far from real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.store import features as stored_features
from bench.store import reader as store
from bench.store.images import Pixels, kept, pixels_of
from bench.store.storage import Output, place
from bench.study.trust import foreign
from tts.errors import DataError, SettingError, TTSError
from tts.files import weights_file
from tts.registry import REWARDS
from tts.rewards.base import RewardSettings
from tts.training.frechet import Moments, load

BATCH = 64
MOMENTS = weights_file.SHIPPED / "cifar10-judge-moments.safetensors"

Extract: TypeAlias = Callable[[Pixels], NDArray[np.float32]]
"""``[B, 3, H, W]`` to ``[B, F]``."""


class Features(NamedTuple):
    """Features of images.

    Args:
        values: ``[N, F]``, float32, in the order of the trials; a row of NaN where a trial has no image.
        extractor: what they are, in words.
        digest: of the judge's weights; None: not the judge's features.
    """

    values: NDArray[np.float32]
    extractor: str
    digest: str | None = None


class _Extractor(NamedTuple):
    """A loaded network with the names that :class:`Features` has."""

    extract: Extract
    name: str
    digest: str | None = None


def image_features(output: Output, trials: pd.DataFrame, device: str = "cpu", trust: bool = False) -> Features | str:
    """Features of the final images of a run's trials.

    Those of the embedded model are seen by its judge, the second classifier; those of other models by the CLIP that
    their run scores with.

    Args:
        output: the run.
        trials: of it; the column ``trial``.
        device: where the network computes.
        trust: the manifest may name the encoder's files and addresses.

    Returns:
        The features, or in words why there are none.

    Raises:
        DataError: the run cannot be read.
    """
    chosen = _extractor(store.read_manifest(output), device, trust)
    if isinstance(chosen, str):
        return chosen
    places = _places(trials)
    values: NDArray[np.float32] | None = None
    for keys, found in _found(output, places, chosen):
        if values is not None and values.shape[1] != found.shape[1]:
            raise DataError(f"{output}: features of {values.shape[1]} and of {found.shape[1]} numbers an image")
        if values is None:
            values = np.full((len(trials), found.shape[1]), np.nan, np.float32)
        for key, row in zip(keys, found, strict=True):
            values[places[key]] = row
    return "the run kept no images" if values is None else Features(values, chosen.name, chosen.digest)


def _found(
    output: Output, places: dict[str, list[int]], chosen: _Extractor
) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """Features of the wanted trials: those that the run stores, and of the other images new ones."""
    left = dict(places)
    if chosen.digest is not None:
        for keys, rows in stored_features.read(output, f"cifar10-judge {chosen.digest}"):
            mine = [k for k, key in enumerate(keys) if left.pop(key, None) is not None]
            yield [keys[k] for k in mine], rows[mine]
    for keys, pixels in _batches(_pictures(output, left)) if left else ():
        yield keys, chosen.extract(pixels)


def reference_moments(features: Features) -> Moments | None:
    """The same features of real images, the 50,000 that the embedded networks were trained on; None: not at hand.

    Raises:
        DataError: they have another size, so that they are not the judge's after all.
    """
    if features.digest is None:
        return None
    found = load(MOMENTS, features.digest)
    if len(found.mean) != features.values.shape[1]:
        raise DataError(f"features of {features.values.shape[1]} numbers an image; the judge's have {len(found.mean)}")
    return found


def _extractor(manifest: dict[str, Any], device: str, trust: bool) -> _Extractor | str:
    """The network that suits a run's images, or why there is none."""
    try:
        if manifest["resolved"]["model"]["name"] == "cifar10":
            return _judge(device)
        given = [*manifest["config"]["rewards"], *manifest["config"].get("held_out", [])]
        known = [_reward(each) for each in given if trust or not any(foreign({"rewards": [each]}, ["rewards"]))]
        found = next((reward for reward in known if _is_clip(reward)), None)
        return "no features at hand: the run scores by no clip" if found is None else _clip(found, device)
    except TTSError as error:
        return f"no features at hand: {error}"


def _reward(given: str | dict[str, Any]) -> RewardSettings | None:
    """A reward's settings; None for a reward that is not registered here."""
    values = given if isinstance(given, str) else {key: value for key, value in given.items() if key != "as"}
    try:
        return REWARDS.make(values)[1]
    except SettingError:
        return None


def _is_clip(reward: RewardSettings | None) -> bool:
    from tts.rewards.clip import Clip

    return isinstance(reward, Clip)


def _judge(device: str) -> _Extractor:
    from tts.rewards.class_judge import ClassJudge

    settings = ClassJudge()
    judge = settings.classifier(device)

    def extract(pixels: Pixels) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            x = torch.from_numpy(pixels).to(device).float() / 127.5 - 1
            found: NDArray[np.float32] = judge.features(x.contiguous(memory_format=torch.channels_last)).cpu().numpy()
            return found

    return _Extractor(extract, "pooled features of class_judge's classifier", weights_file.digest(settings.path))


def _clip(settings: Any, device: str) -> _Extractor:
    encoders = settings.encoders(device)

    def extract(pixels: Pixels) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            found: NDArray[np.float32] = encoders.images(torch.from_numpy(pixels)).cpu().numpy()
            return found

    return _Extractor(extract, f"image embeddings of clip's {settings.model}")


def _places(trials: pd.DataFrame) -> dict[str, list[int]]:
    """The rows of each trial; one that stands on two curves has two."""
    places: dict[str, list[int]] = {}
    for place_, key in enumerate(trials["trial"]):
        places.setdefault(key, []).append(place_)
    return places


def _pictures(output: Output, wanted: dict[str, list[int]]) -> Iterator[tuple[str, Pixels]]:
    """The images of the wanted trials, ``[3, H, W]``, each once; a part of the run is held at a time."""
    where, left = place(output), set(wanted)
    for batch in store.batches(output, ["trial", "image", "image_file"]):
        for row in batch.to_pylist():
            data = kept(where, row) if row["trial"] in left else None
            if data is not None:
                left.remove(row["trial"])
                yield row["trial"], pixels_of(where, row["trial"], data).transpose(2, 0, 1)


def _batches(pictures: Iterator[tuple[str, Pixels]]) -> Iterator[tuple[list[str], Pixels]]:
    """Images of one size together, up to :data:`BATCH` of them."""
    keys: list[str] = []
    waiting: list[Pixels] = []
    for key, pixels in pictures:
        if waiting and (len(waiting) == BATCH or pixels.shape != waiting[0].shape):
            yield keys, np.stack(waiting)
            keys, waiting = [], []
        keys.append(key)
        waiting.append(pixels)
    if waiting:
        yield keys, np.stack(waiting)
