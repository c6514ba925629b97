"""Configurations of the tiny study."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_study import TINY, save_weights

from bench.study.config import RunConfig
from tts.settings import parse


@pytest.fixture(scope="session", autouse=True)
def small_network() -> None:
    """The network of the tiny study is there."""
    save_weights()


@pytest.fixture(scope="module", autouse=True)
def mostly_undrawn(undrawn: Callable[..., None]) -> None:
    """No figure is drawn, but for tests that ask for :func:`drawn`."""


@pytest.fixture
def drawn(undrawn: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn."""
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", undrawn)


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., RunConfig]:
    """Makes the small study's configuration; ``engines`` is changed key by key."""

    def make(output: str = "run", engines: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
        values = {**TINY, "output": str(tmp_path / output), **changes}
        values["engines"] = {**TINY["engines"], **(engines or {})}
        return parse(RunConfig, values, "tiny")

    return make


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Garbage is collected where a test says so."""
    gc.disable()
    yield
    gc.enable()
