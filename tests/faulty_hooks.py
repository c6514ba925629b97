"""Searches of which each fails where it is asked about itself."""

from __future__ import annotations

from typing import Any

from tts.plan import Plan
from tts.search.base import Search
from tts.search.naive import Naive


class NotesNothing(Naive):
    def note(self, plan: Plan) -> str | None:
        raise KeyError("steps")


class PlaysNobody(Naive):
    @property
    def played(self) -> Search:
        raise LookupError("nobody")


class HasNoCode(Naive):
    def inner_code(self) -> dict[str, Any]:
        raise ZeroDivisionError
