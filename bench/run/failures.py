"""Decide what becomes of a trial whose engine is lost; one policy, in one place.

Nobody can see whether a trial killed its engine; an engine may have hundreds of them. A first death is forgiven: all
are run again, anywhere. What was there at a second one is suspect, and runs on an engine that is kept for that purpose:
all suspects of one death together at first, and whenever that engine dies, in two halves, one after the other. So one
culprit among n is found after 3 + log2(n) deaths, and nobody else is held up for long. A machine that goes away, with
its engines, is nobody's fault, until it happens to the same trial again and again; then that one is looked for in the
same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

DEATHS = 2
"""Engines that may die under a trial before it is suspect."""

NODES = 10
"""Machines that may go away under a trial before it is suspect."""

NODES_ALONE = 2 * NODES
"""Machines that may go away under a trial, the last with nothing else to do, before it is given up."""


class Verdict(Enum):
    """What becomes of a trial."""

    retry = auto()
    """It runs again, anywhere."""
    quarantine = auto()
    """It runs again on an engine that is kept for suspects."""
    fail = auto()
    """It is given up, with an error as its row."""


@dataclass(frozen=True)
class Failure:
    """The loss of an engine, as one of its trials sees it.

    Args:
        innocent: the engine's machine went away; no trial is to blame.
        suspects: how many suspects ran there together; 0: it was no quarantine.
    """

    innocent: bool
    suspects: int = 0


@dataclass(frozen=True)
class History:
    """What has happened to a trial: engines that died under it, and machines that went away."""

    deaths: int = 0
    nodes: int = 0

    def after(self, failure: Failure) -> History:
        """The history with one more loss."""
        return History(self.deaths + (not failure.innocent), self.nodes + failure.innocent)

    def __str__(self) -> str:
        engines = f"{self.deaths} engines died while it ran" if self.deaths else ""
        nodes = f"{self.nodes} machines went away while it ran" if self.nodes else ""
        return " and ".join(part for part in (engines, nodes) if part)


def decide(history: History, failure: Failure) -> Verdict:
    """What becomes of a trial.

    Args:
        history: its losses, this one included.
        failure: this loss.
    """
    if failure.suspects:
        over = history.nodes >= NODES_ALONE if failure.innocent else True
        return Verdict.fail if failure.suspects == 1 and over else Verdict.quarantine
    suspect = history.nodes >= NODES if failure.innocent else history.deaths >= DEATHS
    return Verdict.quarantine if suspect else Verdict.retry


def halves(histories: Iterable[History], failure: Failure) -> bool:
    """Whether suspects that ran together are split before they run again.

    Args:
        histories: of each of them, this loss included.
        failure: this loss.
    """
    too_often = any(history.nodes >= NODES_ALONE for history in histories)
    return failure.suspects > 1 and (too_often or not failure.innocent)
