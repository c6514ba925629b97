"""``tts-bench protocol``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.options import out

LIST = "list"


def protocol(
    which: Annotated[str, typer.Argument(help="'list', or the protocol to tell all of.")] = LIST,
) -> None:
    """List published protocols of text-to-image, or say what one of them fixes and what must be reported with it."""
    from bench.report.protocol_table import lines, listing

    if which == LIST:
        out.print(listing())
        return
    for line in lines(which):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
