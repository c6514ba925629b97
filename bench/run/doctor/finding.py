"""One finding of the doctor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a finding means for a run."""

    FINE = "fine"
    LOOK = "look"
    """A run works, and is slower, or less sure, than it need be."""
    BAD = "bad"
    """A run fails, or its results could not be trusted."""


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was seen, and what to do about it.

    Args:
        topic: the group that it belongs to.
        subject: what was looked at.
        seen: what was seen, for people.
        verdict: what it means.
        advice: what to change; empty where nothing is to be done.
        value: a number for programs, in the unit that ``seen`` tells.
    """

    topic: str
    subject: str
    seen: str
    verdict: Verdict = Verdict.FINE
    advice: str = ""
    value: float | None = None


def judged(topic: str, subject: str, seen: str, fine: bool, advice: str, bad: bool = False) -> Finding:
    """A finding that is fine, or else one to look at (``bad``: one that stops a run), with advice."""
    if fine:
        return Finding(topic, subject, seen)
    return Finding(topic, subject, seen, Verdict.BAD if bad else Verdict.LOOK, advice)
