"""Scorers as actors: which ones end themselves, and what those who ask them hear of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import ray
from fragile_rewards import spoil_once

from bench.study.config import Engines, RunConfig
from bench.study.study import Study
from bench.workers.numerics import environment
from bench.workers.on_ray import scorers
from bench.workers.on_ray.connecting import connect
from bench.workers.on_ray.paths import SearchPath
from bench.workers.on_ray.scorers import RayScorers, start_scorers
from bench.workers.scorers.judge import Answer, Images, Judge
from tts.errors import EngineError
from tts.plan import Condition

Make = Callable[..., RunConfig]

IMAGES: Images = np.full((2, 3, 8, 8), 51, np.uint8)
ENDS = """
import ctypes
from bench.workers.on_ray.scorers import _or_end

class Judge:
    def score(self, *_):
        {}

print(_or_end(Judge(), 0.5)("a", [], []), end="")
"""


@pytest.mark.parametrize(
    ("does", "code", "said", "log"),
    [
        ("return 'an answer'", 0, "an answer", ""),
        ("ctypes.PyDLL(None).sleep(20)", 1, "", "in score"),  # it keeps the interpreter's lock
        ("from tts.errors import DeviceError; raise DeviceError('reward a: so')", 1, "", "reward a: so\n"),
    ],
)
def test_an_actor_that_hangs_or_whose_device_fails_ends(does: str, code: int, said: str, log: str) -> None:
    found = subprocess.run([sys.executable, "-c", ENDS.format(does)], capture_output=True, text=True, timeout=50)
    assert (found.returncode, found.stdout) == (code, said)
    assert log in found.stderr


@pytest.fixture
def engines(ray_address: str) -> Iterator[Engines]:
    """Those of a driver on the cluster, which it leaves again."""
    engines = Engines.model_validate({"backend": "ray", "address": ray_address, "threads": 1})
    connect(engines, 0)
    yield engines
    ray.shutdown()


def test_one_that_hangs_is_started_again_and_its_images_are_scored(tiny: Make, engines: Engines) -> None:
    rewards = [{"name": "fragile_rewards:redness", "as": "fragile"}]
    study = Study(tiny(rewards=rewards, scorers={"rewards": ["fragile"], "patience": 2.0}, engines=engines.record()))
    pool = start_scorers(study, study.digest(), SearchPath.own(), environment(engines))
    assert pool is not None
    with spoil_once("hangs") as spoilt:
        assert pool.ask("fragile", IMAGES, [0, 0]) == [Answer(0.2)] * 2
        assert spoilt()


def actor(score: Callable[[], None], begin: Callable[[], None] = lambda: None, cpus: int = 0) -> Any:
    """An actor that calls a function before it answers, and is started again as scorers are.

    Args:
        begin: called by its constructor.
        cpus: that it needs.
    """

    class Actor:
        def __init__(self) -> None:
            begin()

        def ready(self) -> bool:
            return True

        def ask(self, name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
            score()
            return [Answer(1.0)] * len(images)

    return ray.remote(Actor).options(num_cpus=cpus, max_concurrency=2, max_restarts=-1, max_task_retries=3).remote()


@pytest.mark.usefixtures("engines")
def test_one_that_is_busy_with_batches_of_others_is_not_taken_for_a_silent_one() -> None:
    busy = actor(lambda: time.sleep(2.5))
    ray.get(busy.ready.remote())
    assert RayScorers(["a"], [busy], 0.05, 2.0).ask("a", IMAGES, [0, 0]) == [Answer(1.0)] * 2


@pytest.mark.usefixtures("engines")
def test_a_batch_that_ends_one_after_another_is_given_up() -> None:
    deadly = actor(lambda: os._exit(1))
    with pytest.raises(EngineError, match=r"its scorer was lost 4 times over this batch.* scorers\.patience = 9 s"):
        RayScorers(["a"], [deadly], 9.0, 60.0).ask("a", IMAGES, [0, 0])


def no_memory() -> None:
    raise EngineError("no memory left")


@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (lambda: actor(time.time, no_memory), "^no memory left$"),
        (lambda: actor(time.time, cpus=1000), "the cluster has no place for it any more$"),
    ],
)
def test_one_that_does_not_come_back_leaves_its_images_to_the_others(gone: Callable[[], Any], said: str) -> None:
    lost, whole = gone(), actor(time.time)
    ray.get(whole.ready.remote())  # it answers sooner than the other one is given up
    pool = RayScorers(["a"], [lost, whole], 9.0, 1.0)
    assert [pool.ask("a", IMAGES, [0, 0]) for _ in range(8)] == [[Answer(1.0)] * 2] * 8
    with pytest.raises(EngineError, match=said):
        RayScorers(["a"], [lost], 9.0, 1.0).ask("a", IMAGES, [0, 0])


@pytest.mark.usefixtures("engines")
def test_one_that_comes_back_late_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.choice", lambda actors: actors[0])
    late, whole = actor(time.time, lambda: time.sleep(4)), actor(time.time)
    ray.get(whole.ready.remote())
    pool = RayScorers(["a"], [late, whole], 9.0, 0.5)
    assert pool.ask("a", IMAGES, [0, 0]) == [Answer(1.0)] * 2
    assert pool._actors == [whole]
    ray.get(list(pool._away))
    assert pool.ask("a", IMAGES, [0, 0]) == [Answer(1.0)] * 2
    assert pool._actors == [whole, late]


def test_rewards_that_cannot_be_loaded_are_tried_again_for_some_time(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tiny: Make
) -> None:
    attempts, judge = [], Judge({}, 1)

    def third_time(_: Study) -> Judge:
        attempts.append(time.monotonic())
        if len(attempts) < 3:
            no_memory()
        return judge

    monkeypatch.setattr(scorers, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(Judge, "of", third_time)
    study = Study(tiny())
    with pytest.raises(EngineError, match="no memory left"):
        scorers.loaded(study, 0.0)
    assert len(attempts) == 1
    assert scorers.loaded(study, 60.0) is judge
    assert capfd.readouterr().err == "EngineError: no memory left; it is tried again\n"
