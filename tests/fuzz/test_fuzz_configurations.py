"""A configuration of any kind is planned or refused in a line, and never leaves anything behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from fuzz.configurations import bombs, nearly_right, texts
from fuzz.watched import examples, played


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def plan(here: Path, text: bytes) -> None:
    file = here / "study.yaml"
    file.write_bytes(text)
    played(here, "plan", file)


@examples(40)
@given(nearly_right())
def test_nearly_right(here: Path, values: dict[str, Any]) -> None:
    plan(here, yaml.dump(values, allow_unicode=True).encode("utf-8", "surrogatepass"))


@examples(20)
@given(texts())
def test_damaged_texts(here: Path, text: bytes) -> None:
    plan(here, text)


@pytest.mark.parametrize("text", bombs(), ids=["itself", "itself in a list", "nine of nine", "deep", "large"])
def test_texts_that_stand_for_very_much(here: Path, text: bytes) -> None:
    file = here / "study.yaml"
    file.write_bytes(text)
    result = played(here, "plan", file)
    assert result.code == 2
    assert len(result.err) < 600
