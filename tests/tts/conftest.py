"""Fixtures of tests that download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from file_site import Site, served


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server on this machine."""
    with served() as site:
        yield site


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no proxy before the server."""
    monkeypatch.setenv("TTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"
