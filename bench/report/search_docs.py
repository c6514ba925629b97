"""The pages on searches, and the README's table of them, made from the classes themselves.

``python -m bench.report.search_docs`` writes them anew after a search has changed; a test fails until that is done.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.report.palette import look, rank
from bench.store.files import write_output
from tts.registry import SEARCHES
from tts.search.base import Search

ROOT = Path(__file__).parents[2]
README, FOLDER = ROOT / "README.md", ROOT / "docs" / "searches"
BEGIN, END = "<!-- searches -->\n", "<!-- end -->"


def names() -> list[str]:
    """Registered searches, as legends have them."""
    return sorted(SEARCHES.targets, key=rank)


def summary(search: type[Search]) -> str:
    """The first sentence on a class, in one line."""
    return _plain(" ".join(inspect.cleandoc(search.__doc__ or "").partition("\n\n")[0].split()))


def table() -> str:
    """The README's table: a row a search."""
    rows = []
    for name in names():
        search: type[Search] = SEARCHES.get(name)
        budget = f"`{search.budget}`" if search.budget else ""
        rows.append(f"| [`{name}`](docs/searches/{name}.md) | {summary(search)} | {budget} |")
    return "\n".join(["| search | what it does | grows with |", "|---|---|---|", *rows])


def page(name: str) -> str:
    """What there is to know of a search."""
    search: type[Search] = SEARCHES.get(name)
    source = sys.modules[search.__module__].__doc__ or ""
    about = inspect.cleandoc(search.__doc__ or "")
    parts = [
        f"# {look(name).name}",
        f"`{name}` · {look(name).group} · {_plain(source.strip().splitlines()[0])}",
        _plain(about),
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
    bound = "" if search.exact else "; bounds, as it decides on its way or by chance"
    yield f"C are the denoiser forwards of a step, T the steps{bound}."
    yield ""
    yield f"* **Forwards**: {_doc(search.nfe)}"
    yield f"* **One after another**: {_doc(search.depth)}"
    needs = "has nothing to choose" if search.needs_injection else "works all the same"
    yield f"* With a sampler that injects no noise it {needs}."


def _doc(method: object) -> str:
    return _plain(" ".join(inspect.getdoc(method).split()))  # type: ignore[union-attr]  # a test holds that there is one


def _settings(search: type[Search]) -> str:
    rows = []
    for name, field in search.model_fields.items():
        shown = "" if field.default_factory else f"`{json.dumps(field.default)}`"
        grows = " (grows along a curve)" if (field.alias or name) == search.budget else ""
        rows.append(f"| `{field.alias or name}` | {shown} | {_cell(field.description or '')}{grows} |")
    return "\n".join(["| setting | default | what it is |", "|---|---|---|", *rows]) if rows else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _plain(text: str) -> str:
    """Without the marks that only a reader of the code needs."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`").replace("<", "&lt;")


def _example(name: str, search: type[Search]) -> str:
    if search.budget is None:
        return name
    default = search().record()[search.budget]
    return f"{{name: {name}, budget: {{{search.budget}: [{default}, {2 * default}]}}}}"


def updated(text: str) -> str:
    """The README with its table as the classes are now."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return "".join([before, begin, f"\n{table()}\n\n" if begin else "", end, after])


def pages() -> dict[Path, str]:
    """Every generated file."""
    return {FOLDER / f"{name}.md": page(name) for name in names()} | {README: updated(README.read_text("utf-8"))}


if __name__ == "__main__":
    for path, text in pages().items():
        write_output(path, text.encode())
