"""Accept the command line of the study's own code, so that its users switch by changing the program's name.

Defaults are the study's (arXiv 2506.03164). What its code got wrong stays behind: zero-order search has no eps here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tts.errors import SettingError

BACKENDS: dict[str, str] = {"sd": "stable-diffusion", "edm": "edm"}
SCORERS: dict[str, dict[str, Any]] = {
    "brightness": {"name": "brightness"},
    "compressibility": {"name": "compressibility"},
    "clip": {"name": "clip"},
    "imagenet": {"name": "classifier", "model": "guided-diffusion-64"},
}
METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "naive": ("naive", ()),
    "rejection": ("best_of_n", ("N",)),
    "beam": ("beam", ("N", "B")),
    "mcts": ("mcts", ("N", "S")),
    "zero_order": ("zero_order", ("N", "K", "lambda")),
    "eps_greedy": ("eps_greedy", ("N", "K", "lambda", "eps")),
}
"""Each method's search here, and the settings that it takes."""

DEFAULTS: dict[str, Any] = {"N": 4, "lambda": 0.15, "eps": 0.4, "K": 20, "B": 2, "S": 8}
BACKEND, SCORER, METHOD = "sd", "brightness", "naive"
"""Defaults of the three, where one of them is named and another is not."""


@dataclass(frozen=True)
class Translation:
    """The study's flags as settings here.

    Args:
        model, reward: names with settings.
        search: name with settings.
        notes: flags that were given and change nothing, a line each.
    """

    model: str
    reward: dict[str, Any]
    search: dict[str, Any]
    notes: list[str]


def translate(
    backend: str | None, scorer: str | None, method: str | None, settings: Mapping[str, Any | None]
) -> Translation:
    """What the flags mean here.

    Args:
        settings: N, lambda, eps, K, B and S; None where a flag was not given.

    Raises:
        SettingError: a backend, scorer or method has another name.
    """
    model = _known("--backend", backend or BACKEND, BACKENDS)
    reward = _known("--scorer", scorer or SCORER, SCORERS)
    search, taken = _known("--method", method or METHOD, METHODS)
    given = {name: value for name, value in settings.items() if value is not None}
    idle = [name for name in given if name not in taken]
    notes = [f"--{'lambda_' if name == 'lambda' else name} has no effect on method {method or METHOD}" for name in idle]
    values = {name: given.get(name, DEFAULTS[name]) for name in taken}
    return Translation(model, dict(reward), {"name": search, **values}, notes)


def _known(flag: str, value: str, names: Mapping[str, Any]) -> Any:
    from tts.settings import nearest

    if value not in names:
        raise SettingError(f"{flag} {value}: unknown; {nearest(value, names)}")
    return names[value]
