"""Measure what slow rewards cost: an engine that asks a service, or scorers, with a latency for each request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.benchmarks.harness import endless
from bench.benchmarks.windows import Length, Window, steady
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.pool import LocalPool
from bench.workers.scorers.pooled import ScorerPool, with_scorers
from bench.workers.scorers.processes import ScorerProcesses
from bench.workers.serving.http import Server
from bench.workers.serving.served import Served
from bench.workers.serving.service import RewardService
from bench.workers.unasked import Unasked
from tts.plan import Condition
from tts.settings import parse

if TYPE_CHECKING:
    from torch import Tensor

    from tts.models.base import Model

LATENCY = 0.3
"""Seconds that a request takes, whatever it holds."""

PASS_SECONDS = 0.1
"""Seconds of a forward pass of 32 rows of the simulated network."""

STEPS = 6
"""Steps of a trajectory: few, so that the number of rows that wait for rewards soon settles."""

SEARCH = {"name": "eps_greedy", "N": 4, "K": 2}


@dataclass(frozen=True)
class Way:
    """How rewards are computed: by a service with so many requests at a time, by so many scorers, or in the engine.

    ``oversupply``: segments in flight, in batches.
    """

    concurrency: int = 0
    scorers: int = 0
    oversupply: float = 3.0

    @property
    def label(self) -> str:
        """The way of computing rewards, in words."""
        if self.concurrency:
            return f"service, {self.concurrency} at once"
        return f"scorers, {self.scorers}" if self.scorers else "in the engine"


class Paced(Unasked):
    """A model whose network sleeps; all else works as with the real network."""

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """The states themselves, after a while."""
        time.sleep(PASS_SECONDS)
        return x


def slow(images: Tensor, conditions: Sequence[Condition]) -> list[float]:
    """A reward of a user's own, as slow as the service."""
    time.sleep(LATENCY)
    return [float(value) for value in images.double().mean(dim=(1, 2, 3)) / 255]


class _Late(RewardService):
    """Each request takes its time; many are answered at once."""

    def answer(self, method: str, path: str, body: bytes, bearer: str | None = None) -> tuple[int, bytes]:
        """The service's answer, late."""
        if method == "POST":
            time.sleep(LATENCY)
        return super().answer(method, path, body, bearer)


@contextmanager
def late_server() -> Iterator[str]:
    """The address of a server on the loopback."""
    served = Served(["brightness"])
    with closing(_Late(served)) as service, Server(service, "127.0.0.1", 0, served.most_bytes) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.address
        server.shutdown()


def awaited(way: Way, url: str, length: Length) -> Window:
    """An engine in this process while its rewards take their time.

    Args:
        url: of the service.
    """
    study = _study(way, url)
    scorers = ScorerProcesses(study) if way.scorers else None
    with closing(LocalPool(study, _engine(study, scorers), scorers)) as pool:
        return steady(endless(study, "driver"), pool, length, drained=False)


def _study(way: Way, url: str) -> Study:
    own = {"name": "bench.benchmarks.awaiting:slow", "as": "slow"}
    reward = {"name": "remote", "url": url, "concurrency": way.concurrency} if way.concurrency else own
    values: dict[str, Any] = {
        "model": {"name": "cifar10", "sampler": {"steps": STEPS}},
        "rewards": [reward],
        "searches": [SEARCH],
        "problems": {"conditions": "all", "seeds": 1},
        "engines": {"backend": "local", "batch": 32, "oversupply": way.oversupply},
        "output": "unused",
    }
    if way.scorers:
        values["scorers"] = {"count": way.scorers, "rewards": ["slow"]}
    return Study(parse(RunConfig, values, "benchmark"))


def _engine(study: Study, scorers: ScorerPool | None) -> Any:
    """An engine whose network only sleeps; it need not be checked."""
    from tts.engine.batching import Engine

    paced: Callable[[Model], Any] = Paced
    rewards = with_scorers(list(study.rewards), lambda name: study.rewards[name].load("cpu", str), scorers)
    return Engine(paced(study.model.load("cpu")), rewards, study.config.engines.batch)
