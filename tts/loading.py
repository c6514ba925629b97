"""Models and rewards by name, loaded for use in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tts.errors import SettingError
from tts.models.base import ModelSettings
from tts.models.wrapped import Wrapped
from tts.plan import Condition, Plan
from tts.registry import MODELS, REWARDS
from tts.rewards.base import RewardSettings, Score, score_at
from tts.search.base import Problem

if TYPE_CHECKING:
    from torch import Tensor

    from tts.models.base import Model
    from tts.rewards.base import Reward


class LoadedModel(Wrapped):
    """A model on a device with the settings from which it was loaded; engines accept it like any model."""

    def __init__(self, name: str, settings: ModelSettings, model: Model, device: str) -> None:
        super().__init__(model)
        self.name, self.settings, self.device = name, settings, device

    @property
    def plan(self) -> Plan:
        """The sampler's plan; with guidance, a prediction may take two forwards."""
        return self.model.sampler.plan.times(self.passes)

    def problem(self, condition: object, *, reward: str, seed: int = 0, rewards: Sequence[str] = ()) -> Problem:
        """A problem to search.

        Args:
            condition: class index, name of a class, or prompt, depending on the model.
            reward: name of the engine's reward that the search maximises.
            seed: number that decides all randomness of the problem.
            rewards: names of further rewards that the search may ask for.

        Raises:
            SettingError: the model knows no such condition.
        """
        return Problem(self.settings.condition(condition), seed, self.plan, reward, tuple(rewards))


class LoadedReward:
    """A reward with the settings from which it was loaded; engines accept it like any reward."""

    def __init__(self, name: str, settings: RewardSettings, reward: Reward) -> None:
        self.name, self.settings, self.reward, self.host = name, settings, reward, reward.host
        self.levelled = bool(getattr(reward, "levelled", False))

    def score(self, images: Tensor, conditions: Sequence[Condition], levels: Sequence[float] = ()) -> list[Score]:
        """One value for each of ``[B, 3, H, W]`` uint8 images; higher is better.

        Args:
            images, conditions: ``[B, 3, H, W]`` uint8, and B class indices or prompts.
            levels: noise levels of their states, for rewards that need them (:class:`tts.rewards.base.LevelledReward`).
        """
        return score_at(self.reward, images, conditions, levels)


def load_model(given: str | Mapping[str, Any] | ModelSettings, device: str = "cpu", **settings: Any) -> LoadedModel:
    """Load a model, after its weights are checked.

    Args:
        given: registered name, your own ``module:Class``, ``{"name": ..., key: value}``, or a settings object.
        device: ``cpu``, ``cuda``, ``cuda:1``.
        settings: more settings, by name.

    Raises:
        SettingError: no such model or setting; the message names the nearest.
        WeightsError: its weights are missing, damaged or of another network.
    """
    name, found = _settings(MODELS, ModelSettings, given, settings)
    found.check()
    return LoadedModel(name, found, found.load(device), device)


def load_reward(
    given: str | Mapping[str, Any] | RewardSettings, model: LoadedModel, device: str | None = None, **settings: Any
) -> LoadedReward:
    """Load a reward for a model's images.

    Args:
        given: registered name, your own ``module:Class`` or ``module:function``, ``{"name": ..., key: value}``, or a
            settings object.
        model: the model whose images it judges; the model also turns conditions into texts.
        device: where it computes; None: the model's device.
        settings: more settings, by name.

    Raises:
        SettingError: no such reward or setting, or one that cannot judge this model's images.
        WeightsError: its weights are missing, damaged or of another network.
    """
    name, found = _settings(REWARDS, RewardSettings, given, settings)
    found.suits(model.settings)
    found.check()
    return LoadedReward(name, found, found.load(device or model.device, model.settings.caption))


def _settings(registry: Any, kind: type[Any], given: Any, more: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and settings of a model or a reward."""
    if isinstance(given, kind):
        if more:
            raise SettingError(f"{registry.kind}: {', '.join(more)} belong in the settings object that is given")
        return type(given).__name__, given
    named = {"name": given} if isinstance(given, str) else dict(given)
    return registry.make({**named, **more})  # type: ignore[no-any-return]
