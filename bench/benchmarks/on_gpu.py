"""Measure networks of published sizes on a GPU: the bare network, and engines on it."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

import typer
from rich.table import Table

from bench.benchmarks.app import RESULTS, Output, app, out, percent, save
from bench.benchmarks.harness import CURVE, endless
from bench.benchmarks.windows import SHARES, Length, Window, steady
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.building import build_engine
from bench.workers.pool import LocalPool
from bench.workers.rates import loaded, one_pass, pass_seconds
from tts.errors import TTSError, first_line
from tts.settings import parse

PLACE = "bench.benchmarks.published:"
ALL = ("naive", "eps_greedy", "mcts")
ONE = ("eps_greedy",)


@dataclass(frozen=True)
class Cell:
    """A network on a GPU, and its measurements.

    Args:
        network: a name of :mod:`bench.benchmarks.published`, or ``cifar10``.
        precision: precision of its weights; None: the network has no such setting.
        batch: rows of a pass.
        searches: searches that an engine runs; none: measure only the bare network.
        steps: of a trajectory.
        compiled: by ``torch.compile``.
        slow: factor of the windows' length, for slow networks.
        invariant: operations computed by kernels whose rows do not depend on their position.
        noise: what makes noises.
        noise_threads: threads that make noises in advance; None: the engine's default.
    """

    network: str
    precision: str | None
    batch: int
    searches: tuple[str, ...] = ONE
    steps: int = 18
    compiled: bool = False
    slow: int = 1
    invariant: str = "convolutions"
    noise: str = "host"
    noise_threads: int | None = None

    @property
    def label(self) -> str:
        """For people."""
        more = [*(["compiled"] if self.compiled else []), *(["invariant=all"] if self.invariant == "all" else [])]
        more += ["noise=device"] if self.noise == "device" else []
        more += [] if self.noise_threads is None else [f"noise_threads={self.noise_threads}"]
        return " ".join([self.network, self.precision or "fp32", *more])

    def study(self, search: str) -> Study:
        """A study of one search on the network."""
        embedded, prompted = self.network == "cifar10", self.network not in ("cifar10", "ADM64", "DiTXL")
        precision = {} if self.precision is None else {"precision": self.precision}
        values = {
            "model": {
                "name": self.network if embedded else PLACE + self.network,
                "sampler": {"steps": self.steps},
                **precision,
            },
            "rewards": ["brightness"],
            "searches": [CURVE[search]],
            "problems": {"conditions": ["a red cube on a table"] if prompted else [3], "seeds": 1},
            "engines": {
                "backend": "local",
                "device": "cuda",
                "batch": self.batch,
                "compile": self.compiled,
                "invariant": self.invariant,
                "noise": self.noise,
                "noise_threads": self.noise_threads,
            },
            "output": "unused",
        }
        return Study(parse(RunConfig, values, "benchmark"))


EAGER = (
    Cell("cifar10", None, 256, ALL),
    Cell("ADM64", "fp32", 64, ONE),
    Cell("ADM64", "fp16", 128, ONE),
    Cell("ADM64", "bf16", 128, ALL),
    Cell("DiTXL", "fp32", 32, ("naive",), 20),
    Cell("DiTXL", "bf16", 64, ALL, 20),
    Cell("SD15", "fp32", 16, ("naive",), 20),
    Cell("SD15", "fp16", 1, ()),
    Cell("SD15", "fp16", 16, ALL, 20),
    Cell("SD35Medium", "bf16", 8, ("naive",), 20, slow=3),
    Cell("Sana1600M", "bf16", 16, ("naive",), 20, slow=2),
    Cell("FluxDev", "bf16", 4, ("naive",), 20, slow=4),
)
COMPILED = (
    Cell("cifar10", None, 256, ONE, compiled=True),
    Cell("DiTXL", "bf16", 64, ("naive",), 20, True),
    Cell("SD15", "fp16", 16, ("naive",), 20, True),
)


@dataclass
class Measured:
    """The result of a cell.

    Args:
        bare: forwards/s of the bare network; with guidance a row is two.
        gibibytes: peak memory.
        fault: why engines refuse it.
        engines: by search, forwards/s, their share of the bare network's, how full batches were, shares of time.
    """

    cell: Cell
    bare: float = 0.0
    gibibytes: float = 0.0
    start_seconds: float = 0.0
    fault: str | None = None
    engines: dict[str, dict[str, Any]] = field(default_factory=dict)

    def rows(self) -> Iterator[list[str]]:
        """Of the table."""
        begin = [self.cell.label, str(self.cell.batch), f"{self.bare:.1f}", f"{self.gibibytes:.1f}"]
        for search, found in self.engines.items():
            shares = [percent(share) for share in found["shares"].values()]
            yield [
                *begin,
                search,
                f"{found['rate']:.1f}",
                f"{found['efficiency']:.3f}",
                percent(found["full"]),
                *shares,
            ]
        if not self.engines:
            yield [*begin, self.fault or "", *[""] * (3 + len(SHARES))]


def measured(cell: Cell, length: Length) -> Measured:
    """Measure the bare network, and an engine on the same loaded network, in this process."""
    import torch

    torch.cuda.reset_peak_memory_stats()
    start, found = time.perf_counter(), Measured(cell)
    study = cell.study((cell.searches or ONE)[0])
    try:
        if cell.searches:
            with closing(LocalPool(study, build_engine(study))) as pool:
                found.start_seconds = time.perf_counter() - start
                _play(cell, pool, length, found)
    except (TTSError, RuntimeError, ValueError, TypeError) as error:
        found.fault = f"{type(error).__name__}: {first_line(error)}"
    if not found.bare:
        found.bare = _bare(study, loaded(study), cell.batch, length)
    found.gibibytes = torch.cuda.max_memory_allocated() / 2**30
    gc.collect()
    torch.cuda.empty_cache()
    return found


def _play(cell: Cell, pool: LocalPool, length: Length, found: Measured) -> None:
    model = getattr(pool.worker, "model")  # noqa: B009  (an engine's; simulated ones have none)
    found.bare = _bare(cell.study(cell.searches[0]), model, cell.batch, length)
    for search in cell.searches:
        study = endless(cell.study(search), "driver")
        again = search != cell.searches[-1]
        window = steady(study, pool, length, open_problems=max(8, cell.batch * 2), drained=again)
        found.engines[search] = _record(window, model.passes, found.bare, cell.batch)


def _bare(study: Study, model: Any, batch: int, length: Length) -> float:
    return float(batch * model.passes / pass_seconds(one_pass(study, model, batch), length.seconds))


def _record(window: Window, passes: int, bare: float, batch: int) -> dict[str, Any]:
    rate = window.rows_per_second * passes
    return {"rate": rate, "efficiency": rate / bare, "full": window.full(batch), "shares": window.shares()}


@app.command()
def gpu(
    names: Annotated[list[str] | None, typer.Argument(help="Only these networks; left out: all.")] = None,
    compiled: Annotated[bool, typer.Option("--compiled", help="Those that are compiled, which takes minutes.")] = False,
    seconds: Annotated[float, typer.Option(help="Length of each window.")] = 2.0,
    noise: Annotated[str, typer.Option(help="What makes noises: host or device.")] = "host",
    noise_threads: Annotated[int | None, typer.Option(help="Threads beside the device that make them.")] = None,
    output: Output = RESULTS,
) -> None:
    """Networks of published sizes with random weights on this machine's GPU: rows/s bare and through an engine."""
    import torch

    cells: Sequence[Cell] = COMPILED if compiled else EAGER
    records, device = [], torch.cuda.get_device_name()
    table = Table(title=f"On {device}", caption="forwards/s; shares are of the engine's time")
    for name in ("network", "batch", "bare", "GiB", "search", "engine", "efficiency", "full", *SHARES):
        table.add_column(name)
    for cell in cells:
        if names and cell.network not in names:
            continue
        cell = replace(cell, noise=noise, noise_threads=noise_threads)
        length = Length(seconds * cell.slow, seconds * cell.slow / 2)
        found = measured(cell, length)
        if found.fault is not None and "depend" in found.fault:
            found = measured(replace(cell, invariant="all"), length)
        records.append({**asdict(found), "device": device})
        for row in found.rows():
            table.add_row(*row)
            out.print(*row, highlight=False, soft_wrap=True)
        save(output / f"gpu{'-compiled' if compiled else ''}.json", records)
    out.print(table)
