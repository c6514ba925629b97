"""``tts-bench list``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bench.commands.options import out


class Plugins(StrEnum):
    """What can be listed."""

    models = "models"
    samplers = "samplers"
    rewards = "rewards"
    searches = "searches"
    metrics = "metrics"
    sinks = "sinks"


def list_plugins(kind: Annotated[Plugins, typer.Argument(help="What to list.")]) -> None:
    """List models, samplers, rewards, searches, metrics or sinks with their settings and defaults."""
    from bench.report.listing import listing

    out.print(listing(kind.value))
