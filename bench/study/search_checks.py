"""Checks of a study's searches before anything is started: what they cost, and what they cannot search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from bench.study.entries import Entry
from tts.errors import SettingError, TTSError, first_line
from tts.plan import Plan
from tts.search.base import Search

T = TypeVar("T")
MOST_FORWARDS = 10**6  # of a trial: more are a slip of the pen, and nobody would see a plan of them


def check_costs(entries: Sequence[Entry], plan: Plan) -> None:
    """Refuse searches that do not know what they cost, before anything relies on it.

    Raises:
        SettingError: a cost is no number of forwards, or too large.
    """
    for entry in entries:
        for cost in (entry.algorithm.nfe, entry.algorithm.depth):
            found = _cost(entry, cost, plan)
            if not isinstance(found, int) or found < 1:
                raise SettingError(
                    f"search {entry.name}: {cost.__name__}(plan) must be a number of forwards, and is {found!r}"
                )
            if found > MOST_FORWARDS:
                raise SettingError(f"search {entry.name}: {found:,} forwards a trial; at most {MOST_FORWARDS:,}")


def _cost(entry: Entry, cost: Callable[[Plan], object], plan: Plan) -> object:
    """A cost as a search tells it, or the error that a user's own one raised in place of it."""
    try:
        return cost(plan)
    except TTSError as error:  # says what to set
        raise SettingError(f"search {entry.name}: {error}") from None
    except Exception as error:
        return error


def check_injection(entries: Sequence[Entry], plan: Plan, model: str) -> None:
    """Refuse searches over noises where no step injects one.

    Raises:
        SettingError: there is such a search.
    """
    idle = next((entry.name for entry in entries if asked(entry, "played", _needs_injection)), None)
    if idle and not plan.noisy_steps:
        raise SettingError(
            f"model {model}: its sampler injects no noise at any step, so that search {idle} over noises "
            "would change nothing; raise the sampler's noise (S_churn, eta, noise.share)"
        )


def check_suits(entries: Sequence[Entry], plan: Plan, rewards: Sequence[str]) -> None:
    """Let searches refuse a sampler's steps, and the rewards that a run searches on.

    Raises:
        SettingError: one refuses them.
    """
    for entry in entries:
        asked(entry, "suits()", lambda search: search.suits(plan, rewards))


def check_shape(entries: Sequence[Entry], shape: Sequence[int]) -> None:
    """Let searches refuse the shape of a model's states.

    Raises:
        SettingError: one refuses it.
    """
    for entry in entries:
        asked(entry, "fits()", lambda search: search.fits(tuple(shape)))


def _needs_injection(search: Search) -> bool:
    return search.played.needs_injection


def asked(entry: Entry, name: str, ask: Callable[[Search], T]) -> T:
    """What a search says of itself.

    Args:
        name: what says it, for the message.
        ask: reads or calls it.

    Raises:
        SettingError: a user's own one raises something.
    """
    try:
        return ask(entry.algorithm)
    except TTSError:
        raise
    except Exception as error:
        raise SettingError(
            f"search {entry.name}: {name} raises {type(error).__name__}: {first_line(error)}; let it raise a "
            "SettingError that says what to change, or mend it"
        ) from None
