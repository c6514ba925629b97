"""Recipes: lists of actions along a trajectory, from which it can be made again.

A recipe is the initial noise and then its actions: a :class:`~tts.noise.Noise` steps with it, None takes the
deterministic step, a :class:`Back` carries the state back to an earlier step by adding noise. Where a recipe has led is
a fold over its actions (:func:`end`), not their number.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from tts import noise as noises
from tts.errors import first_line
from tts.noise import Noise


class Back(NamedTuple):
    """Carry a state back to the noise level before step ``to`` by adding ``noise``.

    Going back to the step at which the state already is changes nothing.
    """

    noise: Noise
    to: int


Action: TypeAlias = Noise | Back | None
"""A step with a noise, a way back, or the deterministic step."""

Recipe: TypeAlias = tuple[Action, ...]
"""The initial noise, then the actions."""


def after(step: int, action: Action) -> int:
    """Number of steps done after an action that is taken after ``step`` steps."""
    return action.to if isinstance(action, Back) else step + 1


def end(step: int, actions: Iterable[Action]) -> int:
    """Number of steps done after some actions that are taken after ``step`` steps."""
    for action in actions:
        step = after(step, action)
    return step


def fault(step: int, actions: Iterable[Action], steps: int) -> str | None:
    """What is impossible on a trajectory of ``steps`` steps, as the end of a sentence; None if nothing is."""
    furthest = step
    for action in actions:
        if isinstance(action, Back) and not 0 <= action.to <= step:
            return f"goes back from step {step} to step {action.to}; a way back leads to a step from 0 to {step}"
        step = after(step, action)
        furthest = max(furthest, step)
    return f"goes on to step {furthest}; this problem's trajectories have {steps} steps" if furthest > steps else None


def to_record(action: Action) -> dict[str, Any] | None:
    """An action as plain values, for a Parquet row."""
    if isinstance(action, Back):
        return {**(noises.to_record(action.noise) or {}), "to": action.to}
    return noises.to_record(action)


def from_record(record: dict[str, Any] | None) -> Action:
    """The action of a record made by :func:`to_record`, which is data from anywhere; one without ``to`` is a step.

    Raises:
        ValueError: it is the record of no action.
    """
    try:
        found, to = noises.from_record(record), None if record is None else record.get("to")
        return found if found is None or to is None else Back(found, operator.index(to))
    except (TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise ValueError(f"a recipe has an entry that is none ({first_line(error)})") from None
