"""Names for models, samplers, rewards, searches and metrics, bound to ``module:object``, imported only when used.

Other packages add theirs through the entry-point groups ``tts.models``, ``tts.samplers``, ``tts.rewards``,
``tts.searches`` and ``tts.metrics``; a configuration may also name its own as ``module:object``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from tts.errors import SettingError, UnknownNameError
from tts.files.digests import sha256
from tts.settings import Settings, nearest, parse

if TYPE_CHECKING:
    from tts.metrics.base import MetricSettings
    from tts.models.base import ModelSettings
    from tts.rewards.base import RewardSettings
    from tts.samplers.settings import SamplerSettings
    from tts.search.base import Search

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

MARK = "__makes_settings__"


def factory(function: F) -> F:
    """Mark a function that makes settings, so that a configuration may name it as ``module:function``.

    A name in a configuration must not call any function that happens to be importable, so an unmarked function is
    refused before it is called.
    """
    setattr(function, MARK, True)
    return function


class Registry(Generic[T]):
    """One kind of plug-in.

    Args:
        kind: what the names stand for, for messages.
        group: entry-point group in which other packages register.
        builtin: ``module:object`` by name.
        wrapper: ``module:object`` of a settings class for a user's plain function, which the class gets as ``target``;
            None: the function itself makes settings.
    """

    def __init__(self, kind: str, group: str, builtin: dict[str, str], wrapper: str | None = None) -> None:
        self.kind, self.group, self._builtin, self._wrapper = kind, group, builtin, wrapper

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
        if not isinstance(name, str) or (name not in self.targets and ":" not in name):
            raise UnknownNameError(f"unknown {self.kind} '{name}'; {nearest(name, self.targets)}")
        target = self.targets.get(name, name)
        found = self._object(name, target)
        if not (isinstance(found, type) and issubclass(found, Settings)):
            raise SettingError(f"{self.kind} '{name}': {target} is no settings class")
        if inspect.isabstract(found):
            missing = ", ".join(sorted(found.__abstractmethods__))
            raise SettingError(f"{self.kind} '{name}': {target} lacks {missing}")
        return cast(type[T], found)

    def _object(self, name: str, target: str) -> Any:
        module, _, attribute = target.partition(":")
        if name == target and str(Path.cwd()) not in sys.path:  # installed commands do not search the working folder
            sys.path.append(str(Path.cwd()))
        try:
            return getattr(import_module(module), attribute)
        except Exception as error:  # a foreign module may raise anything; the user gets one line
            why = str(error) or type(error).__name__
            raise SettingError(f"{self.kind} '{name}': {target} cannot be imported ({why})") from error

    def is_own(self, name: object) -> bool:
        """Whether a name is ``module:object``, code of a user's own, and not registered."""
        return isinstance(name, str) and ":" in name and name not in self.targets

    def origin(self, given: Any) -> dict[str, str] | None:
        """The code behind a user's own name; None for registered names.

        Returns:
            ``{target: module:object, source: SHA-256 of the file that defines it}``; files that this file imports do
            not count. None for a function that is a reward by itself, as its settings' identity has the same.
        """
        name = given.get("name") if isinstance(given, dict) else given
        if not isinstance(name, str) or not self.is_own(name):
            return None
        found = self._object(name, name)
        if self._wrapper is not None and not isinstance(found, type) and not getattr(found, MARK, False):
            return None
        try:
            file = inspect.getsourcefile(found)
        except (TypeError, OSError):  # it was made by no file
            file = None
        return {"target": name, "source": "" if file is None else sha256(Path(file), self.kind)}

    def identified(self, given: Any, identity: dict[str, Any]) -> dict[str, Any]:
        """An identity of settings, with :meth:`origin` as ``code`` for a user's own class."""
        origin = self.origin(given)
        return identity if origin is None else {**identity, "code": origin}

    def make(self, given: Any) -> tuple[str, T]:
        """Name and settings from a configuration's ``name`` or ``{name: ..., key: value, ...}``.

        Raises:
            SettingError: unknown name, unknown key or unusable value; the message names it.
        """
        values: dict[str, Any] = {"name": given} if isinstance(given, str) else given
        if not isinstance(values, dict) or "name" not in values:
            raise SettingError(f"{self.kind}: expected a name or '{{name: ..., key: value}}', got {given!r}")
        name, given = values["name"], {key: value for key, value in values.items() if key != "name"}
        if self.is_own(name):
            return name.partition(":")[2], self._own(name, given)
        kind: Any = self.get(name)
        settings: T = parse(kind, given, f"{self.kind} {name}")
        return str(name), settings

    def _own(self, name: str, given: dict[str, Any]) -> T:
        """Settings of a class, or from a function, of the user's own."""
        found = self._object(name, name)
        if isinstance(found, type):
            kind: Any = self.get(name)
        elif not inspect.isfunction(found):
            raise SettingError(f"{self.kind} '{name}': is neither a class nor a function written in Python")
        elif getattr(found, MARK, False):
            return self._made(name, found, given)
        elif self._wrapper is None:
            raise SettingError(
                f"{self.kind} '{name}': is neither a settings class nor a function marked with @tts.registry.factory"
            )
        else:
            kind, given = self._object(name, self._wrapper), {**given, "target": name}
        settings: T = parse(kind, given, f"{self.kind} {name}")
        return settings

    def _made(self, name: str, factory: Callable[..., Any], given: dict[str, Any]) -> T:
        try:
            made = factory(**given)
        except Exception as error:
            raise SettingError(f"{self.kind} {name}: {str(error) or type(error).__name__}") from error
        if not isinstance(made, Settings):
            raise SettingError(f"{self.kind} {name}: makes a {type(made).__name__}, which is no settings object")
        return cast(T, made)


