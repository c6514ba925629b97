"""Options and functions shared by the commands of ``python -m bench.benchmarks``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench.store.manifest import commit, versions
from tts.files.whole import atomic_write

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="What the harness costs over the bare network. Each command prints a table and writes a JSON file of the same "
    "figures; what is compared is measured in alternation. Run them on a machine that has nothing else to do.",
)
out = Console(width=130)

RESULTS = Path("results/benchmarks")

ChosenSearches = Annotated[list[str] | None, typer.Option("--search", help="Only these searches; may be repeated.")]
Output = Annotated[Path, typer.Option(help="Folder for the JSON files.")]
Config = Annotated[
    str | None, typer.Option(help="A configuration in place of the embedded model; its engines are used as they are.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of --config; may be repeated.")
]
Batch = Annotated[int, typer.Option(min=1, help="Rows of a forward pass.")]
Count = Annotated[int, typer.Option(min=1, help="Engine actors of one thread each.")]
Full = Annotated[bool, typer.Option("--full", help="Larger sizes: minutes on a GPU, hours on a CPU.")]


def save(path: Path, records: list[dict[str, Any]]) -> None:
    """Write figures with what they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"records": records, "versions": versions(), "git": commit()}
    atomic_write(path, json.dumps(content, indent=2).encode())
    out.print(f"written to {path}", highlight=False)


def numbers(text: str) -> list[int]:
    """Numbers from ``1,2,4``."""
    return [int(word) for word in text.split(",") if word.strip()]


def percent(share: float) -> str:
    """A share in percent, for people."""
    return f"{100 * share:.1f} %"
