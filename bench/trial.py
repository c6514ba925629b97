"""The unit that is stored, resumed and counted: a problem, a search with its settings, a reward."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from tts.noise import VERSION as NOISE_VERSION
from tts.plan import Condition, Plan
from tts.search.base import Problem, Search

IDENTITY_VERSION = 1
"""Changes whenever the same trial would give another row."""


@dataclass(frozen=True)
class Context:
    """What all trials of a run share and what changes their results.

    Args:
        model: name and identity of the model.
        rewards: names and identities of the rewards.
        numerics: batch, threads and device of an engine; they can change the last bit.
    """

    model: dict[str, Any]
    rewards: dict[str, Any]
    numerics: dict[str, Any]


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
    """

    search: str
    algorithm: Search
    budget: str | None
    reward: str
    condition: Condition
    seed: int
    problem_seed: int

    def problem(self, plan: Plan) -> Problem:
        """The problem as the search sees it."""
        return Problem(self.condition, self.problem_seed, plan, self.reward)

    @property
    def settings(self) -> str:
        """The search's settings as canonical JSON."""
        return canonical(self.algorithm.record())

    @property
    def budget_value(self) -> float | None:
        """Value of the growing setting."""
        return None if self.budget is None else float(self.algorithm.record()[self.budget])

    def key(self, context: Context) -> str:
        """The trial's identity: a 128-bit hash of everything that changes its result, as 32 hex digits."""
        return identity(context, self.search, self.settings, self.reward, canonical(self.condition), self.problem_seed)


def identity(context: Context, search: str, settings: str, reward: str, condition: str, problem_seed: int) -> str:
    """The identity of a trial, from the plan or from the columns of its stored row alike."""
    content = {
        "version": [IDENTITY_VERSION, NOISE_VERSION],
        "model": context.model,
        "rewards": context.rewards,
        "numerics": context.numerics,
        "search": [search, settings],
        "problem": [condition, problem_seed],
        "reward": reward,
    }
    return hashlib.blake2b(canonical(content).encode(), digest_size=16).hexdigest()


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
