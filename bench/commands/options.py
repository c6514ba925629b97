"""What several commands share: options, and where they print."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from tts.errors import SettingError

PLAIN_WIDTH = 120  # where the output is no terminal, tables still need their columns

_in_terminal = sys.stdout is not None and sys.stdout.isatty()  # it is None where it was closed
out = Console(width=None if _in_terminal else PLAIN_WIDTH, emoji=False)  # 'cuda:x:' is no picture of a cross
err = Console(stderr=True, emoji=False)


class Over(StrEnum):
    """What intervals are over."""

    problems = "problems"
    conditions = "conditions"


class Device(StrEnum):
    """Where a model can run."""

    cpu = "cpu"
    cuda = "cuda"

    def here(self) -> str:
        """The device's name to torch.

        Raises:
            SettingError: this machine has none.
        """
        if self is Device.cuda:
            import torch

            if not torch.cuda.is_available():
                raise SettingError("--device cuda: torch finds no GPU; leave it out, or give --device cpu")
        return self.value


Spread = Annotated[
    Over,
    typer.Option(
        "--over",
        help="What is drawn: single problems, or conditions with all their seeds: wider, for others like these.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. engines.count=4; may be repeated."),
]
Run = Annotated[str, typer.Argument(help="Results folder of a run, or its address in an object store.")]
