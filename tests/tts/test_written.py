"""Scores that models write in words are read, or are none; they raise no error."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from tts.rewards.remote.formats import OpenAIFormat
from tts.rewards.remote.settings import RemoteReward
from tts.rewards.remote.wire import Service
from tts.rewards.unified_reward import UnifiedReward, WrittenScore

PATTERN = r"score: ([0-9.]+)"

ANSWERS = {
    "score: 8.5": 8.5,
    "My score: 8.5.": 8.5,
    "score: 8.": 8.0,
    "score: 8...": 8.0,
    "score: .5": 0.5,
    "score: ...": None,
    "score: 1.2.3": None,
    f"score: {'9' * 400}": None,
    "I cannot": None,
}


class Talker(Service):
    """A service that gives the same answer to all; it counts the questions."""

    def __init__(self, says: str | None) -> None:
        super().__init__("http://127.0.0.1:9", 1, 0, None, "remote")
        self.says, self.asked = says, 0

    def post(self, path: str, json: Any = None, content: bytes = b"") -> bytes:
        self.asked += 1
        return _chat(self.says)


def _chat(says: str | None) -> bytes:
    return json.dumps({"choices": [{"message": {"content": says}}]}).encode()


def asked(says: str | None, pattern: str, scale: float = 1.0) -> tuple[list[float | None], int]:
    service = Talker(says)
    form = OpenAIFormat("judge", "{caption}", pattern, ("yes",), scale)
    reward = RemoteReward(service, form, {}, str, 1, 1)
    return reward.score(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), ["a", "b"]), service.asked


@pytest.mark.parametrize(("says", "score"), ANSWERS.items(), ids=[each[:12] for each in ANSWERS])
def test_a_service_is_asked_once_whatever_it_writes(says: str, score: float | None) -> None:
    assert asked(says, PATTERN) == ([score] * 2, 2)


def test_what_is_no_finite_number_is_no_score() -> None:
    assert asked("score: good", r"score: (?:([0-9.]+)|good)") == ([None, None], 2)
    assert asked("score: high", r"score: (\w+)") == ([None, None], 2)
    assert asked("score: 9", PATTERN, scale=1e308) == ([None, None], 2)
    assert asked(None, PATTERN) == ([None, None], 2)


@pytest.mark.parametrize(
    ("says", "score"),
    [
        ("Final Score: 4.5.", 4.5),
        ("Final Score: 4.", 4.0),
        ("Final Score: ...", None),
        (f"Final Score: {10**400}", None),
    ],
    ids=["a sentence", "a whole number", "no number", "too large"],
)
def test_unified_rewards_score_may_end_a_sentence(says: str, score: float | None) -> None:
    pattern = UnifiedReward.model_fields["pattern"].default
    reader = WrittenScore(object(), "", pattern, 8, str)  # type: ignore[arg-type]
    assert reader.read(says) == score


def test_unified_rewards_group_may_be_left_out() -> None:
    reader = WrittenScore(object(), "", r"Score: (?:([0-9.]+)|none)", 8, str)  # type: ignore[arg-type]
    assert reader.read("Score: none") is None
