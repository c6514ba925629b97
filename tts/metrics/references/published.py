"""Moments of real images' features, as ADM, EDM and EDM2 publish them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tts.errors import DataError, SettingError
from tts.files import numpy_pickle
from tts.metrics.extractors.base import POOLED, SPATIAL, ExtractorSettings
from tts.metrics.references.faults import told
from tts.training.frechet import Moments

INCEPTION, DINOV2 = "inception-v3-compat", "dinov2-vit-l-14"

KEYS = {(INCEPTION, POOLED): ("mu", "sigma"), (INCEPTION, SPATIAL): ("mu_s", "sigma_s")}
"""Names of mean and covariance in a ``.npz`` of ADM's (VIRTUAL_imagenet*_labeled.npz) or EDM's, by whose features."""

ENTRIES = {(INCEPTION, POOLED): "fid", (DINOV2, POOLED): "fd_dinov2"}
"""Names of their dict in a ``.pkl`` of EDM2's."""

MOST_BYTES = 1 << 28
"""Of an array, unpacked; Inception's covariance has 32 MiB."""

PUBLISHED_IMAGES = 50_000
"""Number of images where a file does not say it; no value depends on it."""


def has_moments(path: Path) -> bool:
    """Whether a file is of a form that holds moments, whosever features they are of."""
    return path.suffix == ".pkl" or (path.suffix == ".npz" and any("mu" in name for name in names(path)))


def names(path: Path) -> list[str]:
    """The arrays in a ``.npz`` file; nothing of them is read.

    Raises:
        DataError: missing or damaged.
    """
    with told(f"reference {path}", "damaged, or no .npz file"), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def moments(path: Path, features: ExtractorSettings, layer: str) -> Moments:
    """The moments that a file holds of a layer's features.

    Raises:
        DataError: the file is missing, damaged or of another form; it is read without running anything in it.
        SettingError: its moments are of another extractor's features.
    """
    found = _of_pickle(path) if path.suffix == ".pkl" else _of_npz(path)
    wanted = (features.family, layer)
    if wanted not in found:
        there = " and ".join(f"{family} ({kind})" for family, kind in found)
        raise SettingError(
            f"reference {path}: holds moments of features of {there or 'nothing known'}, and none of "
            f"{features.family} ({layer}); set features to the extractor it was made with, or name real images"
        )
    with told(f"reference {path}", "damaged, or holds more than numbers"):
        mean, covariance = (np.asarray(each, np.float64) for each in found[wanted]())
    size = features.size(layer)
    if mean.shape != (size,) or covariance.shape != (size, size):
        raise DataError(
            f"reference {path}: mean and covariance are {list(mean.shape)} and {list(covariance.shape)}, and "
            f"{features.family} has {size} {layer} features"
        )
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise DataError(f"reference {path}: its moments are not finite")
    return Moments(PUBLISHED_IMAGES, mean, covariance)


def _of_npz(path: Path) -> Mapping[tuple[str, str], Any]:
    there = names(path)
    return {
        who: lambda pair=pair: _arrays(path, pair) for who, pair in KEYS.items() if all(name in there for name in pair)
    }


def _arrays(path: Path, pair: tuple[str, str]) -> list[Any]:
    with zipfile.ZipFile(path) as archive:
        if any(archive.getinfo(f"{name}.npy").file_size > MOST_BYTES for name in pair):
            raise ValueError(f"an array has more than {MOST_BYTES >> 20} MiB")
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return [file[name] for name in pair]


def _of_pickle(path: Path) -> Mapping[tuple[str, str], Any]:
    content = numpy_pickle.read(path, "reference")
    content = content if isinstance(content, dict) else {}
    if {"mu", "sigma"} <= content.keys():
        content = {"fid": content}
    return {
        who: lambda entry=content[name]: [entry["mu"], entry["sigma"]]
        for who, name in ENTRIES.items()
        if isinstance(content.get(name), dict) and {"mu", "sigma"} <= content[name].keys()
    }
