"""The rules of the actions that a search asks for: an engine can compute each in some shape, and a row can hold it."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

from tts.errors import SearchError
from tts.moves import DEEPEST, SEEDS
from tts.noise import Band, Box, Mixture, Move, Noise, Turn
from tts.recipe import Back


def check_action(action: Any) -> None:
    """Refuse an action that no engine could take, whatever it starts from.

    Raises:
        SearchError: it is none, or a part of it is of another kind or out of range.
    """
    if isinstance(action, Noise):
        check_noise(action)
    elif isinstance(action, Back):
        if not isinstance(action.noise, Noise):
            raise SearchError(f"goes back by {short(action.noise)}; a way back adds a Noise")
        check_noise(action.noise)
        if not _is_integer(action.to):
            raise SearchError(f"goes back to step {action.to!r}; the number of a step is an int")
    elif action is not None:
        raise SearchError(f"has {short(action)} among a segment's noises; each is a Noise, a Back or None")


def check_noise(noise: Noise) -> None:
    """Refuse a noise that cannot be made in any shape.

    Raises:
        SearchError: its seed, or a part of its moves, is of another kind or out of range.
    """
    _check_seed(noise.seed)
    for move in _tuple("a noise's moves", noise.moves):
        _check_move(move)


def _check_move(move: Any) -> None:
    match move:
        case Move(seed, radius):
            _check_seed(seed)
            _check_number("a Move's radius", radius)
        case Turn(seed, b):
            _check_seed(seed)
            _check_number("a Turn's b", b, 0, 1)
        case Box(seed, length, share):
            _check_seed(seed)
            _check_number("a Box's length", length)
            _check_number("a Box's share", share)
        case Mixture():
            _check_mixture(move)
        case Band(level, values):
            if not (_is_integer(level) and 1 <= level <= DEEPEST):
                raise SearchError(f"has {short(level)} for a Band's level; give an int from 1 to {DEEPEST}")
            _check_numbers("a Band's values", values)
        case _:
            raise SearchError(f"has {short(move)} among a noise's moves; each is a Move, Turn, Mixture, Box or Band")


def _check_mixture(move: Mixture) -> None:
    for seed in _tuple("a Mixture's seeds", move.seeds):
        _check_seed(seed)
    _check_numbers("a Mixture's weights", move.weights)
    _check_number("a Mixture's own weight", move.own)
    if len(move.seeds) != len(move.weights):
        raise SearchError(
            f"has a Mixture of {len(move.seeds)} seeds and {len(move.weights)} weights; give as many of both"
        )


def _check_seed(value: Any) -> None:
    if not (_is_integer(value) and 0 <= value < SEEDS):
        raise SearchError(f"has {short(value)} for a noise's seed; seeds are ints in [0, 2**63)")


def _check_numbers(what: str, values: Any) -> None:
    for value in _tuple(what, values):
        _check_number(what, value)


def _check_number(what: str, value: Any, low: float = -inf, high: float = inf) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not (isfinite(value) and low <= value <= high):
        wanted = "finite ints or floats" if high == inf else f"an int or float from {low} to {high}"
        raise SearchError(f"has {short(value)} for {what}; give {wanted}")


def _is_integer(value: Any) -> bool:
    """Whether it is Python's integer; numpy's has no JSON."""
    return isinstance(value, int) and not isinstance(value, bool)


def _tuple(what: str, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, tuple):  # a list has no hash, by which equal work of trials is found
        raise SearchError(f"has {short(values)} for {what}; give a tuple")
    return values


def short(value: object) -> str:
    """A value as a few words."""
    if value is None:
        return "None"
    text = repr(value)
    return f"a {type(value).__name__}" + (f" ({text})" if len(text) <= 40 else "")
