"""Rewards in processes of their own give the same scores, whichever process dies meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
import torch
from fragile_rewards import SPARED, redness, spoil_once
from local_rows import rows_of
from tiny_study import TINY

from bench.study.config import RunConfig
from bench.study.study import Study
from bench.workers.backends import make_pool
from bench.workers.pool import LocalPool
from bench.workers.scorers.batcher import Batcher, _Wanted
from bench.workers.scorers.judge import Answer, Images, Judge
from bench.workers.scorers.pooled import PooledReward, with_scorers
from tts.engine.asking import ask, ask_places
from tts.errors import EngineError, RewardError, SettingError
from tts.plan import Condition
from tts.rewards.brightness import Brightness

Make = Callable[..., RunConfig]

IMAGES: Images = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), np.uint8)


def level(name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
    """A score made of the first pixel and a thousand times the condition."""
    return [Answer(1000.0 * int(c) + float(image[0, 0, 0])) for image, c in zip(images, conditions, strict=True)]


class Held:
    """A worker that scores only after it is released, and remembers the sizes of its batches."""

    def __init__(self) -> None:
        self.begun, self.go, self.sizes = threading.Semaphore(0), threading.Event(), list[int]()

    def __call__(self, name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
        self.begun.release()
        assert self.go.wait(timeout=20)
        self.sizes.append(len(images))
        return level(name, images, conditions)


def asking(batcher: Batcher, number: int, name: str, size: int, found: dict[int, Any]) -> threading.Thread:
    """Start a thread that asks for scores of some images."""

    def ask() -> None:
        images = np.full((size, 3, 2, 2), number, np.uint8)
        found[number] = batcher.ask(name, images, [number] * size)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_what_several_ask_of_a_reward_is_scored_together() -> None:
    """While the first batch is under way, waiting requests for one reward are merged as far as they fit."""
    worker, found = Held(), dict[int, Any]()
    batcher = Batcher([worker], batch=4, most=100)
    threads = [asking(batcher, 1, "a", 2, found)]
    assert worker.begun.acquire(timeout=20)
    for number, name, size in ((2, "a", 2), (3, "b", 1), (4, "a", 3), (5, "a", 2)):
        threads.append(asking(batcher, number, name, size, found))
        waiting(batcher, number - 1)
    worker.go.set()
    for thread in threads:
        thread.join(timeout=20)
    assert found == {k: [Answer(1001.0 * k)] * size for k, size in ((1, 2), (2, 2), (3, 1), (4, 3), (5, 2))}
    assert worker.sizes == [2, 4, 1, 3]
    batcher.close()


def waiting(batcher: Batcher, number: int) -> None:
    """Wait until a number of requests are waiting."""
    with batcher._changed:
        assert batcher._changed.wait_for(lambda: len(batcher._waiting) == number, timeout=20)


def test_who_brings_more_than_may_wait_waits_as_well() -> None:
    worker, found = Held(), dict[int, Any]()
    batcher = Batcher([worker], batch=2, most=2)
    threads = [asking(batcher, 1, "a", 2, found)]
    assert worker.begun.acquire(timeout=20)
    threads.append(asking(batcher, 2, "a", 2, found))
    waiting(batcher, 1)
    room, looked = batcher._room, threading.Event()
    batcher._room = lambda: (looked.set(), room())[1]  # type: ignore[method-assign, func-returns-value]
    threads.append(asking(batcher, 3, "a", 2, found))
    assert looked.wait(timeout=20)
    with batcher._changed:  # the batcher holds this lock until it waits
        assert len(batcher._waiting) == 1
    worker.go.set()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(found) == [1, 2, 3]
    assert worker.sizes == [2, 2, 2]
    batcher.close()


def test_a_worker_that_gives_up_fails_only_its_own_batch() -> None:
    def work(name: str, images: Images, conditions: Sequence[Condition]) -> list[Answer]:
        if name == "bad":
            raise EngineError("its scorer was lost")
        return level(name, images, conditions)

    batcher = Batcher([work], batch=4, most=8)
    with pytest.raises(EngineError, match="was lost"):
        batcher.ask("bad", IMAGES, [0] * 5)
    assert len(batcher.ask("good", IMAGES, [0] * 5)) == 5
    batcher.close()
    with pytest.raises(EngineError, match="closed"):
        batcher.ask("good", IMAGES, [0] * 5)


def test_a_batch_that_does_not_fit_in_memory_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error there must not end the thread, for which others would wait for ever."""

    def concatenate(_: object) -> None:
        raise MemoryError

    batcher, wanted = Batcher([level], batch=4, most=8), _Wanted("a", IMAGES, [0] * 5, Future())
    with monkeypatch.context() as patch:
        patch.setattr(np, "concatenate", concatenate)
        batcher._score(level, [wanted])
    with pytest.raises(MemoryError):
        wanted.answers.result(timeout=0)
    batcher.close()


