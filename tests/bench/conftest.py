"""Configurations of the tiny study."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tiny_study import TINY, save_weights

from bench.study.config import RunConfig
from tts.settings import parse

if TYPE_CHECKING:
    from standing_engine import StandingEngine


@pytest.fixture(scope="session", autouse=True)
def small_network() -> None:
    """Save the network of the tiny study."""
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
    """A function that makes the tiny study's configuration; ``engines`` is changed key by key."""

    def make(output: str = "run", engines: dict[str, Any] | None = None, **changes: Any) -> RunConfig:
        values = {**TINY, "output": str(tmp_path / output), **changes}
        values["engines"] = {**TINY["engines"], **(engines or {})}
        return parse(RunConfig, values, "tiny")

    return make


STANDING = ("test_combinations", "test_families")
"""Files whose tests share an engine on Ray, one after another."""
_standing: list[StandingEngine] = []


@pytest.fixture
def standing() -> StandingEngine:
    """An engine on Ray that serves all tests of :data:`STANDING`."""
    from standing_engine import StandingEngine

    if not _standing:
        _standing.append(StandingEngine())
    return _standing[0]


def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """End the engine after the last test that may need it."""
    if _standing and (nextitem is None or nextitem.path.stem not in STANDING):
        _standing.pop().close()


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Collect garbage only where a test asks for it."""
    gc.disable()
    yield
    gc.enable()
