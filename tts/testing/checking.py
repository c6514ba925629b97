"""Plays somebody's search, model, reward, sampler or metric against the rules of its kind, without pytest."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tts.errors import SettingError, TTSError, first_line
from tts.metrics.base import MetricSettings
from tts.models.base import ModelSettings
from tts.plan import Condition
from tts.registry import MARK, METRICS, MODELS, REWARDS, SAMPLERS, SEARCHES
from tts.rewards.base import RewardSettings
from tts.rewards.own import Own
from tts.samplers.settings import SamplerSettings
from tts.search.base import Search
from tts.settings import parse
from tts.testing.requirement import Violation

TESTING = "tts.testing"
SAME = "the same as above"
"""The fault of a rule that is broken for the reason that an earlier rule names."""

KINDS: dict[str, tuple[type[Any], str]] = {
    "search": (Search, "SearchConformance"),
    "model": (ModelSettings, "ModelConformance"),
    "reward": (RewardSettings, "RewardConformance"),
    "sampler": (SamplerSettings, "SamplerConformance"),
    "metric": (MetricSettings, "MetricConformance"),
}
"""What classes of a kind derive from, and the class of its checks."""


@dataclass(frozen=True)
class Finding:
    """The result of one rule; ``fault``: what is wrong and what to do, None if the rule is kept."""

    rule: str
    fault: str | None


@dataclass(frozen=True)
class Verdict:
    """The results of all rules of a kind."""

    kind: str
    name: str
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether every rule is kept."""
        return all(finding.fault is None for finding in self.findings)


class Subject(NamedTuple):
    """The plug-in under test: its kind, its name and what makes it."""

    kind: str
    name: str
    make: Callable[[], Any]
    conditions: Sequence[Condition]


def check(target: str, settings: Mapping[str, Any] | None = None, conditions: Sequence[Condition] = ()) -> Verdict:
    """Play a plug-in against the rules of its kind.

    Args:
        target: ``module:Class``, ``module:function`` (a reward, or marked as making settings), or a registered name.
        settings: its settings, by name.
        conditions: class indices or prompts that a reward's images are of; empty: class indices.

    Raises:
        SettingError: there is no such object, it is of no kind that is known, or a setting is wrong.
    """
    found = _found(target)
    subject = _subject(target, found, dict(settings or {}), conditions)
    if inspect.isabstract(found):
        lacks = ", ".join(f"{name}()" for name in sorted(found.__abstractmethods__))
        return Verdict(subject.kind, target, (Finding("It has every method of its kind.", f"lacks {lacks}"),))
    with _one_thread():
        return Verdict(subject.kind, target, tuple(_findings(subject)))


def rules(conformance: type[Any]) -> dict[str, str]:
    """Names of a conformance class's checks and their rules, in order."""
    members = inspect.getmembers(conformance, inspect.isfunction)
    checks = {name: member for name, member in members if name.startswith("test_")}
    ordered = sorted(checks, key=lambda name: checks[name].__code__.co_firstlineno)
    return {name: (inspect.getdoc(checks[name]) or name).splitlines()[0] for name in ordered}


def _findings(subject: Subject) -> Iterator[Finding]:
    conformance = getattr(import_module(TESTING), KINDS[subject.kind][1])()
    if subject.conditions:
        conformance.given = tuple(subject.conditions)
    made, seen = subject.make(), set[str]()
    for each, rule in rules(type(conformance)).items():
        fault = _fault(lambda each=each: getattr(conformance, each)(made))  # type: ignore[misc]
        yield Finding(rule, SAME if fault in seen else fault)
        seen |= {fault} if fault is not None else set()


def _fault(play: Callable[[], None]) -> str | None:
    """The message of a failed check; for an exception of the plug-in, its last line and where it was raised."""
    try:
        play()
    except (Violation, TTSError) as error:
        return str(error)
    except (Exception, SystemExit) as error:
        return f"raises {_told(error)}"
    return None


def _told(error: BaseException) -> str:
    """An exception in one line: its type, its message and the place outside of this package where it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = str(Path(__file__).parents[1])
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)] or frames
    near = [frame for frame in theirs if "site-packages" not in frame.filename] or theirs
    place = (near[-1].filename, near[-1].lineno) if near else ("?", 0)
    if isinstance(error, SyntaxError):
        place = (error.filename or "?", error.lineno)
    message, name = first_line(error), type(error).__name__
    return f"{name}{'' if message == name else f': {message}'} ({_near(place[0])}:{place[1]})"


def _near(file: str) -> str:
    """A file as seen from the working folder."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _found(target: str) -> Any:
    """The object of a name."""
    module, colon, attribute = target.partition(":")
    if not colon:
        for registry in (SEARCHES, MODELS, REWARDS, SAMPLERS, METRICS):
            if target in registry.targets:
                return registry.get(target)
        raise SettingError(f"check {target}: name it as module:Class, for example mine:Greedy of the file mine.py")
    found = _module(module, target)
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [name for name, value in vars(found).items() if callable(value) and not name.startswith("_")]
            raise SettingError(f"check {target}: {module} has no '{attribute}'; it has {', '.join(names) or 'nothing'}")
        found = getattr(found, part)
    return found


def _module(name: str, target: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:  # installed commands do not search the working folder
        sys.path.append(str(Path.cwd()))
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise SettingError(
                f"check {target}: no module '{name}' is here; run it in the folder of its file"
            ) from None
        raise SettingError(f"check {target}: {_told(error)}") from None
    except (Exception, SystemExit) as error:
        raise SettingError(f"check {target}: its module raises {_told(error)}") from None


def _subject(target: str, found: Any, settings: dict[str, Any], conditions: Sequence[Condition]) -> Subject:
    """What kind an object is of, and how it is made."""
    if isinstance(found, type):
        kind = next((kind for kind, (base, _) in KINDS.items() if issubclass(found, base)), None)
        if kind is not None:
            return Subject(kind, target, lambda: parse(found, settings, f"{kind} {target}"), conditions)
    elif inspect.isfunction(found) and getattr(found, MARK, False):
        made = _call(found, settings, target)
        kind = next((kind for kind, (base, _) in KINDS.items() if isinstance(made, base)), None)
        if kind is not None:
            return Subject(kind, target, lambda: made, conditions)
        raise SettingError(f"check {target}: makes a {type(made).__name__}, which is no search, model or reward")
    elif inspect.isfunction(found):
        given = {**settings, "target": target}
        return Subject("reward", target, lambda: parse(Own, given, f"reward {target}"), conditions)
    raise SettingError(
        f"check {target}: is no search, model, reward, sampler or metric; derive a class from tts.search.base.Search, "
        "tts.models.base.ModelSettings, tts.rewards.base.RewardSettings, tts.samplers.settings.SamplerSettings or "
        "tts.metrics.base.MetricSettings, or write a function of images and conditions"
    )


def _call(found: Callable[..., Any], settings: dict[str, Any], target: str) -> Any:
    try:
        return found(**settings)
    except TypeError as error:
        raise SettingError(f"check {target}: {error}; give its settings by --set KEY=VALUE") from None


@contextmanager
def _one_thread() -> Iterator[None]:
    """One CPU thread, as engines have it unless they are told otherwise."""
    torch = sys.modules.get("torch") or import_module("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
