"""The tree of errors."""

from __future__ import annotations

import pickle

import pytest

from tts import errors
from tts.errors import TTSError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, TTSError)]
BUILTINS = {
    "SettingError": ValueError,
    "UnknownNameError": KeyError,
    "RunMismatchError": ValueError,
    "WeightsError": OSError,
    "DataError": OSError,
    "EngineError": RuntimeError,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_is_shown_as_it_is(kind: type[TTSError]) -> None:
    assert str(kind("weights 'x' are damaged")) == "weights 'x' are damaged"


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_a_pickle(kind: type[TTSError]) -> None:
    """Errors cross processes."""
    copy = pickle.loads(pickle.dumps(kind("a message")))  # noqa: S301
    assert (type(copy), str(copy)) == (kind, "a message")


@pytest.mark.parametrize(("name", "builtin"), BUILTINS.items())
def test_errors_refine_builtins(name: str, builtin: type[Exception]) -> None:
    assert issubclass(getattr(errors, name), builtin)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tree_is_drawn(kind: type[TTSError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")
