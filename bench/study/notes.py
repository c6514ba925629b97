"""Notes on a study that a user should read before it runs."""

from __future__ import annotations

from collections.abc import Sequence

from bench.study.entries import Entry
from bench.study.search_checks import asked
from tts.plan import Plan


def notes_of(entries: Sequence[Entry], plan: Plan) -> list[str]:
    """A line for each kind of search that does not do on these steps what it is there for."""
    own = [(entry.name, asked(entry, "note()", lambda search: search.played.note(plan))) for entry in entries]
    told = [f"{name}: {note}" for name, note in own if note is not None]
    return [*forgotten_starts(entries, plan), *dict.fromkeys(told)]


def forgotten_starts(entries: Sequence[Entry], plan: Plan) -> list[str]:
    """A line where the initial noise is searched and the sampler replaces it."""
    names = sorted({entry.name for entry in entries if entry.algorithm.played.only_initial})
    if not (names and plan.forgets_start):
        return []
    return [
        f"{', '.join(names)}: searches the initial noise alone, of which the sampler's first step leaves next to "
        "nothing; set the sampler's noise.share to 0, so that the initial noise decides the image"
    ]
