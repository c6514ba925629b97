"""Test-time scaling of diffusion models: noise recipes, samplers, models, rewards, searches and the engine.

This package runs on one device and knows no cluster; ``bench`` builds the distributed harness on top of it. A search in
a few lines of Python::

    import tts

    model = tts.load_model("cifar10")
    rewards = {"brightness": tts.load_reward("brightness", model)}
    engine = tts.Engine(model, rewards, batch=8)
    result = tts.play({"name": "best_of_n", "N": 8}, model.problem("cat", reward="brightness"), engine)
    result.image.save("cat.png")

Names are imported when they are first used: ``import tts`` imports neither torch nor anything else that takes time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tts.engine.batching import Engine
    from tts.loading import LoadedModel, LoadedReward, load_model, load_reward
    from tts.playing import Picture, Result, play, replay
    from tts.search.base import Problem, Search

_MODULES = {
    "Engine": "tts.engine.batching",
    "LoadedModel": "tts.loading",
    "LoadedReward": "tts.loading",
    "Picture": "tts.playing",
    "Problem": "tts.search.base",
    "Result": "tts.playing",
    "Search": "tts.search.base",
    "load_model": "tts.loading",
    "load_reward": "tts.loading",
    "play": "tts.playing",
    "replay": "tts.playing",
}
"""Where each name is defined."""

__all__ = [
    "Engine",
    "LoadedModel",
    "LoadedReward",
    "Picture",
    "Problem",
    "Result",
    "Search",
    "load_model",
    "load_reward",
    "play",
    "replay",
]


def __getattr__(name: str) -> Any:
    """Import a name of :data:`_MODULES` when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'tts' has no attribute '{name}'")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    """All names, including those that are not imported yet."""
    return sorted({*globals(), *__all__})
