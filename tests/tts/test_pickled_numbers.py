"""Pickles of numbers, as a server of flow-grpo answers them: read as numbers, and unpickled by nobody."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tts.rewards.remote.numbers import numbers
from tts.rewards.remote.wire import Unreadable


@pytest.mark.parametrize("value", [{"scores": [0.5, "a"]}, {"others": [1]}, 3])
def test_a_pickle_that_holds_anything_else_is_unreadable(value: Any) -> None:
    with pytest.raises(Unreadable):
        numbers(pickle.dumps(value), "scores")


class Bomb:
    """Whoever unpickles this object makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize(
    "hold", [lambda bomb: bomb, lambda bomb: {"scores": [bomb]}, lambda bomb: {"scores": [0.5], "more": bomb}]
)
def test_a_pickle_that_would_run_something_is_unpickled_by_nobody(hold: Callable[[Bomb], Any], tmp_path: Path) -> None:
    made = tmp_path / "made"
    content = pickle.dumps(hold(Bomb(made)))
    pickle.loads(content)  # noqa: S301  (our own)
    assert made.is_dir()  # it works
    made.rmdir()
    with pytest.raises(Unreadable):
        numbers(content, "scores")
    assert not made.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_numbers_of_every_protocol_are_read(protocol: int) -> None:
    value = {"scores": [0.5, 1, -3, 1e300, 2**70], "words": "none"}
    assert numbers(pickle.dumps(value, protocol=protocol), "scores") == value["scores"]
    assert numbers(pickle.dumps(value["scores"], protocol=protocol), "scores") == value["scores"]


@pytest.mark.parametrize("content", [b"", b".", b"\x80\x04", b"<html>", b"]("], ids=repr)
def test_what_is_no_pickle(content: bytes) -> None:
    with pytest.raises(Unreadable):
        numbers(content, "scores")
