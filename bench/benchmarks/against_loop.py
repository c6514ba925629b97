"""Engines against a script's loop: images by CPU time, on the same network, problems and reward."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from statistics import median
from typing import Annotated, Any

import typer
from rich.table import Table

from bench.benchmarks.app import RESULTS, ChosenSearches, Output, app, numbers, out, save
from bench.benchmarks.harness import CURVE, make_study, timed
from bench.benchmarks.plain_loop import METHODS, PlainLoop
from bench.study.study import Study
from bench.workers.backends import make_pool

LARGEST = 48
"""Rows of an engine's pass at most; fewer where a study's candidates fill fewer evenly."""

LOCAL = ("zero_order", "eps_greedy")
"""Searches whose rounds begin from a pivot."""

WAYS = ("engine", "grid", "one")
"""The harness, the loop with all problems as one batch, and the loop with one problem after another."""


@dataclass(frozen=True)
class Compared:
    """What images cost in CPU seconds, round by round.

    Args:
        search, problems: what is run.
        batch: rows of the engine's pass.
        engine: a whole run of the harness with its engine in this process, rows and images written.
        grid: the loop, all problems as one batch.
        one: the loop, one problem after another.
        nfe: denoiser forwards of each of the three, an image.
    """

    search: str
    problems: int
    batch: int
    engine: list[float]
    grid: list[float]
    one: list[float]
    nfe: dict[str, float]

    def ratio(self, to: list[float]) -> float:
        """Images by CPU time of the engine over those of a loop, the median of rounds."""
        return median(theirs / ours for ours, theirs in zip(self.engine, to, strict=True))

    def rate(self, seconds: list[float]) -> float:
        """Images by CPU seconds, the median of rounds."""
        return self.problems / median(seconds)


def batch_for(search: str, problems: int, N: int, largest: int = LARGEST) -> int:
    """Rows of a pass that a study's candidates fill, in as few passes as hold so many; in two at least where every
    other round has one candidate less, as its pivot is known."""
    rows = problems * (1 if search == "naive" else N)
    passes = max(math.ceil(rows / largest), 2 if search in LOCAL else 1)
    return math.ceil(rows / passes)


def study_of(search: str, problems: int, K: int, steps: int, batch: int | None = None) -> Study:
    """Problems of one search on one engine of one thread in this process."""
    given: dict[str, Any] = dict(CURVE[search])
    if "K" in given:
        given["K"] = K
    batch = batch or batch_for(search, problems, given.get("N", 1))
    return make_study(given, problems, steps=steps, backend="local", count=1, threads=1, batch=batch)


def compared(study: Study, K: int, rounds: int) -> Compared:
    """Measure one search, in alternation, every other round backwards: a machine that slows down favours no way.

    A round with one problem comes first and is thrown away.

    Args:
        study: of one search and one reward, on a model with stochastic Heun steps and classes.
        K: rounds of a step.
    """
    import torch

    from bench.workers.rates import loaded

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    [entry], [reward] = study.entries, study.rewards.values()
    record = entry.algorithm.record()
    loop = PlainLoop(loaded(study), reward.load(), record.get("N", 1), record.get("K", K))
    classes = [int(each) for each in study.conditions] * (study.problems // len(study.conditions))
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    nfe: dict[str, float] = {}
    for _ in _round(_first(study), loop, entry.name, classes[:1]):
        pass
    for number in range(rounds):
        for way, spent, forwards in _round(study, loop, entry.name, classes, WAYS[::-1] if number % 2 else WAYS):
            seconds[way].append(spent)
            nfe[way] = forwards / len(classes)
    torch.set_num_threads(threads)
    return Compared(entry.name, len(classes), study.config.engines.batch, **seconds, nfe=nfe)


def _first(study: Study) -> Study:
    """Its first problem."""
    problems = study.config.problems.model_copy(update={"conditions": study.conditions[:1], "seeds": 1})
    return Study(study.config.model_copy(update={"problems": problems}))


def _round(
    study: Study, loop: PlainLoop, search: str, classes: list[int], ways: Sequence[str] = WAYS
) -> Iterator[tuple[str, float, int]]:
    """CPU seconds and forwards of each way."""
    for way in ways:
        if way == "engine":
            yield way, *_on_engine(study)
        else:
            before, start = loop.nfe, time.process_time()
            loop.images(search, classes, len(classes) if way == "grid" else 1)
            yield way, time.process_time() - start, loop.nfe - before


def _on_engine(study: Study) -> tuple[float, int]:
    """An engine is new, so that it has no noises from before."""
    with closing(make_pool(study)) as pool:
        whole = timed(study, pool)
    return whole.cpu_seconds, whole.nfe


@app.command("loop")
def against_loop(
    searches: ChosenSearches = None,
    problems: Annotated[str, typer.Option(help="Numbers of problems.")] = "10,36",
    rounds: Annotated[int, typer.Option(min=1, help="Of each way, in alternation.")] = 3,
    K: Annotated[int, typer.Option("--rounds-a-step", min=1, help="Of zero-order and epsilon-greedy search.")] = 2,
    steps: Annotated[int, typer.Option(min=4, help="Of a trajectory.")] = 18,
    batch: Annotated[int | None, typer.Option(help="Rows of a pass; left out: what the candidates fill.")] = None,
    output: Output = RESULTS,
) -> None:
    """Images a CPU second: the harness on the embedded model against a script's loop on the same network.

    The loop works as the study's code does: all candidates in one call, searched at every step, nothing written. Its
    problems are one grid, or run one after another.
    """
    table = Table(
        *("search", "problems", "batch", "images/CPU s", "loop, as a grid", "ratio", "loop, one by one", "ratio"),
        *("NFE an image", "of the loop"),
        title="Engine against a plain loop",
    )
    records = []
    for search in searches or METHODS:
        for count in numbers(problems):
            found = compared(study_of(search, count, K, steps, batch), K, rounds)
            records.append(asdict(found))
            table.add_row(*_cells(found))
    out.print(table)
    save(output / "loop.json", records)


def _cells(found: Compared) -> list[str]:
    rates = [f"{found.rate(found.engine):.2f}"]
    for loop in (found.grid, found.one):
        rates += [f"{found.rate(loop):.2f}", f"{found.ratio(loop):.2f}"]
    nfe = [f"{found.nfe[way]:.0f}" for way in ("engine", "grid")]
    return [found.search, str(found.problems), str(found.batch), *rates, *nfe]
