"""The unit that is stored, resumed and counted: a problem, a search with its settings, a reward."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from tts.noise import VERSION as NOISE_VERSION
from tts.plan import Condition, Plan
from tts.search.base import Problem, Search
from tts.settings import canonical

IDENTITY_VERSION = 1
"""Changes whenever the same trial would give another image or reward; what it costs on the way may fall."""


def code_key(search: str, settings: str) -> str:
    """The key of a search whose code depends on its settings, as they name another search."""
    return f"{search} {settings}"


@dataclass(frozen=True)
class Context:
    """The facts that all trials of a run share and that change their results.

    Args:
        model: name and identity of the model.
        rewards: names and identities of the rewards.
        numerics: batch, threads and device of an engine; they can change the last bit.
        searches: which code those searches are that are not registered, and versions other than 1, by name, or by
            :func:`code_key` where these depend on the settings, too.
    """

    model: dict[str, Any]
    rewards: dict[str, Any]
    numerics: dict[str, Any]
    searches: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def texts(self) -> tuple[str, str]:
        """The canonical JSON of the shared parts: before the problem's and between the reward's and the search's."""
        before = canonical({"model": self.model, "numerics": self.numerics})[:-1]
        return before, canonical({"rewards": self.rewards})[1:-1]

    def code_of(self, search: str, settings: str) -> Any:
        """What :attr:`searches` has of a search with these settings; None: nothing."""
        return self.searches.get(code_key(search, settings), self.searches.get(search))


@dataclass(frozen=True)
class Trial:
    """One search of one problem for one reward.

    Args:
        search: registered name.
        algorithm: the search with its settings.
        budget: name of the setting that grows along the curve, if any.
        reward: name of the reward searched on.
        condition: class index or prompt.
        seed: index of the problem's seed.
        problem_seed: names all randomness of the problem.
        context: what it shares with the run's other trials.
        alone: whether it is run on one engine, and nothing else there meanwhile; changes nothing of its result.
    """

    search: str
    algorithm: Search
    budget: str | None
    reward: str
    condition: Condition
    seed: int
    problem_seed: int
    context: Context = field(repr=False, compare=False)
    alone: bool = field(default=False, compare=False)

    def shares_with(self, other: Trial) -> bool:
        """Whether both are of one problem, and so may have work in common."""
        return (self.condition, self.problem_seed) == (other.condition, other.problem_seed)

    def problem(self, plan: Plan, rewards: tuple[str, ...] = ()) -> Problem:
        """The problem as the search sees it; it may ask for its own reward and for these."""
        return Problem(self.condition, self.problem_seed, plan, self.reward, rewards)

    @property
    def settings(self) -> str:
        """The search's settings as canonical JSON."""
        return self.algorithm.text

    @property
    def budget_value(self) -> float | None:
        """Value of the growing setting."""
        return None if self.budget is None else float(self.algorithm.model_dump(by_alias=True)[self.budget])

    @cached_property
    def key(self) -> str:
        """The trial's identity: a 128-bit hash of everything that changes its result, as 32 hex digits."""
        return identity(self.context, self.search, self.settings, self.reward, text(self.condition), self.problem_seed)


def identity(context: Context, search: str, settings: str, reward: str, condition: str, problem_seed: int) -> str:
    """The identity of a trial, from the plan or from the columns of its stored row alike.

    It is the hash of the canonical JSON of ``{model, numerics, problem: [condition, problem_seed], reward, rewards,
    search: [search, settings], version}``; put together from parts, as a resumed run makes a million of them. A search
    that is not registered, or of a version other than 1, has a third entry, which says so.
    """
    before, rewards = context.texts
    found = context.code_of(search, settings) if context.searches else None
    code = "" if found is None else f",{canonical(found)}"
    content = (
        f'{before},"problem":[{_quoted(condition)},{problem_seed}],"reward":{_quoted(reward)},{rewards},'
        f'"search":[{_quoted(search)},{_quoted(settings)}{code}],"version":[{IDENTITY_VERSION},{NOISE_VERSION}]}}'
    )
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


@lru_cache(maxsize=1 << 14, typed=True)
def text(condition: Condition) -> str:
    """A condition as canonical JSON."""
    return canonical(condition)


@lru_cache(maxsize=1 << 14)
def _quoted(text: str) -> str:
    return canonical(text)
