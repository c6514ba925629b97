"""TensorBoard: event files, written without TensorFlow or torch."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from bench.sinks.base import CurvePoint, RunFacts, SinkSettings, Tracker
from tts.errors import SettingError


class TensorBoard(SinkSettings):
    """TensorBoard's event files, in a folder that ``tensorboard --logdir`` shows."""

    package: ClassVar[str] = "tensorboard"
    extra: ClassVar[str] = "tensorboard"
    folder: Path | None = Field(None, description="folder of the files; default: tensorboard/ in the results folder")

    def open(self, run: RunFacts) -> Tracker:
        """A new event file; TensorBoard joins those of one folder."""
        folder = self.folder or (None if run.folder is None else Path(run.folder) / "tensorboard")
        if folder is None:
            raise SettingError("folder: is needed, as the results are in an object store")
        return EventFiles(folder)


class EventFiles:
    """TensorBoard's event files; the step of a curve's point is its forwards."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventFileWriter(str(folder))

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Scalars."""
        for name, value in values.items():
            self._add(step, tag=name, simple_value=value)
        self._writer.flush()

    def image(self, name: str, png: bytes, step: int) -> None:
        """The PNG as it is."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = Image.open(io.BytesIO(png)).size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        self._add(step, tag=name, image=image)

    def curves(self, points: Sequence[CurvePoint], step: int) -> None:
        """A scalar a curve, over forwards."""
        for point in points:
            self._add(round(point.nfe), tag=f"curve/{point.reward}/{point.curve}", simple_value=point.mean)

    def end(self, state: str) -> None:
        """Close the file."""
        self._writer.close()

    def _add(self, step: int, **value: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(**value)])
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
