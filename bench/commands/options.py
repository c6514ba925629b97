"""What several commands share: options, and where they print."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

from tts.errors import SettingError

PLAIN_WIDTH = 120  # where the output is no terminal, tables still need their columns


class Log(Console):
    """Where commands say what they are doing: hours of work do not end because a line cannot be written.

    Its disk may be full or its terminal gone for a while; of a pipe that nobody reads there is no more to expect.
    """

    def __exit__(self, *error: Any) -> None:
        """Write what has been printed, or lose it."""
        try:
            super().__exit__(*error)
        except OSError:
            self._buffer.clear()  # else all of it would be tried again with the next line

    def on_broken_pipe(self) -> None:
        """Say no more; rich would end the program, or the thread that prints."""
        self.quiet = True


_in_terminal = sys.stdout is not None and sys.stdout.isatty()  # it is None where it was closed
_width = None if _in_terminal else PLAIN_WIDTH
out = Console(width=_width, emoji=False)  # 'cuda:x:' is no picture of a cross
log = Log(width=_width, emoji=False)
err = Log(stderr=True, emoji=False)


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