class Direct:
    """A pool of one worker in this thread."""

    rewards, count = ("brightness", "fragile"), 1

    def __init__(self, judge: Judge) -> None:
        self.ask = judge.score

    def close(self) -> None:
        """Do nothing."""


def own(**changes: Any) -> Study:
    given = {"name": "fragile_rewards:redness", "as": "fragile"}
    return Study(
        RunConfig.model_validate(
            {
                **TINY,
                "rewards": ["brightness", given],
                "searches": ["naive", {"name": "best_of_n", "N": 3}],
                "scorers": {"rewards": ["brightness", "fragile"]},
                "output": "unused",
                **changes,
            }
        )
    )


def test_a_scorer_gives_an_engines_values_and_its_errors() -> None:
    """Device rewards get whole batches; a failure names the image on which the reward fails, in the same words."""
    pool = Direct(Judge.of(own(engines={**TINY["engines"], "score_batch": 3})))
    given = torch.from_numpy(IMAGES)
    assert PooledReward("brightness", pool).score(given, [0] * 5) == Brightness().load().score(given, [0] * 5)
    bad = given.clone()
    bad[3] = SPARED
    places = {k: k for k in range(5)}
    here = own().rewards["fragile"].load()
    there = with_scorers(["fragile"], lambda _: here, pool)["fragile"]
    assert isinstance(there, PooledReward)
    values, errors = ask_places("fragile", there, bad, [0] * 5, places)
    assert (values, errors) == ask_places("fragile", here, bad, [0] * 5, places)
    assert list(errors) == [3]


class Broken:
    """A reward that fails, or returns something else than numbers."""

    host = True

    def __init__(self, does: Exception | list[Any]) -> None:
        self.does = does

    def score(self, images: torch.Tensor, conditions: Sequence[Condition]) -> list[Any]:
        if isinstance(self.does, Exception):
            raise self.does
        return self.does


@pytest.mark.parametrize(
    ("values", "words"), [(["good"] * 5, "reward odd failed: TypeError"), ([1.0], "reward odd failed: IndexError")]
)
def test_whatever_else_a_reward_does_is_told_of_its_images(values: list[Any], words: str) -> None:
    answers = Judge({"odd": Broken(values)}, 2).score("odd", IMAGES, [0] * 5)
    assert [answer.score for answer in answers] == [None] * 5
    assert all(answer.error is not None and answer.error.startswith(words) for answer in answers)


def test_a_failure_of_a_scorers_device_is_none_of_its_engines() -> None:
    pool = Direct(Judge({"big": Broken(RuntimeError("CUDA error: an illegal memory access"))}, 2))
    with pytest.raises(RewardError, match=r"^reward big failed: reward big: CUDA error: an illegal memory access$"):
        ask("big", PooledReward("big", pool), torch.from_numpy(IMAGES), [0] * 5)


def test_rows_are_the_same_with_scorers_one_of_which_dies() -> None:
    """Scorers run in processes of their own; they are not part of the identity."""
    plain, pooled = own(scorers=None), own(scorers={"rewards": ["fragile"]})
    assert plain.digest() == pooled.digest()
    wanted = rows_of(plain, LocalPool(plain))
    with spoil_once() as spoilt:
        assert rows_of(pooled, make_pool(pooled)) == wanted
        assert spoilt()
    assert len(wanted) == plain.size
    assert all(row["error"] is None and row["score_fragile"] is not None for row in wanted.values())


@pytest.mark.parametrize(
    ("scorers", "words"),
    [
        ({"rewards": ["brightnes"]}, "scorers.rewards: the run has no reward 'brightnes'; did you mean 'brightness'"),
        ({"rewards": ["brightness"], "cout": 2}, "unknown key 'scorers.cout'; did you mean 'count'"),
        ({"rewards": []}, "scorers.rewards"),
        ({"rewards": ["brightness"], "gpus": 1}, "scorers.gpus: .* need engines.backend: ray"),
    ],
)
def test_scorers_that_cannot_be(scorers: dict[str, Any], words: str, tiny: Make) -> None:
    with pytest.raises(SettingError, match=words):
        Study(tiny(scorers=scorers, engines={"backend": "local"}))


def test_a_device_reward_on_another_kind_of_device_is_refused() -> None:
    study = own(engines={"device": "cuda"})
    with pytest.raises(EngineError, match=r"scorers: reward brightness .* set scorers\.gpus"):
        Judge.of(study)


def test_redness_is_what_the_rows_are_compared_by() -> None:
    assert redness(torch.from_numpy(IMAGES), [""] * 5)[0] == float(IMAGES[0, 0].mean() / 255)
