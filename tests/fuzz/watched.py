"""Plays a command on an input of any kind, and holds what is always true of it."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command_line import Result, bench, tree
from hypothesis import HealthCheck, settings

from fuzz import EXAMPLES

CODES = (0, 1, 2, 4, 5)
"""Exit codes of commands; 4 and 5 are those of a comparison."""

SECONDS = 20
"""That an input may take before it counts as one that never ends."""

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def examples(share: int, weight: float = 1.0) -> Decorator:
    """How many examples a test plays: its share in ``make test``, else ``FUZZ_EXAMPLES`` by its weight."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    if EXAMPLES:
        number = max(1, int(EXAMPLES * weight))
        return settings(max_examples=number, derandomize=False, deadline=None, suppress_health_check=checks)
    return settings(max_examples=share, suppress_health_check=checks)


@contextmanager
def ends() -> Iterator[None]:
    """Fail where an input takes longer than it may."""

    def late(*_: Any) -> None:
        faulthandler.dump_traceback()
        raise AssertionError(f"still at work after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def told(result: Result) -> None:
    """What is always true of what a command says: no traceback, and what is refused is refused in one line."""
    assert result.code in CODES, result
    assert "Traceback" not in result.out + result.err, result
    if result.code == 2:
        assert result.err.startswith("error: "), result
        assert result.err.count("\n") == 1, result
        assert result.err.endswith("\n"), result


def watched(*arguments: object) -> Result:
    """Run ``tts-bench``, and hold what is always true."""
    with ends():
        result = bench(*arguments)
    told(result)
    return result


def played(folder: Path, *arguments: object) -> Result:
    """The same, where what is refused leaves the folder as it was."""
    before = tree(folder)
    result = watched(*arguments)
    if result.code == 2:
        assert tree(folder) == before
    return result
