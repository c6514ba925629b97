"""A search as a user would write it, with a fault that a test can switch off."""

from __future__ import annotations

import os

from tts.search.base import Problem, Run
from tts.search.naive import Naive

BROKEN = "OWN_SEARCH_BROKEN"
"""Environment variable; while it names a condition, the search fails on it."""


class Fickle(Naive):
    """Plain sampling, unless it fails."""

    def run(self, problem: Problem) -> Run:
        if os.environ.get(BROKEN) in {str(problem.condition), "all"}:
            raise RuntimeError(f"no luck with {problem.condition}")
        return (yield from super().run(problem))
