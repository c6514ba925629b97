"""Rewards say which prompts they do not read to the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_rewards

from tts.prompts import Cut, cut_notes
from tts.registry import REWARDS
from tts.rewards.base import RewardSettings, reward_notes

LIMITS = {"clip": 75, "hpsv2": 75, "pickscore": 14, "imagereward": 33}
"""Tokens of a prompt that rewards read, without the first and last; the tiny PickScore's text encoder reads 16."""


@pytest.fixture(scope="module")
def rewards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RewardSettings]:
    files: dict[str, dict[str, Any]] = tiny_rewards.all_settings(tmp_path_factory.mktemp("cut") / "all")
    return {name: REWARDS.make({"name": name, **values})[1] for name, values in files.items()}


def told(settings: RewardSettings, *prompts: str) -> list[str]:
    """Notes on prompts, without those on weights."""
    return [note for note in settings.notes(prompts) if "weights" not in note]


@pytest.mark.parametrize("name", LIMITS)
def test_a_reward_says_what_it_cuts(name: str, rewards: dict[str, RewardSettings]) -> None:
    """Tokens are letters for the tiny tokenizers, and short words for open_clip's."""
    fits = " ".join(["a"] * LIMITS[name])
    assert told(rewards[name], fits, "a cat") == []
    [note] = told(rewards[name], f"{fits} z", "a cat")
    shown = fits if len(fits) <= 60 else f"{fits} z"[:60]
    assert note.startswith(f"prompt '{shown}")
    assert note.endswith(f"is longer than the {LIMITS[name]} tokens that are read; cut: 'z'")


@pytest.mark.parametrize("name", LIMITS)
def test_what_is_cut_changes_no_value(name: str, rewards: dict[str, RewardSettings]) -> None:
    import torch

    picture = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    reward, fits = rewards[name].load(), " ".join(["a"] * LIMITS[name])
    with torch.inference_mode():
        values = [reward.score(picture, [prompt])[0] for prompt in (fits, f"{fits} z", fits[:-2])]
    assert values[0] == values[1] != values[2]


def test_classes_are_told_by_their_captions(rewards: dict[str, RewardSettings]) -> None:
    long = " ".join(["a"] * 80)
    assert rewards["clip"].notes([0, 1], lambda condition: long if condition else "a")[-1].startswith("prompt 'a a")


def test_a_reward_without_prompts_says_nothing(rewards: dict[str, RewardSettings]) -> None:
    assert told(rewards["aesthetic"], "a " * 100) == []
    assert told(rewards["classifier"], "a " * 100) == []


def test_many_cut_prompts_are_counted() -> None:
    prompts = [f"{'long ' * 20}{k}" for k in range(9)] + ["short"] * 2
    [note] = cut_notes(prompts, lambda prompt: Cut(7, prompt[-1]) if len(prompt) > 9 else None)
    assert note.startswith("9 of 10 prompts are cut; the first: prompt 'long long")
    assert note.endswith("...' is longer than the 7 tokens that are read; cut: '0'")


def test_members_of_an_ensemble_speak_for_themselves(rewards: dict[str, RewardSettings], tmp_path: Path) -> None:
    pick = str(tiny_rewards.pickscore_folder(tmp_path / "pick"))
    _, both = REWARDS.make(
        {"name": "weighted", "of": [{"reward": {"name": "pickscore", "id": pick, "processor": pick}}]}
    )
    [note] = reward_notes({"mine": both}, ["a " * 30])
    assert note.startswith("reward mine: pickscore: prompt 'a a")


def test_a_note_on_a_prompt_of_several_lines_is_one_line() -> None:
    [note] = cut_notes(["a cat\non a\r\n\u2028mat"], lambda _: Cut(3, "\nmat"))
    assert note == "prompt 'a cat on a mat' is longer than the 3 tokens that are read; cut: 'mat'"
