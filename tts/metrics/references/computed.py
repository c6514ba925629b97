"""Features of real images, computed once and kept in the cache."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from tts.errors import DataError, SettingError, first_line
from tts.files import downloads
from tts.files.digests import sha256
from tts.metrics.extractors.base import ExtractorSettings
from tts.metrics.references import images
from tts.metrics.references.faults import told
from tts.metrics.references.sample import drawn
from tts.training.frechet import Moments

BATCH = 64


def digest(path: Path, setting: str = "reference") -> str:
    """SHA-256 of a file, or of the names and contents of a folder's images.

    Raises:
        DataError: an image of the folder cannot be read.
        WeightsError: the file cannot be read.
    """
    with told(f"{setting} {path}", "its images cannot be read"):
        if not path.is_dir():
            return sha256(path, setting)
        found = hashlib.sha256()
        for file in images.files(path):
            found.update(f"{file.relative_to(path)}\0".encode())
            with file.open("rb") as content:
                found.update(hashlib.file_digest(content, "sha256").digest())
        return found.hexdigest()


def moments(path: Path, features: ExtractorSettings, layer: str) -> Moments:
    """Moments of a layer's features of all images at a path; more than one image is needed.

    Raises:
        DataError: the images cannot be read, or are too few.
    """
    from tts.metrics.sums import sums

    def make() -> dict[str, NDArray[Any]]:
        found = sums(_features(path, features, layer, None)).moments
        return {"n": np.array(found.n), "mu": found.mean, "sigma": found.covariance}

    kept = _kept(path, features, layer, "moments", make)
    return Moments(int(kept["n"]), kept["mu"], kept["sigma"])


def vectors(path: Path, features: ExtractorSettings, layer: str, most: int) -> NDArray[np.float32]:
    """A layer's features of images at a path, ``[N, F]``; of ``most`` drawn ones, where there are more.

    Raises:
        DataError: the images cannot be read, or are too few.
    """

    def make() -> dict[str, NDArray[Any]]:
        return {"features": np.concatenate([*_features(path, features, layer, most)])}

    return _kept(path, features, layer, f"drawn-{most}", make)["features"]


def _features(path: Path, features: ExtractorSettings, layer: str, most: int | None) -> Iterator[NDArray[np.float32]]:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    with images.opened(path) as (count, read), torch.inference_mode():
        if count < 2:
            raise DataError(f"reference {path}: holds a single image; a metric needs more")
        look = features.look(device)
        for batch in _batches(read(int(number)) for number in drawn(count, most)):
            given = torch.from_numpy(batch.transpose(0, 3, 1, 2).copy()).to(device)
            yield look(given)[layer].cpu().numpy()


def _batches(found: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Images of one size that follow one another, some at a time."""
    held: list[NDArray[np.uint8]] = []
    for image in found:
        if held and (len(held) == BATCH or held[0].shape != image.shape):
            yield np.stack(held)
            held = []
        held.append(image)
    yield np.stack(held)


def _kept(
    path: Path, features: ExtractorSettings, layer: str, kind: str, make: Callable[[], dict[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """Arrays from the cache, or made and put there; of processes that need the same ones, one makes them."""
    key = f"{digest(path)} {features.about()} {layer} {kind}"
    target = downloads.folder() / "references" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
    with ExitStack() as held:
        with _cached(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(target.with_name(f".{target.name}.lock")))
            there = target.exists()
        made = None if there else make()
        with _cached(target):
            if made is not None:
                _write(target, made)
            # numpy would leave a damaged one open
            with target.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}


@contextmanager
def _cached(target: Path) -> Iterator[None]:
    """Context that reads or writes a file of the cache, and names it where that fails."""
    try:
        yield
    except Exception as error:  # a damaged .npz file has a dozen kinds
        raise SettingError(
            f"TTS_CACHE: {target} cannot be used ({first_line(error)}); delete it, or set another folder"
        ) from None


def _write(target: Path, arrays: dict[str, NDArray[Any]]) -> None:
    buffer, temporary = io.BytesIO(), target.with_name(f".{target.name}.part")
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    with temporary.open("wb") as file:
        file.write(buffer.getbuffer())
        os.fsync(file.fileno())
    temporary.replace(target)
