"""Notes on a study that a user should read before it runs."""

from __future__ import annotations

from collections.abc import Iterable

from tts.plan import Plan
from tts.search.base import Search


def forgotten_starts(searches: Iterable[tuple[str, Search]], plan: Plan) -> list[str]:
    """A line where the initial noise is searched and the sampler replaces it."""
    names = sorted({name for name, search in searches if search.only_initial})
    if not (names and plan.forgets_start):
        return []
    return [
        f"{', '.join(names)}: searches the initial noise alone, of which the sampler's first step leaves next to "
        "nothing; set the sampler's noise.share to 0, so that the initial noise decides the image"
    ]
