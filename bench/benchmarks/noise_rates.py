"""Measure the rate of each way of making noises, and the threads that feed a device."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.table import Table

from bench.benchmarks.app import RESULTS, Output, app, numbers, out, save
from tts.noise import Noise

SHAPES = {"3x32x32": (3, 32, 32), "3x64x64": (3, 64, 64), "4x64x64": (4, 64, 64), "16x128x128": (16, 128, 128)}

NEEDS = {"3x64x64": ("ADM-64", 3000.0), "4x64x64": ("SD 1.5", 250.0)}
"""Rows/s to feed, each with a noise of its own: more of ADM-64 and Stable Diffusion 1.5 at 512 px than any device was
measured to compute."""

BATCH_VALUES = 1 << 20
"""Values of a batch, in whole noises."""

Make = Callable[[Sequence[Noise]], None]


@dataclass(frozen=True)
class NoiseRate:
    """The rate of one way of making noises.

    Args:
        way: the way.
        shape: of a noise.
        moved: whether each noise is a move from another one; else each has its own seed.
        threads: threads that make them; 0: a GPU does.
        values_per_second: float32 values.
        values_per_cpu_second: the same by all threads' computing time, whatever else the machine does meanwhile.
    """

    way: str
    shape: str
    moved: bool
    threads: int
    values_per_second: float
    values_per_cpu_second: float

    def row(self) -> list[str]:
        """For people; also how many such threads feed a fast device of this shape."""
        size = math.prod(SHAPES[self.shape])
        name, rows = NEEDS.get(self.shape, ("", 0.0))
        need = f"{name}: {rows * size / self.values_per_cpu_second:.2f}" if name and self.threads else ""
        values = [f"{rate / 1e6:.1f}" for rate in (self.values_per_second, self.values_per_cpu_second)]
        kind, noises = "moved" if self.moved else "fresh", f"{self.values_per_second / size:,.0f}"
        return [self.way, self.shape, kind, *values, noises, need]


def rates(shape: str, threads: Sequence[int], device: str, seconds: float) -> Iterator[NoiseRate]:
    """All ways for one shape."""
    for moved in (False, True):
        for count in threads:
            with closing(Beside(SHAPES[shape], count)) as beside:
                found = measured(beside.make, SHAPES[shape], moved, seconds)
            way = "host, own thread" if count == 0 else f"host, {count} beside"
            yield NoiseRate(way, shape, moved, max(1, count), *found)
        for place in dict.fromkeys(("cpu", device)):
            found = measured(on_device(SHAPES[shape], place), SHAPES[shape], moved, seconds)
            yield NoiseRate(f"device ({place})", shape, moved, int(place == "cpu"), *found)


class Beside:
    """The host's noises for a batch, made by extra threads or by the engine's own.

    Args:
        shape: of a noise.
        threads: number of extra threads; 0: none.
    """

    def __init__(self, shape: tuple[int, ...], threads: int) -> None:
        from tts.engine.noise_supply import NoiseSupply
        from tts.engine.requests import EngineCounters
        from tts.engine.timeline import Timeline
        from tts.noise import NoiseBank

        bank = NoiseBank(shape, 8 * 4 * max(BATCH_VALUES, math.prod(shape)))
        self._supply = NoiseSupply(bank, "cpu", threads, Timeline(EngineCounters()))
        self._threads = threads

    def make(self, noises: Sequence[Noise]) -> None:
        """Make a batch; noises of the extra threads are collected afterwards, as in an engine."""
        if self._threads:
            self._supply.soon(noises)
            self._supply.settle()
        self._supply.tensor(noises)

    def close(self) -> None:
        """End the threads."""
        self._supply.close()


def on_device(shape: tuple[int, ...], device: str) -> Make:
    """The device's noises, made by it."""
    import torch

    from tts.device_noise.bank import DeviceBank

    bank = DeviceBank(shape, device)

    @torch.inference_mode()
    def make(noises: Sequence[Noise]) -> None:
        bank.tensor(noises).flatten()[0].item()  # the item waits for the device

    return make


def measured(make: Make, shape: tuple[int, ...], moved: bool, seconds: float) -> tuple[float, float]:
    """Values per second and per CPU second, medians over batches of new noises."""
    seeds, size = itertools.count(), max(1, BATCH_VALUES // math.prod(shape))
    pivot = Noise(0)

    def batch() -> list[Noise]:
        some = itertools.islice(seeds, size)
        return [pivot.moved(seed, 0.15) for seed in some] if moved else [Noise(seed) for seed in some]

    make(batch())
    times, computing, end = list[float](), list[float](), time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        noises, start, begun = batch(), time.perf_counter(), time.process_time()
        make(noises)
        times.append(time.perf_counter() - start)
        computing.append(time.process_time() - begun)
    values = size * math.prod(shape)
    return values / statistics.median(times), values / statistics.median(computing)


@app.command("noises")
def noise_rates(
    shapes: Annotated[list[str] | None, typer.Argument(help="Only these shapes; default: all.")] = None,
    threads: Annotated[str, typer.Option(help="Threads beside the engine's; 0: its own.")] = "0,1,2",
    device: Annotated[str, typer.Option(help="Of the noises that a device makes, beside the CPU's.")] = "cpu",
    seconds: Annotated[float, typer.Option(help="For each way.")] = 1.0,
    output: Output = RESULTS,
) -> None:
    """Noise values a second by numpy on threads of the host and by the device, and the threads that feed a fast GPU."""
    import torch

    torch.set_num_threads(1)
    table = Table(
        "way", "shape", "noises", "10^6 values/s", "a CPU second", "noises/s", "threads to feed", title="Noises"
    )
    records: list[NoiseRate] = []
    for shape in shapes or SHAPES:
        for found in rates(shape, numbers(threads), device, seconds):
            records.append(found)
            table.add_row(*found.row())
    out.print(table)
    save(output / "noises.json", [asdict(found) for found in records])
