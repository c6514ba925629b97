"""Measure the host's time per row and step: all of an engine's work except its network and its noises."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.table import Table

from bench.benchmarks.app import RESULTS, Output, app, numbers, out, save
from tts.engine.requests import EvalRequest
from tts.noise import Noise
from tts.search.segment import Segment

SHAPES = {"3x32x32": (3, 32, 32), "3x64x64": (3, 64, 64), "4x128x128": (4, 128, 128)}
SAMPLERS = ("heun", "ddim", "flow")
STEPS = 10
ROUNDS = 5


@dataclass(frozen=True)
class HostCost:
    """The host's time per row of a pass.

    Args:
        sampler: the sampler.
        shape: of a state.
        batch: rows of a pass.
        microseconds: CPU time per row and pass, the least of several rounds.
    """

    sampler: str
    shape: str
    batch: int
    microseconds: float


def cost(sampler: str, shape: str, batch: int, rounds: int = ROUNDS) -> HostCost:
    """Time whole trajectories of a full batch with a network that returns at once and noises made before."""
    import torch

    from bench.workers.unasked import Unasked
    from tts.engine.batching import Engine
    from tts.testing.toy_model import ToyModel

    torch.set_num_threads(1)
    model: Any = Unasked(ToyModel(_sampler(sampler), SHAPES[shape]))
    engine = Engine(model, {}, batch)
    engine.noises.bank.keep = (STEPS + 1) * batch + 1  # type: ignore[attr-defined]  # a supply's
    times = [_round(engine, number * batch) for number in range(rounds + 1)][1:]  # the first one makes the noises
    engine.close()
    return HostCost(sampler, shape, batch, 1e6 * min(times))


def _round(engine: Any, ticket: int) -> float:
    """Seconds of CPU time per row."""
    wanted = [
        Segment(Noise(100 * k), tuple(Noise(100 * k + step + 1) for step in range(STEPS)), 0)
        for k in range(engine.batch)
    ]
    rows, start = engine.load.rows, time.thread_time()
    engine.submit(EvalRequest(ticket + k, segment) for k, segment in enumerate(wanted))
    while engine.busy:
        engine.advance()
    taken = time.thread_time() - start
    engine.release(range(ticket, ticket + engine.batch))
    return taken / float(engine.load.rows - rows)


def _sampler(name: str) -> Any:
    from tts.samplers.ddim import DDIM
    from tts.samplers.heun import StochasticHeun
    from tts.samplers.interpolant import InterpolantSettings
    from tts.testing.levels import StraightLevels

    if name == "heun":
        return StochasticHeun(steps=STEPS)
    if name == "flow":
        return InterpolantSettings(steps=STEPS).on(StraightLevels())
    alphas = tuple(0.02 + 0.96 * k / STEPS for k in range(STEPS))
    return DDIM(tuple(range(900, -1, -100)), alphas, (*alphas[1:], 1.0), 1.0, 0.9)


@app.command("host")
def host_path(
    shapes: Annotated[list[str] | None, typer.Argument(help="Only these shapes; default: all.")] = None,
    batches: Annotated[str, typer.Option(help="Rows of a pass.")] = "64",
    output: Output = RESULTS,
) -> None:
    """CPU time a row and pass of all that an engine does beside its network and making noises."""
    table = Table("sampler", "shape", "batch", "us a row", "rows/s that one thread feeds", title="Host path")
    records: list[HostCost] = []
    for shape in shapes or SHAPES:
        for sampler in SAMPLERS:
            for batch in numbers(batches):
                found = cost(sampler, shape, batch)
                records.append(found)
                rate = f"{1e6 / found.microseconds:,.0f}"
                table.add_row(sampler, shape, str(batch), f"{found.microseconds:.1f}", rate)
    out.print(table)
    save(output / "host.json", [asdict(found) for found in records])