MODELS: Registry[ModelSettings] = Registry(
    "model",
    "tts.models",
    {
        "auraflow": "tts.models.families.auraflow:AuraFlow",
        "cifar10": "tts.models.cifar10:Cifar10",
        "diffusers": "tts.models.generic:AnyPipeline",
        "dit": "tts.models.dit:DiT",
        "edm": "tts.models.edm:EDM",
        "edm2": "tts.models.edm2:EDM2",
        "flux": "tts.models.families.flux:Flux",
        "flux2": "tts.models.families.flux2:Flux2",
        "flux2-klein": "tts.models.families.flux2_klein:Flux2Klein",
        "lumina2": "tts.models.families.lumina2:Lumina2",
        "pixart-sigma": "tts.models.families.pixart_sigma:PixArtSigma",
        "qwen-image": "tts.models.families.qwen_image:QwenImage",
        "sana": "tts.models.families.sana:Sana",
        "sana-sprint": "tts.models.families.sana_sprint:SanaSprint",
        "sit": "tts.models.sit:SiT",
        "stable-diffusion": "tts.models.stable_diffusion:StableDiffusion",
        "stable-diffusion-3": "tts.models.families.stable_diffusion_3:StableDiffusion3",
        "stable-diffusion-xl": "tts.models.stable_diffusion_xl:StableDiffusionXL",
        "table": "tts.models.table:Table",
        "z-image": "tts.models.families.z_image:ZImage",
    },
)

SAMPLERS: Registry[SamplerSettings] = Registry(
    "sampler",
    "tts.samplers",
    {
        "ddim": "tts.samplers.ddim:DDIMSettings",
        "heun": "tts.samplers.heun:StochasticHeun",
        "interpolant": "tts.samplers.interpolant:InterpolantSettings",
    },
)

REWARDS: Registry[RewardSettings] = Registry(
    "reward",
    "tts.rewards",
    {
        "brightness": "tts.rewards.brightness:Brightness",
        "aesthetic": "tts.rewards.aesthetic:Aesthetic",
        "aesthetic_v2_5": "tts.rewards.aesthetic_v2_5:AestheticV25",
        "class_judge": "tts.rewards.class_judge:ClassJudge",
        "class_probability": "tts.rewards.class_probability:ClassProbability",
        "classifier": "tts.rewards.classifier:Classifier",
        "clip": "tts.rewards.clip:Clip",
        "clip_classes": "tts.rewards.clip_classes:ClipClasses",
        "compressibility": "tts.rewards.compressibility:Compressibility",
        "dino_classes": "tts.rewards.dino_classes:DinoClasses",
        "geneval": "tts.rewards.geneval.settings:GenEval",
        "hpsv2": "tts.rewards.hpsv2:HPSv2",
        "hpsv3": "tts.rewards.hpsv3:HPSv3",
        "imagereward": "tts.rewards.imagereward:ImageReward",
        "iqa": "tts.rewards.iqa:IQA",
        "pickscore": "tts.rewards.pickscore:PickScore",
        "rank_average": "tts.rewards.ensembles:RankAverage",
        "remote": "tts.rewards.remote.settings:Remote",
        "unified_reward": "tts.rewards.unified_reward:UnifiedReward",
        "vqascore": "tts.rewards.vqascore:VQAScore",
        "vqascore_t5": "tts.rewards.vqascore_t5:VQAScoreT5",
        "weighted": "tts.rewards.ensembles:Weighted",
    },
    wrapper="tts.rewards.own:Own",
)

SEARCHES: Registry[Search] = Registry(
    "search",
    "tts.searches",
    {
        "adaptive": "tts.search.adaptive:Adaptive",
        "ask_tell": "tts.search.ask_tell:AskTell",
        "beam": "tts.search.beam:Beam",
        "best_of_n": "tts.search.best_of_n:BestOfN",
        "demon": "tts.search.demon:Demon",
        "dfs": "tts.search.dfs:DFS",
        "dsearch": "tts.search.dsearch:DSearch",
        "dts": "tts.search.dts:DTS",
        "eps_greedy": "tts.search.eps_greedy:EpsGreedy",
        "evosearch": "tts.search.evosearch:EvoSearch",
        "fk": "tts.search.fk:FK",
        "mcts": "tts.search.mcts:MCTS",
        "naive": "tts.search.naive:Naive",
        "paths": "tts.search.paths:Paths",
        "pruned": "tts.search.pruned:Pruned",
        "random": "tts.search.random:PerStepRandom",
        "rank_ensemble": "tts.search.rank_ensemble:RankEnsemble",
        "rbf": "tts.search.rbf:RBF",
        "ses": "tts.search.ses:SES",
        "slope": "tts.search.slope:Slope",
        "trs": "tts.search.trs:TRS",
        "zero_order": "tts.search.zero_order:ZeroOrder",
        "zero_order_initial": "tts.search.zero_order_initial:ZeroOrderInitial",
    },
)

METRICS: Registry[MetricSettings] = Registry(
    "metric",
    "tts.metrics",
    {
        "coverage": "tts.metrics.manifolds:Coverage",
        "density": "tts.metrics.manifolds:Density",
        "fd_dinov2": "tts.metrics.fid:FDDINOv2",
        "fid": "tts.metrics.fid:FID",
        "fid_infinity": "tts.metrics.fid:FIDInfinity",
        "frechet_judge": "tts.metrics.frechet_judge:FrechetJudge",
        "inception_score": "tts.metrics.inception_score:InceptionScore",
        "kid": "tts.metrics.kid:KID",
        "precision": "tts.metrics.manifolds:Precision",
        "recall": "tts.metrics.manifolds:Recall",
        "sfid": "tts.metrics.fid:SFID",
        "vendi": "tts.metrics.vendi:Vendi",
    },
)
