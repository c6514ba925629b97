"""Settings of a server of rewards: which rewards, and how they compute. It needs no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from bench.study import yaml_values
from bench.study.named import named
from tts.errors import SettingError
from tts.registry import MODELS, REWARDS
from tts.rewards.base import RewardSettings

PROMPTED = "stable-diffusion"
"""A model whose conditions are captions; its files are not looked for."""


@dataclass(frozen=True)
class Served:
    """What is served.

    Args:
        rewards: as a configuration has them: names, or mappings with settings.
        device: where they compute.
        batch: images that rewards of a device always get; missing ones are padding.
        threads: of the CPU.
        token: what requests must bear; None: nothing.
        most_bytes: of a request; its images together have as many pixels at most.
    """

    rewards: Sequence[str | dict[str, Any]]
    device: str = "cpu"
    batch: int = 16
    threads: int = 1
    token: str | None = None
    most_bytes: int = 64 << 20

    def settings(self) -> dict[str, RewardSettings]:
        """The rewards by name, checked.

        Raises:
            TTSError: one cannot be used.
        """
        if not self.rewards:
            raise SettingError("serve: name a reward; tts-bench list rewards shows them")
        found: dict[str, RewardSettings] = named(REWARDS, self.rewards)
        captions = MODELS.make(PROMPTED)[1]
        for settings in found.values():
            settings.suits(captions)  # who asks sends captions, and no class of a list
            settings.check()
        return found


def entries(texts: Sequence[str]) -> list[str | dict[str, Any]]:
    """Rewards of a command line: names, or mappings in YAML.

    Raises:
        SettingError: one is neither.
    """
    return [_entry(text) for text in texts]


def _entry(text: str) -> str | dict[str, Any]:
    if not text.lstrip().startswith("{"):
        return text
    try:
        found = yaml_values.load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SettingError(f"serve: '{text}' is no mapping in YAML, as '{{name: clip, as: judge}}'")
    return found


def token_in(variable: str | None) -> str | None:
    """The token that an environment variable holds; None: none is asked for.

    Raises:
        SettingError: it holds none.
    """
    if variable is None:
        return None
    found = os.environ.get(variable)
    if not found:
        raise SettingError(f"--key {variable}: the environment has no such variable, or it is empty")
    return found
