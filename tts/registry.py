"""Names for models, rewards and searches, bound to ``module:object`` and imported only when used.

Other packages add theirs through the entry-point groups ``tts.models``, ``tts.rewards`` and ``tts.searches``.
"""

from __future__ import annotations

import inspect
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tts.errors import SettingError, UnknownNameError
from tts.settings import nearest, parse

if TYPE_CHECKING:
    from tts.models.base import ModelSettings
    from tts.rewards.base import RewardSettings
    from tts.search.base import Search

T = TypeVar("T")


class Registry(Generic[T]):
    """One kind of plug-in.

    Args:
        kind: what the names stand for, for messages.
        group: entry-point group in which other packages register.
        builtin: names to ``module:object``.
    """

    def __init__(self, kind: str, group: str, builtin: dict[str, str]) -> None:
        self.kind, self.group, self._builtin = kind, group, builtin

    @cached_property
    def targets(self) -> dict[str, str]:
        """Every name with its ``module:object``, sorted; imports nothing.

        Raises:
            SettingError: another package registers a name that is taken.
        """
        found = dict(self._builtin)
        for point in entry_points(group=self.group):
            if found.setdefault(point.name, point.value) != point.value:
                raise SettingError(
                    f"{self.kind} '{point.name}' is registered twice: {found[point.name]} and {point.value}"
                )
        return dict(sorted(found.items()))

    def get(self, name: object) -> type[T]:
        """The settings class of a name.

        Raises:
            UnknownNameError: nothing has this name.
            SettingError: another package's registration cannot be imported.
        """
        if not isinstance(name, str) or name not in self.targets:
            raise UnknownNameError(f"unknown {self.kind} '{name}'; {nearest(name, self.targets)}")
        module, _, attribute = self.targets[name].partition(":")
        try:
            found: type[T] = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise SettingError(f"{self.kind} '{name}': {module}:{attribute} cannot be imported ({error})") from error
        if inspect.isabstract(found):
            missing = ", ".join(sorted(found.__abstractmethods__))  # type: ignore[attr-defined]
            raise SettingError(f"{self.kind} '{name}': {module}:{attribute} lacks {missing}")
        return found

    def make(self, given: Any) -> tuple[str, T]:
        """Name and settings from a configuration's ``name`` or ``{name: ..., key: value, ...}``.

        Raises:
            SettingError: unknown name, unknown key or unusable value; the message names it.
        """
        values: dict[str, Any] = {"name": given} if isinstance(given, str) else given
        if not isinstance(values, dict) or "name" not in values:
            raise SettingError(f"{self.kind}: expected a name or '{{name: ..., key: value}}', got {given!r}")
        name = values["name"]
        kind: Any = self.get(name)
        settings: T = parse(kind, {key: value for key, value in values.items() if key != "name"}, f"{self.kind} {name}")
        return str(name), settings


MODELS: Registry[ModelSettings] = Registry(
    "model",
    "tts.models",
    {
        "cifar10": "tts.models.cifar10:Cifar10",
        "dit": "tts.models.dit:DiT",
        "edm": "tts.models.edm:EDM",
        "stable-diffusion": "tts.models.stable_diffusion:StableDiffusion",
        "stable-diffusion-xl": "tts.models.stable_diffusion_xl:StableDiffusionXL",
    },
)

REWARDS: Registry[RewardSettings] = Registry(
    "reward",
    "tts.rewards",
    {
        "brightness": "tts.rewards.brightness:Brightness",
        "aesthetic": "tts.rewards.aesthetic:Aesthetic",
        "class_probability": "tts.rewards.class_probability:ClassProbability",
        "classifier": "tts.rewards.classifier:Classifier",
        "clip": "tts.rewards.clip:Clip",
        "compressibility": "tts.rewards.compressibility:Compressibility",
        "hpsv2": "tts.rewards.hpsv2:HPSv2",
        "imagereward": "tts.rewards.imagereward:ImageReward",
        "pickscore": "tts.rewards.pickscore:PickScore",
        "rank_average": "tts.rewards.ensembles:RankAverage",
        "weighted": "tts.rewards.ensembles:Weighted",
    },
)

SEARCHES: Registry[Search] = Registry(
    "search",
    "tts.searches",
    {
        "beam": "tts.search.beam:Beam",
        "best_of_n": "tts.search.best_of_n:BestOfN",
        "eps_greedy": "tts.search.eps_greedy:EpsGreedy",
        "mcts": "tts.search.mcts:MCTS",
        "naive": "tts.search.naive:Naive",
        "random": "tts.search.random:PerStepRandom",
        "zero_order": "tts.search.zero_order:ZeroOrder",
    },
)
