"""Decoding and scoring in batches, on the device and beside it."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from odd_errors import Mute, Panic
from PIL import Image
from scored_levels import Counting, Level, scored, wanted
from torch import Tensor

from tts.engine.padding import pad, padded
from tts.engine.scoring import Scorer
from tts.media import png
from tts.plan import Condition
from tts.search.segment import ALL
from tts.testing.toy_model import ToyModel


class Unsure(Level):
    """Cannot score dark images."""

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        return [None if image.max() < 128 else 1.0 for image in images]


class Failing(Level):
    """A faulty reward that fails on one image."""

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        if (images[:, 0, 0, 0] == 66).any():
            raise ZeroDivisionError("a fault")
        return super().score(images, conditions)


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
    """Batches have one fixed shape; CPU rewards get no padding."""
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


class Odd:
    """A reward and a metric of an odd fault."""

    host = False

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        raise self.error

    def features(self, images: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize(
    ("error", "says"), [(SystemExit(0), "SystemExit: 0"), (Panic("rust"), "Panic: rust"), (Mute(), "Mute: Mute")]
)
def test_whatever_users_code_raises_is_an_error_of_its_images(error: BaseException, says: str) -> None:
    """Nothing of it ends a run, least of all with exit code 0."""
    made = Scorer(ToyModel(), {"odd": Odd(error)}, batch=2, metrics={"seen": Odd(error)})
    [result] = scored(made, [wanted(5, ALL)]).values()
    assert result.errors == {"odd": f"reward odd failed: {says}", "seen": f"metric seen failed: {says}"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e101, None])
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


def test_a_batch_that_is_not_full_is_padded() -> None:
    """With another batch size, kernels may give other last bits."""
    model, device = Counting(), Level(False)
    scorer = Scorer(model, {"it": device}, batch=8)
    scored(scorer, [wanted(k, "it") for k in range(11)])
    assert model.decoded == device.batches == [8, 8]
