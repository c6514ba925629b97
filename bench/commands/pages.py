"""Write the site's generated pages: ``python -m bench.commands.pages``, or ``make reference``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from bench.commands.app import COMMANDS
from bench.report import reference_docs, schema_docs, search_docs
from bench.report.search_docs import cell, plain
from bench.store.files import write_output


def pages() -> dict[Path, str]:
    """Every generated page with its text."""
    schema = schema_docs.updated(schema_docs.PAGE.read_text("utf-8"))
    written = {reference_docs.FOLDER / "commands.md": commands(), schema_docs.PAGE: schema}
    return search_docs.pages() | reference_docs.pages() | written


def commands() -> str:
    """The page on the command line, from the signatures of the commands."""
    parts = [
        "# Command line",
        "`tts-bench COMMAND --help` says the same in a terminal. An error is one line that names what to change.",
    ]
    for command in COMMANDS:
        name, given = command.__name__.partition("_")[0], parameters(command)
        arguments = "".join(f" {one.name}" for one in given if not one.name.startswith("-"))
        rows = [f"| `{one.name}` | {one.default} | {cell(one.help)} |" for one in given]
        table = "\n".join(["| | default | what it is |", "|---|---|---|", *rows]) if rows else ""
        usage = f"`tts-bench {name}{arguments} [OPTIONS]`"
        parts += [f"## {name}", usage, plain(inspect.cleandoc(command.__doc__ or "")), table]
    return "\n\n".join(part for part in parts if part) + "\n"


class Parameter(NamedTuple):
    """An option or argument of a command, as a table shows it."""

    name: str
    default: str
    help: str


def parameters(command: Callable[..., None]) -> list[Parameter]:
    """What a command takes, in its own order."""
    hints = get_type_hints(command, include_extras=True)
    return [_parameter(one, hints[one.name]) for one in inspect.signature(command).parameters.values()]


def _parameter(given: inspect.Parameter, hint: Any) -> Parameter:
    [info] = [mark for mark in _marks(hint) if isinstance(mark, OptionInfo | ArgumentInfo)]
    required = given.default is inspect.Parameter.empty
    shown = "" if required or given.default in (None, "") else f"`{getattr(given.default, 'value', given.default)}`"
    if isinstance(info, ArgumentInfo):
        word = (info.metavar or given.name).upper()
        return Parameter(word if required else f"[{word}]", shown, info.help or "")
    first = [info.default] if isinstance(info.default, str) else []  # where typer keeps it inside Annotated
    names = " ".join([*first, *(info.param_decls or ())]) or f"--{given.name.replace('_', '-')}"
    if isinstance(given.default, bool):
        return _switch(names if first or info.param_decls else f"{names}/--no{names[1:]}", given.default, info.help)
    return Parameter(f"{names} {info.metavar}" if info.metavar else names, shown, info.help or "")


def _switch(names: str, default: bool, text: str | None) -> Parameter:
    """An option without a value; its default is the one of its two names that need not be given."""
    yes, _, no = names.partition("/")
    return Parameter(names, f"`{yes if default else no}`" if no else "", text or "")


def _marks(hint: Any) -> Iterator[Any]:
    """Annotations of a type, also where it is one of several or None."""
    yield from getattr(hint, "__metadata__", ())
    for inside in get_args(hint):
        yield from _marks(inside)


if __name__ == "__main__":
    for path, text in pages().items():
        write_output(path, text.encode())
