"""The runs of a run's control, which lie in its folder."""

from __future__ import annotations

from collections.abc import Sequence

from bench.store import reader as store
from bench.store.storage import Output, place
from bench.study.controls import MORE_STEPS
from tts.errors import TTSError


def with_controls(outputs: Sequence[Output]) -> list[Output]:
    """Runs, each followed by those of its control that are there and have trials; the cheapest first."""
    return list(dict.fromkeys(str(each) for output in outputs for each in (output, *_controls(output))))


def _controls(output: Output) -> list[str]:
    where = place(output)
    steps = sorted(int(name) for name in _names(output) if name.isdecimal())
    found = [f"{where}/{MORE_STEPS}/{each}" for each in steps]
    return [each for each in found if store.begun(each) is not None and store.parts(place(each))]


def _names(output: Output) -> list[str]:
    try:
        return store.names(place(output), MORE_STEPS)
    except TTSError:
        return []
