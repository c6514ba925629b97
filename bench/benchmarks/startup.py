"""Measure the time to the help text, and to a run's first forward pass.

``python -m bench.benchmarks.startup`` is the run that is timed, in a process of its own: a run of one problem, with
marks at the ends of its phases.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

GOALS = {"help": 0.5, "local": 5.0, "ray": 12.0}
"""Seconds."""

IMPORTS = (
    "bench.commands.app",
    "bench.study.config",
    "bench.study.study",
    "bench.run.start",
    "bench.report.summary",
    "torch",
    "ray",
)
"""Modules whose import is timed, each in a new process."""


@dataclass(frozen=True)
class Startup:
    """Seconds from the start of a process.

    Args:
        what: ``help``, ``import MODULE``, or the backend of a run: ``local`` or ``ray``.
        seconds: to the end of the process; of a run, to its first forward pass.
        phases: of a run: what it did in that time, one after another.
        goal: what it should be, where there is a goal.
    """

    what: str
    seconds: float
    phases: dict[str, float] = field(default_factory=dict)
    goal: float | None = None

    @property
    def met(self) -> bool:
        """Whether the goal is reached, if there is one."""
        return self.goal is None or self.seconds < self.goal


def help_time(repeats: int = 5) -> Startup:
    """``tts-bench --help``."""
    return Startup("help", _process(["-m", "bench", "--help"], repeats), goal=GOALS["help"])


def import_time(module: str, repeats: int = 3) -> Startup:
    """A module's import in a new process, Python's own start included."""
    return Startup(f"import {module}", _process(["-c", f"import {module}"], repeats))


def _process(arguments: list[str], repeats: int) -> float:
    return median(_timed([sys.executable, *arguments])[0] for _ in range(repeats))


def _timed(command: list[str]) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  (our own interpreter)
    return time.perf_counter() - start, done.stdout


def first_forward(backend: str, repeats: int = 3) -> Startup:
    """From the command to the first forward pass of a run on the embedded model; the median run and its phases."""
    runs = sorted((_one_run(backend) for _ in range(repeats)), key=lambda run: run.seconds)
    return runs[len(runs) // 2]


def _one_run(backend: str) -> Startup:
    with tempfile.TemporaryDirectory() as folder:
        begin = time.time()
        _, answer = _timed([sys.executable, "-m", "bench.benchmarks.startup", backend, str(Path(folder) / "run")])
    marks: list[tuple[str, float]] = [(str(name), float(at)) for name, at in json.loads(answer.splitlines()[-1])]
    ends = [begin, *(at for _, at in marks)]
    phases = {name: end - start for (name, end), start in zip(marks, ends, strict=False)}
    return Startup(backend, marks[-1][1] - begin, phases, GOALS[backend])


@dataclass
class Marks:
    """The ends of a run's phases, by the clock of the wall, which processes share."""

    marks: list[tuple[str, float]] = field(default_factory=list)

    def mark(self, name: str) -> None:
        """A phase has ended."""
        self.marks.append((name, time.time()))

    def after(self, owner: Any, attribute: str, name: str) -> None:
        """Let a function mark its end."""
        function: Callable[..., Any] = getattr(owner, attribute)

        def marked(*args: Any, **kwargs: Any) -> Any:
            found = function(*args, **kwargs)
            self.mark(name)
            return found

        setattr(owner, attribute, marked)


class _Seen(BaseException):
    """The first forward pass is over."""


def main(backend: str, output: str) -> None:
    """Run until the first forward pass is over, and print the ends of the phases as JSON."""
    marks = Marks()
    from rich.console import Console

    import bench.run.driver
    import bench.run.start
    from bench.study.config import load

    marks.mark("import of the harness")
    config = load("quickstart", [f"output={output}", f"engines.backend={backend}", "engines.count=1"])
    _watch(marks, backend)
    _end_with(
        marks, bench.run.driver.Driver, "update", lambda _, report: bool(report.load.batches)
    )  # an actor's message
    try:
        bench.run.start.run(config, Console(quiet=True))
    except _Seen:
        sys.stdout.write(json.dumps(marks.marks) + "\n")


def _watch(marks: Marks, backend: str) -> None:
    """Let the parts of a start mark their ends."""
    import bench.run.start

    marks.after(bench.run.start, "Study", "configuration, weights' digests")
    if backend == "local":
        # what the run would import later is imported here, so that it is a phase of its own
        import torch  # noqa: F401

        marks.mark("import of torch")
        import tts.engine.batching
        import tts.engine.score_checks
        from tts.models.cifar10 import Cifar10

        marks.after(Cifar10, "load", "model")
        _before(marks, tts.engine.batching, "rows_are_independent", "rewards")
        marks.after(tts.engine.batching, "rows_are_independent", "check of the network's rows")
        marks.after(tts.engine.score_checks, "first_dependent_score", "check of the rewards' rows")
        _end_with(marks, tts.engine.batching.Engine, "advance")
    else:
        import bench.workers.on_ray.pool

        marks.mark("import of ray")
        marks.after(bench.workers.on_ray.pool, "connect", "cluster")
    marks.after(bench.run.start, "make_pool", "engines" if backend == "ray" else "engine")


def _end_with(marks: Marks, owner: Any, attribute: str, last: Callable[..., bool] = lambda _: True) -> None:
    """Let a function's end be the run's, if its arguments say so."""
    function: Callable[..., Any] = getattr(owner, attribute)

    def ending(*args: Any) -> Any:
        found = function(*args)
        if last(*args):
            marks.mark("first forward pass")
            raise _Seen
        return found

    setattr(owner, attribute, ending)


def _before(marks: Marks, owner: Any, attribute: str, name: str) -> None:
    """Let a function mark its beginning, which is another phase's end."""
    function: Callable[..., Any] = getattr(owner, attribute)

    def marked(*args: Any, **kwargs: Any) -> Any:
        marks.mark(name)
        return function(*args, **kwargs)

    setattr(owner, attribute, marked)


if __name__ == "__main__":
    main(*sys.argv[1:])
