"""What an author of a plug-in needs to test it: a toy world, and conformance classes of every kind.

A conformance class holds the checks that everything of one kind must pass, one method a check, whose docstring is the
rule. With pytest, a subclass and a fixture are enough::

    class TestMine(SearchConformance):
        @pytest.fixture
        def search(self):
            return Mine(N=4)

Without pytest, ``tts-bench check module:Class`` (or :func:`tts.testing.checking.check`) plays the same checks and says
in plain words what is wrong. Nothing here imports pytest; torch is imported where tensors are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tts.testing.metric import MetricConformance
    from tts.testing.model import ModelConformance
    from tts.testing.requirement import Violation
    from tts.testing.reward import RewardConformance
    from tts.testing.sampler import SamplerConformance
    from tts.testing.search import SearchConformance
    from tts.testing.toy import World

_MODULES = {
    "MetricConformance": "tts.testing.metric",
    "ModelConformance": "tts.testing.model",
    "RewardConformance": "tts.testing.reward",
    "SamplerConformance": "tts.testing.sampler",
    "SearchConformance": "tts.testing.search",
    "Violation": "tts.testing.requirement",
    "World": "tts.testing.toy",
}
"""Where each name is defined."""

__all__ = [
    "MetricConformance",
    "ModelConformance",
    "RewardConformance",
    "SamplerConformance",
    "SearchConformance",
    "Violation",
    "World",
]


def __getattr__(name: str) -> Any:
    """Import a name of :data:`_MODULES` when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'tts.testing' has no attribute '{name}'")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value
