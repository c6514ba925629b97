"""The doctor's findings for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from bench.run.doctor.finding import Finding, Verdict

COLOURS = {Verdict.FINE: "green", Verdict.LOOK: "yellow", Verdict.BAD: "red"}


def render(found: Sequence[Finding]) -> Table:
    """A line for each finding, its advice below it."""
    table = Table("", "looked at", "seen", box=None, pad_edge=False)
    topic = None
    for each in found:
        if each.topic != topic:
            table.add_row(f"[bold]{each.topic}", "", "")
            topic = each.topic
        table.add_row(f"[{COLOURS[each.verdict]}]{each.verdict}", each.subject, _text(each))
    return table


def _text(found: Finding) -> str:
    from rich.markup import escape

    return escape(found.seen) + (f"\n[bold]{escape(found.advice)}" if found.advice else "")


def sentence(found: Sequence[Finding]) -> str:
    """The summary, in a sentence."""
    bad = [each.subject for each in found if each.verdict is Verdict.BAD]
    look = [each.subject for each in found if each.verdict is Verdict.LOOK]
    if bad:
        return f"A run of this configuration fails here, or could not be trusted: {', '.join(bad)}."
    if look:
        return f"A run of this configuration works here; worth a look: {', '.join(look)}."
    return "A run of this configuration works here, and nothing holds it up."


def record(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """Plain values."""
    return [asdict(each) for each in found]
