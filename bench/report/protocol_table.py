"""Published protocols as a table, and one of them in lines."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from bench.study.published import EVERY, PROTOCOLS, Published, published

NUMBERS = {
    "groups": "mean of the groups' means",
    "prompts": "mean of the prompts' means",
    "none": "none of all; one a group",
}


def listing() -> Table:
    """Every protocol: prompts, images a prompt, scorer and number."""
    table = Table("name", "prompts", "images", "scorer", "number", "source", title="protocols", title_justify="left")
    for name, found in PROTOCOLS.items():
        digest = "" if found.digests else ", no digest known"
        prompts = f"{found.prompts:,}{digest}"
        table.add_row(name, prompts, str(found.images), _scorers(found), NUMBERS[found.number], found.source)
    return table


def lines(name: str) -> Iterator[str]:
    """What a protocol fixes, how to run it, and what must be reported with its number.

    Raises:
        SettingError: there is none of this name.
    """
    found = published(name)
    yield f"{found.title} ({found.source})"
    known = f"SHA-256 {found.digests[0]} of the sorted prompts" if found.digests else "only their number is compared"
    yield f"prompts: {found.prompts:,}; {known}"
    yield f"file: {found.address or 'to be named: problems.conditions: {file: PATH, https address or hf://datasets/...}'}"
    yield f"images a prompt: {found.images}, seeds 0 to {found.images - 1}"
    yield f"scorer: {_scorers(found)}"
    yield f"number: {NUMBERS[found.number]}{f', times {found.scale:g}' if found.scale != 1 else ''}"
    if found.column is not None:
        yield f"groups: column '{found.column}' of its file"
    yield from (f"to be said: {line}" for line in found.said)


def _scorers(found: Published) -> str:
    if found.scorers is None:
        return "none of its own"
    if EVERY in found.scorers:
        return found.scorers[EVERY]
    return ", ".join(f"{group}: {name}" for group, name in found.scorers.items())
