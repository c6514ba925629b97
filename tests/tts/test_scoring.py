"""Decoding and scoring in batches, on the device and beside it."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tts.engine.device_queue import CpuQueue
from tts.engine.kept_images import KeptImages
from tts.engine.padding import pad, padded
from tts.engine.requests import EngineCounters
from tts.engine.score_requests import ScoreRequest, ScoreResult
from tts.engine.scoring import Scorer
from tts.engine.timeline import Timeline
from tts.media import png
from tts.plan import Condition
from tts.search.segment import ALL
from tts.testing.toy_model import ToyModel


class Level:
    """A reward that reads the first pixel, and remembers who asked for what."""

    def __init__(self, host: bool) -> None:
        self.host = host
        self.threads: list[str] = []
        self.batches: list[int] = []

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        self.threads.append(threading.current_thread().name)
        self.batches.append(len(images))
        return [1000.0 * int(c) + int(image[0, 0, 0]) for image, c in zip(images, conditions, strict=True)]


class Unsure(Level):
    """Cannot score dark images."""

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        return [None if image.max() < 128 else 1.0 for image in images]


class Failing(Level):
    """A reward with a fault: it breaks down over one image."""

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        if (images[:, 0, 0, 0] == 66).any():
            raise ZeroDivisionError("a fault")
        return super().score(images, conditions)


def wanted(ticket: int, reward: str, condition: int = 0) -> ScoreRequest:
    """A state whose decoded pixels all are the ticket."""
    return ScoreRequest(ticket, torch.full((3, 8, 8), ticket / 127.5 - 1), condition, (reward,))


def scored(scorer: Scorer, asked: list[ScoreRequest]) -> dict[int, ScoreResult]:
    """Scores of requests, by a scorer that ends with them."""
    found = scored_by(scorer, asked)
    scorer.close()
    return found


def test_values_are_credited_to_the_right_ticket() -> None:
    scorer = Scorer(ToyModel(), {"device": Level(False), "host": Level(True)}, batch=4)
    names = ["device", "host", ALL]
    asked = [wanted(ticket, names[ticket % 3], condition=ticket % 7) for ticket in (9, 3, 17, 4, 250, 0, 61, 8, 5, 2)]
    found = scored(scorer, asked)
    assert set(found) == {want.ticket for want in asked}
    for want in asked:
        value, scores = 1000.0 * int(want.condition) + want.ticket, found[want.ticket].scores
        assert scores == dict.fromkeys(["device", "host"] if want.asks(ALL) else want.rewards, value)


def test_host_rewards_run_beside_the_device() -> None:
    device, host = Level(False), Level(True)
    scored(Scorer(ToyModel(), {"device": device, "host": host}, batch=2), [wanted(k, ALL) for k in range(4)])
    assert set(device.threads) == {threading.current_thread().name}
    assert all(name.startswith("rewards") for name in host.threads)


def test_device_rewards_always_see_whole_batches() -> None:
    """One fixed shape; CPU rewards are spared the padding."""
    device, host = Level(False), Level(True)
    scored(Scorer(ToyModel(), {"device": device, "host": host}, batch=4), [wanted(k, ALL) for k in range(5)])
    assert device.batches == [4, 4]
    assert host.batches == [4, 1]


def test_a_reward_that_nobody_asked_for_is_not_computed() -> None:
    device, host = Level(False), Level(True)
    scored(Scorer(ToyModel(), {"device": device, "host": host}, batch=4), [wanted(1, "host"), wanted(2, "host")])
    assert (device.batches, host.batches) == ([], [2])


def test_partial_batches_wait_until_they_are_let_go() -> None:
    scorer = Scorer(ToyModel(), {"host": Level(True)}, batch=4)
    for ticket in range(6):
        scorer.add(wanted(ticket, "host"))
    scorer.flush(partial=False)
    assert [score.ticket for score in scorer.collect(wait=True)] == [0, 1, 2, 3]
    assert scorer.busy
    assert set(scored(scorer, [])) == {4, 5}


def test_unscorable_images_have_no_number() -> None:
    found = scored(Scorer(ToyModel(), {"unsure": Unsure(True)}, batch=2), [wanted(5, "unsure"), wanted(200, "unsure")])
    assert (found[5].scores, found[200].scores) == ({"unsure": None}, {"unsure": 1.0})


@pytest.mark.parametrize("host", [True, False])
def test_a_faulty_reward_is_told_of_the_images_it_fails_on(host: bool) -> None:
    rewards = {"faulty": Failing(host), "level": Level(host)}
    found = scored(Scorer(ToyModel(), rewards, batch=3), [wanted(5, ALL), wanted(6, "level"), wanted(66, ALL)])
    assert found[66].errors == {"faulty": "reward faulty failed: ZeroDivisionError: a fault"}
    assert (found[5].errors, found[5].scores) == ({}, {"faulty": 5.0, "level": 5.0})
    assert (found[6].errors, found[6].scores) == ({}, {"level": 6.0})


@pytest.mark.parametrize("host", [True, False])
def test_an_error_of_the_device_is_no_images_fault(host: bool) -> None:
    class Broken(Level):
        def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        scored(Scorer(ToyModel(), {"broken": Broken(host)}, batch=2), [wanted(5, "broken")])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_value_that_is_no_number_counts_as_not_scored(value: float | None) -> None:
    class Odd:
        host = False

        def score(self, images: torch.Tensor, conditions: object) -> list[float | None]:
            return [value] * len(images)

    [result] = scored(Scorer(ToyModel(), {"odd": Odd()}, batch=2), [wanted(5, "odd")]).values()
    assert result.scores == {"odd": None}


def test_only_whole_orders_are_rendered() -> None:
    found = scored(Scorer(ToyModel(), {"host": Level(True)}, batch=2), [wanted(5, ALL), wanted(6, "host")])
    assert found[6].image is None
    assert np.asarray(Image.open(io.BytesIO(found[5].image or b""))).tolist() == [[[5] * 3] * 8] * 8


def test_png_keeps_every_pixel_and_its_bytes_repeat() -> None:
    image = torch.randint(0, 256, (3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    decoded = np.asarray(Image.open(io.BytesIO(png(image))))
    assert np.array_equal(decoded, image.permute(1, 2, 0).numpy())
    assert png(image) == png(image.clone())


def test_padding_repeats_the_first_row() -> None:
    assert padded([1, 2], 4) == [1, 2, 1, 1]
    assert pad([torch.tensor([1.0]), torch.tensor([2.0])], 3).tolist() == [[1.0], [2.0], [1.0]]


def test_device_rewards_may_be_on_a_device_of_their_own() -> None:
    class Elsewhere(Level):
        def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
            return [1.0 if images.device.type == "meta" else 0.0] * len(images)

    rewards = {"device": Elsewhere(False), "host": Elsewhere(True)}
    [result] = scored(Scorer(ToyModel(), rewards, batch=2, device="meta"), [wanted(5, ALL)]).values()
    assert result.scores == {"device": 1.0, "host": 0.0}


# Lanes


class Gate(Level):
    """A host reward that is stuck until it is let go."""

    def __init__(self) -> None:
        super().__init__(True)
        self.open = threading.Event()

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        assert self.open.wait(timeout=20)
        return super().score(images, conditions)


def test_a_slow_reward_delays_only_who_asked_for_it() -> None:
    gate = Gate()
    scorer = Scorer(ToyModel(), {"slow": gate, "fast": Level(True)}, batch=4)
    for want in (wanted(1, "slow"), wanted(2, "fast"), wanted(3, ALL), wanted(4, "fast")):
        scorer.add(want)
    scorer.flush(partial=True)
    found = [scorer.collect(wait=True)]
    scorer.add(wanted(5, "fast"))  # of a later batch
    scorer.flush(partial=True)
    found.append(scorer.collect(wait=True))
    assert [[score.ticket for score in scores] for scores in found] == [[2, 4], [5]]
    gate.open.set()
    late = scored(scorer, [])
    assert {ticket: score.scores for ticket, score in late.items()} == {
        1: {"slow": 1.0},
        3: {"slow": 3.0, "fast": 3.0},
    }
    assert late[3].image is not None


def test_a_scorer_that_is_closed_ends_the_wait_of_its_rewards() -> None:
    """Work that has not begun is never done."""

    class Waiting(Gate):
        begun = threading.Semaphore(0)

        def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
            self.begun.release()
            return super().score(images, conditions)

        def close(self) -> None:
            self.open.set()

    reward = Waiting()
    scorer = Scorer(ToyModel(), {"it": reward}, batch=1)
    for ticket in (1, 2):
        scorer.add(wanted(ticket, "it"))
    scorer.flush(partial=True)
    assert reward.begun.acquire(timeout=20)
    scorer.close()
    assert reward.batches == [1]


def test_scores_are_in_one_order_whichever_lane_is_first() -> None:
    gate = Gate()
    scorer = Scorer(ToyModel(), {"b": gate, "a": Level(True), "c": Level(False)}, batch=2)
    scorer.add(wanted(3, ALL))
    scorer.flush(partial=True)
    gate.open.set()
    [found] = scored(scorer, []).values()
    assert list(found.scores) == ["c", "b", "a"]


class Concurrent(Level):
    """A reward that several threads may ask, and that needs as many of them to go on."""

    def __init__(self, threads: int, **ways: object) -> None:
        super().__init__(True)
        self.barrier = threading.Barrier(threads, timeout=20)
        vars(self).update(ways)

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        self.barrier.wait()
        return super().score(images, conditions)


def test_what_can_be_divided_has_the_threads_of_the_host() -> None:
    reward = Concurrent(3, divisible=True)
    found = scored(Scorer(ToyModel(), {"it": reward}, batch=6, threads=3), [wanted(k, "it") for k in range(6)])
    assert {ticket: score.scores["it"] for ticket, score in found.items()} == {k: float(k) for k in range(6)}
    assert reward.batches == [2, 2, 2]


def test_a_service_is_asked_for_several_batches_at_once() -> None:
    reward = Concurrent(2, concurrency=2)
    found = scored(Scorer(ToyModel(), {"it": reward}, batch=2), [wanted(k, "it") for k in range(4)])
    assert {ticket: score.scores["it"] for ticket, score in found.items()} == {k: float(k) for k in range(4)}
    assert reward.batches == [2, 2]


# Sizes of batches


class Counting(ToyModel):
    """Remembers how many images it decoded at a time."""

    def __init__(self) -> None:
        super().__init__(shape=(3, 8, 8))
        self.decoded = list[int]()

    def decode(self, x: Tensor, preview: bool = False) -> Tensor:
        self.decoded.append(len(x))
        return super().decode(x, preview)


def test_a_batch_that_is_not_full_is_padded() -> None:
    """At another size kernels may give another last bit."""
    model, device = Counting(), Level(False)
    scorer = Scorer(model, {"it": device}, batch=8)
    scored(scorer, [wanted(k, "it") for k in range(11)])
    assert model.decoded == device.batches == [8, 8]


# Images that were decoded before


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_kept_image_has_the_layout_that_it_was_decoded_in(layout: torch.memory_format) -> None:
    """Kernels may sum in another order for another one."""
    seen = list[tuple[int, ...]]()

    class LaidOut(ToyModel):
        def decode(self, x: Tensor, preview: bool = False) -> Tensor:
            return super().decode(x, preview).contiguous(memory_format=layout)

    class Strides(Level):
        def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
            seen.append(images.stride())
            return super().score(images, conditions)

    scorer = Scorer(LaidOut(shape=(3, 8, 4)), {"it": Strides(False)}, batch=2)
    for ticket, rewards in ((7, "it"), (9, ALL)):
        request = ScoreRequest(ticket, torch.zeros(3, 8, 4), 0, (rewards,), final=7)
        assert scored_by(scorer, [request])[ticket].decodes == int(ticket == 7)
    assert seen[0] == seen[1]


def test_a_final_image_is_decoded_once() -> None:
    model = Counting()
    scorer = Scorer(model, {"device": Level(False), "host": Level(True)}, batch=2)
    first = wanted(7, "host")._replace(final=7)
    again = wanted(9, ALL)._replace(final=7)
    assert scored_by(scorer, [first])[7].decodes == 1
    found = scored_by(scorer, [again])[9]
    assert (found.decodes, found.scores) == (0, {"device": 7.0, "host": 7.0})
    assert np.asarray(Image.open(io.BytesIO(found.image or b""))).tolist() == [[[7] * 3] * 8] * 8
    scorer.kept.forget([7])
    assert scored_by(scorer, [again])[9].decodes == 1
    assert model.decoded == [2, 2]


def test_kept_images_are_bounded() -> None:
    kept, image = KeptImages(most=2 * 192), torch.zeros(3, 8, 8, dtype=torch.uint8)
    for key in (1, 2, 2, 3):
        kept.keep(key, image)
    assert [key for key in (1, 2, 3) if kept.get(key) is not None] == [2, 3]


# Time


class Clocked(CpuQueue):
    """A device whose clock moves by one second at each mark."""

    def __init__(self) -> None:
        self.now = 0.0

    def mark(self) -> float:
        self.now += 1.0
        return self.now


def test_device_seconds_are_told_by_its_marks() -> None:
    load = EngineCounters()
    timeline = Timeline(load)
    scorer = Scorer(ToyModel(), {"it": Level(False)}, 2, timeline=timeline, stream=Clocked())
    found = scored(scorer, [wanted(k, "it") for k in range(4)])
    timeline.settle()
    assert [score.seconds for score in found.values()] == [1.0] * 4  # two seconds of each batch of two
    assert (load.decode, load.reward, load.noise, load.idle) == (2.0, 2.0, 0.0, 0.0)


def test_what_runs_side_by_side_is_counted_once() -> None:
    load = EngineCounters()
    timeline = Timeline(load)
    timeline.add("pass", 0, 4)
    timeline.add("decode", 3, 6)
    timeline.add("reward", 6, 7)
    timeline.add("noise", 1, 2)  # beside a pass
    timeline.add("awaiting", 5, 9)
    timeline.settle(6.5)
    assert (load.decode, load.reward, load.noise, load.idle, load.awaiting) == (2, 0.5, 0, 0, 0)
    timeline.settle()
    assert (load.decode, load.reward, load.noise, load.idle, load.awaiting) == (2, 1, 0, 2, 2)
    assert load.seconds + 4 + load.decode + load.reward + load.idle == 9


def scored_by(scorer: Scorer, asked: list[ScoreRequest]) -> dict[int, ScoreResult]:
    """Scores of requests, by a scorer that goes on."""
    for want in asked:
        scorer.add(want)
    scorer.flush(partial=True)
    done: list[ScoreResult] = []
    while scorer.busy:
        done += scorer.collect(wait=True)
    return {score.ticket: score for score in done}
