"""The site's pages on searches, and the table of them, made from the classes themselves.

``make reference`` writes them anew after a search has changed; a test fails until that is done.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.report.palette import look, rank
from tts.registry import SEARCHES
from tts.search.base import Search

FOLDER = Path(__file__).parents[2] / "docs" / "searches"


def names() -> list[str]:
    """Registered searches, as legends have them."""
    return sorted(SEARCHES.targets, key=rank)


def summary(search: type[Search]) -> str:
    """The first sentence on a class, in one line."""
    return plain(" ".join(inspect.cleandoc(search.__doc__ or "").partition("\n\n")[0].split()))


def table() -> str:
    """A row a search."""
    rows = []
    for name in names():
        search: type[Search] = SEARCHES.get(name)
        budget = f"`{search.budget}`" if search.budget else ""
        rows.append(f"| [`{name}`]({name}.md) | {summary(search)} | {budget} |")
    return "\n".join(["| search | what it does | grows with |", "|---|---|---|", *rows])


def page(name: str) -> str:
    """The page of a search."""
    search: type[Search] = SEARCHES.get(name)
    source = sys.modules[search.__module__].__doc__ or ""
    about = inspect.cleandoc(search.__doc__ or "")
    parts = [
        f"# {look(name).name}",
        f"`{name}` · {look(name).group} · {plain(source.strip().splitlines()[0])}",
        plain(about),
        f"**When to take it.** {search.advice}",
        "## What it costs",
        "\n".join(_costs(search)),
        "## Settings",
        _settings(search) or "None.",
        "## In a configuration",
        f"```yaml\nsearches:\n  - {_example(name, search)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _costs(search: type[Search]) -> Iterator[str]:
    bound = "" if search.exact else "; bounds, as the search decides during the run"
    yield f"C are the denoiser forwards of a step, T the steps{bound}."
    yield ""
    yield f"* **Forwards**: {_doc(search.nfe)}"
    yield f"* **One after another**: {_doc(search.depth)}"
    needs = "has nothing to choose" if search.needs_injection else "works as well"
    if search.played is not Search.played:
        needs = "is of use where the search that it plays is"
    yield f"* With a sampler that injects no noise, it {needs}."


def _doc(method: object) -> str:
    return plain(" ".join(inspect.getdoc(method).split()))  # type: ignore[union-attr]  # a test holds that there is one


def _settings(search: type[Search]) -> str:
    rows = []
    for name, field in search.model_fields.items():
        shown = "" if field.default_factory else f"`{json.dumps(field.default)}`"
        grows = " (grows along a curve)" if (field.alias or name) == search.budget else ""
        rows.append(f"| `{field.alias or name}` | {shown} | {cell(field.description or '')}{grows} |")
    return "\n".join(["| setting | default | what it is |", "|---|---|---|", *rows]) if rows else ""


def cell(text: str) -> str:
    """A text in a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def plain(text: str) -> str:
    """The text without marks of the code, such as roles and double backticks."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`").replace("<", "&lt;")


def _example(name: str, search: type[Search]) -> str:
    if search.budget is None:
        return name
    default = search().record()[search.budget]
    return f"{{name: {name}, budget: {{{search.budget}: [{default}, {2 * default}]}}}}"


def index() -> str:
    """The page on all searches."""
    parts = [
        "# Searches",
        "Where a configuration lists `searches`. A search grows along a curve by one setting: "
        "`{name: random, budget: {N: [4, 8]}}`. Which to take: [choose a search](../guides/searches.md).",
        table(),
    ]
    return "\n\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """Every generated page."""
    return {FOLDER / f"{name}.md": page(name) for name in names()} | {FOLDER / "index.md": index()}
