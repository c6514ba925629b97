"""Progress bars, or a line now and then where the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Task

    from bench.run.driver import RunProgress
    from tts.training.loop import Progress as Step

LINE_SECONDS = 15.0


class Rate:
    """Work a second since the start, and the time that the rest will take."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def per_second(self, done: float) -> float:
        """Mean rate so far."""
        return done / max(1e-9, time.monotonic() - self.start)

    def left(self, done: float, total: float) -> str:
        """Time left at that rate, as h:mm:ss."""
        if done <= 0:
            return "-:--:--"
        return str(timedelta(seconds=round(max(0.0, total - done) / self.per_second(done))))


class FieldColumn(ProgressColumn):
    """Shows a task's field as it is."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__()

    def render(self, task: Task) -> Text:
        """The field's text."""
        return Text(str(task.fields.get(self.name, "")))


@contextmanager
def line_or_bar(console: Console, description: str) -> Iterator[Callable[[float, float, str], None]]:
    """Yields ``show(done, total, text)``, which moves a bar, or prints a line every 15 seconds."""
    if not console.is_terminal:
        yield _lines(console, description)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), FieldColumn("text"), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=2) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total, text: bar.update(task, completed=done, total=total, text=text)


def _lines(console: Console, description: str) -> Callable[[float, float, str], None]:
    last = time.monotonic()

    def show(done: float, total: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS or done >= total:
            last = time.monotonic()
            console.print(f"{description}: {text}")

    return show


@contextmanager
def counted(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields ``show(done, total)``: how many things are done, and the time left."""
    rate = Rate()
    with line_or_bar(console, what) as show:
        yield lambda done, total: show(done, total, f"{done:,}/{total:,} {what}  {rate.left(done, total)} left")


@contextmanager
def run_progress(console: Console) -> Iterator[Callable[[RunProgress], None]]:
    """Trials, NFE/s and time left of a run; the bar moves by NFE, as trials differ a hundredfold in cost."""
    rate = Rate()
    with line_or_bar(console, "running") as show:

        def update(counts: RunProgress) -> None:
            failed = f" ({counts.failed:,} failed)" if counts.failed else ""
            text = (
                f"{counts.done:,}/{counts.trials:,} trials{failed}  {rate.per_second(counts.nfe):,.0f} NFE/s  "
                f"{rate.left(counts.nfe, counts.planned)} left"
            )
            total = max(counts.planned, 1)
            show(total if counts.done >= counts.trials else min(counts.nfe, total - 1), total, text)

        yield update


@contextmanager
def training_bar(console: Console, name: str, images: int) -> Iterator[Callable[[Step], None]]:
    """Images, images/s, smoothed loss and time left of a training."""
    rate, first, mean = Rate(), None, float("nan")
    with line_or_bar(console, name) as show:

        def update(step: Step) -> None:
            nonlocal first, mean
            first = step.images if first is None else first
            mean = step.loss if mean != mean else 0.99 * mean + 0.01 * step.loss
            done = step.images - first
            text = (
                f"{step.images:,}/{images:,} images  {rate.per_second(done):,.0f}/s  loss {mean:.4f}  "
                f"{rate.left(done, images - first)} left"
            )
            show(step.images, images, text)

        yield update
