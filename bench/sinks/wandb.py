"""Weights & Biases, on line or off."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from bench.sinks.base import CurvePoint, RunFacts, SinkSettings, Tracker

QUIET = {
    "console": "off",
    "silent": True,
    "disable_git": True,
    "disable_code": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "init_timeout": 25,
}
"""Settings by which wandb sends neither code nor facts of the machine nor its output, asks nothing and never waits
long."""


class WandB(SinkSettings):
    """Weights & Biases; the key is $WANDB_API_KEY or that of ``wandb login``. Offline runs: ``wandb sync FOLDER``."""

    package: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "wandb"
    project: str = Field("tts-bench", min_length=1, description="made if it is not there")
    entity: str | None = Field(None, description="user or team; default: the account")
    mode: Literal["online", "offline"] = Field("online", description="offline: files alone, to be sent later")
    folder: Path | None = Field(None, description="folder of its files; default: the results folder, else here")

    def open(self, run: RunFacts) -> Tracker:
        """A run, or the one with this identity; code, console and what the machine is are not sent."""
        import wandb

        folder = Path(run.folder or ".") if self.folder is None else self.folder
        folder.mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(**QUIET)
        wandb.setup(settings=settings)  # before init, which would ask at the terminal where there is no key
        made = wandb.init(
            project=self.project,
            entity=self.entity,
            id=run.identity,
            name=run.name,
            resume="allow",
            mode=self.mode,
            dir=str(folder),
            config=dict(run.config),
            save_code=False,
            settings=settings,
        )
        return WandBRun(made)


class WandBRun:
    """A run of Weights & Biases."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """One line of its history."""
        self._run.log(dict(values), step=step)

    def image(self, name: str, png: bytes, step: int) -> None:
        """An image of its history."""
        import wandb
        from PIL import Image

        self._run.log({name: wandb.Image(Image.open(io.BytesIO(png)))}, step=step)

    def curves(self, points: Sequence[CurvePoint], step: int) -> None:
        """A table, and the last point of each curve in the summary."""
        import wandb

        table = wandb.Table(columns=list(CurvePoint._fields), data=[list(point) for point in points])
        self._run.log({"curves": table}, step=step)
        for point in points:
            self._run.summary[f"curve/{point.reward}/{point.curve}"] = point.mean

    def end(self, state: str) -> None:
        """Send what is left, and close it."""
        self._run.finish(exit_code=0 if state == "done" else 1)
