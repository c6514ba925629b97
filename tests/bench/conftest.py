"""Configurations of the tiny study."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from PIL import Image
from tiny_study import TINY, save_weights

from bench.study.config import RunConfig
from tts.settings import parse


@pytest.fixture(scope="session", autouse=True)
def small_network() -> None:
    """The network of the tiny study is there."""
    save_weights()


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., RunConfig]:
    """Makes the small study's configuration; ``engines`` is changed key by key."""

    def make(output: str = "run", engines: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
        values = {**TINY, "output": str(tmp_path / output), **changes}
        values["engines"] = {**TINY["engines"], **(engines or {})}
        return parse(RunConfig, values, "tiny")

    return make


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Figures are made, and become files of one pixel: for tests that look at none, as drawing is most of a report."""
    from matplotlib.figure import Figure

    def save(figure: Figure, file: IO[bytes], format: str = "png", **_: Any) -> None:
        if format == "svg":
            file.write(b"<svg/>")
        else:
            Image.new("RGB", (1, 1)).save(file, format)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save)
        yield


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Garbage is collected where a test says so."""
    gc.disable()
    yield
    gc.enable()
