"""How soon trials end and how full passes are, counted in passes."""

from __future__ import annotations

from typing import Any

import pytest
from fake_pool import Rows
from tiny_study import TINY
from tree_bench import Bench, active

from bench.run.driver import Driver
from bench.store.row import TrialRow
from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.pool import LocalPool
from bench.workers.search_worker import SearchWorker
from tts.engine.batching import Engine
from tts.noise import Noise
from tts.rewards.brightness import Brightness
from tts.samplers.heun import StochasticHeun
from tts.search.segment import Segment
from tts.testing.toy_model import ToyModel

STEPS, BATCH = 8, 16
EVERY: list[Any] = [
    "naive",
    {"name": "best_of_n", "budget": {"N": [2, 4]}},
    {"name": "random", "N": 4},
    {"name": "beam", "N": 2, "B": 2},
    {"name": "mcts", "N": 4, "S": 2},
    {"name": "eps_greedy", "N": 4, "K": 2},
]


class Timed(Rows):
    """Notes after which pass each row came."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine, self.at = engine, list[int]()

    def add(self, row: TrialRow) -> None:
        """Keep a row."""
        self.at.append(self.engine.load.batches)
        super().add(row)


def run(searches: list[Any], problems: int, batch: int = BATCH, **engines: Any) -> tuple[Timed, Engine]:
    """Run a study on one engine, with a model that costs nothing."""
    values = {
        **TINY,
        "model": {"name": "cifar10", "sampler": {"steps": STEPS}},
        "rewards": ["brightness"],
        "searches": searches,
        "problems": {"conditions": list(range(problems)), "seeds": 1},
        "engines": {"backend": "local", "batch": batch, "search_on": "driver", **engines},
        "output": "unused",
    }
    study = Study(RunConfig.model_validate(values))
    engine = Engine(ToyModel(StochasticHeun(steps=STEPS)), {"brightness": Brightness().load()}, batch, host_threads=0)
    rows = Timed(engine)
    worker = SearchWorker(study, engine) if study.beside else engine
    Driver(study, LocalPool(study, worker), rows).run()
    return rows, engine


def full(engine: Engine) -> float:
    """Share of rows, over all passes, that were not padding."""
    return engine.load.rows / engine.load.batches / engine.batch


@pytest.mark.parametrize(("share", "where"), [(True, "driver"), (True, "engine"), (False, "driver")])
def test_trials_end_all_along_a_run(share: bool, where: str) -> None:
    """If all trials advanced evenly, none would have ended after half of the passes; passes are full either way."""
    rows, engine = run(EVERY, 10, share=share, search_on=where)
    assert len(rows.rows) == 70
    for passes, trials in ((0.5, 0.25), (0.75, 0.5)):
        assert sum(at <= passes * engine.load.batches for at in rows.at) >= trials * 70
    assert full(engine) > 0.92


def test_ten_problems_of_best_of_4_fill_a_batch_of_32() -> None:
    """If a batch ran to its end first, the last eight rows would run alone, and passes would be filled to 0.63."""
    rows, engine = run([{"name": "best_of_n", "N": 4}], 10, batch=32)
    assert len(rows.rows) == 10
    assert engine.load.batches <= -(-engine.load.rows // 32) + 2


@pytest.mark.parametrize(
    ("search", "passes"),
    [
        ({"name": "best_of_n", "N": 4}, 38),
        ({"name": "eps_greedy", "N": 4, "K": 2}, 55),
        ({"name": "beam", "N": 4, "B": 2}, 59),
        ({"name": "mcts", "N": 4, "S": 4}, 115),
    ],
)
def test_the_last_trials_go_on_together(search: dict[str, Any], passes: int) -> None:
    """More rows are left than an engine has requests before it: were the first problems' to go first until the end,
    these runs would need 44, 57, 60 and 117 passes."""
    rows, engine = run([search], 10)
    assert len(rows.rows) == 10
    assert engine.load.batches <= passes


def test_rows_are_the_same_whatever_a_pass_takes() -> None:
    seen = []
    for batch, oversupply in ((BATCH, 3.0), (5, 1.0), (64, 8.0)):
        rows, _ = run(EVERY, 3, batch=batch, oversupply=oversupply)
        found = [{k: v for k, v in row.items() if k not in ("trial", "device_seconds")} for row in rows.rows.values()]
        seen.append(sorted(found, key=lambda row: (row["search"], row["settings"], row["condition"])))
    assert len(seen[0]) == 21
    assert seen[0] == seen[1] == seen[2]


def test_an_engine_has_so_many_requests_before_it_and_the_first_problems_go_first() -> None:
    bench = Bench(most=2)
    late, early = active(rank=2), active(rank=1)
    bench.ask(late, *(Segment(Noise(k), (None,), 3) for k in range(3)))
    bench.ask(early, *(Segment(Noise(10 + k), (None,), 3) for k in range(2)))
    first = bench.send()
    assert [request.ticket for request in first] == [3, 4]
    assert not bench.send()
    bench.tree.scoring[0] = 1  # a segment that only waits for its scores does not go first
    assert [request.ticket for request in bench.send()] == [0]
    bench.answer(first[0])
    assert [request.ticket for request in bench.send()] == [1]
    bench.tree.lose(0)
    assert bench.tree.scoring == bench.tree.in_flight == [0]
    assert not bench.send()


def test_all_requests_go_once_little_work_is_left() -> None:
    """In the order in which they were asked for, whosever they are."""
    bench = Bench(most=1)
    late, early = active(rank=2), active(rank=1)
    bench.ask(late, Segment(Noise(0), (None,), 3))
    bench.ask(early, Segment(Noise(1), (None,), 3), Segment(Noise(2), (None,), 3))
    [(_, requests, _)] = bench.tree.requests(work=9, length=2)
    assert [request.ticket for request in requests] == [1]
    assert not list(bench.tree.requests(work=8, length=2, more=True))  # trials follow, so that it is not the end
    [(_, requests, _)] = bench.tree.requests(work=8, length=2)
    assert [request.ticket for request in requests] == [0, 2]


def test_who_cannot_wait_goes_before_the_first_problems() -> None:
    """A waiter that joins a node later makes the node as urgent as itself."""
    bench = Bench(most=1)
    early, late, deep = active(rank=1), active(rank=2), active(rank=3)
    deep.left = 9
    bench.ask(early, Segment(Noise(0), (None,), 3))
    bench.ask(late, Segment(Noise(1), (None,), 3))
    bench.ask(deep, Segment(Noise(1), (None,), 3))
    assert [(request.ticket, request.left) for request in bench.send(work=10)] == [(1, 9)]
