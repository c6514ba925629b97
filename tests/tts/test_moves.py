"""Every kind of move against its closed form, its record, and its result in another process."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from bench.store.schema import MOVE
from tts.moves import KINDS, AnyMove, Band, Box, Mixture, Move, Turn, band, check_band, from_record
from tts.noise import Array, Noise, NoiseBank, normal

SHAPE = (4, 64, 64)
MOVES: list[AnyMove] = [
    Move(3, 0.15),
    Turn(3, 0.15),
    Mixture((4, 5), (0.5, -2.0), 1.0),
    Box(3, 0.8, 0.4),
    Band(5, tuple(float(k) for k in range(16))),
]


@pytest.fixture
def z() -> Array:
    return normal(1, SHAPE)


def test_all_kinds_are_tested() -> None:
    assert {type(move) for move in MOVES} == set(KINDS.values())


@pytest.mark.parametrize("move", MOVES, ids=lambda move: type(move).__name__)
def test_records_round_trip_through_json_and_parquet(move: AnyMove) -> None:
    assert from_record(json.loads(json.dumps(move.record()))) == move
    [row] = pa.array([move.record()], MOVE).to_pylist()
    assert from_record(row) == move


def test_moves_of_two_kinds_are_never_equal() -> None:
    assert Move(3, 0.5) != Turn(3, 0.5)
    assert len({Noise(1, (Move(3, 0.5),)), Noise(1, (Turn(3, 0.5),))}) == 2


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind, 'leap'"):
        from_record({"kind": "leap", "seed": 1, "radius": 1.0})


@pytest.mark.parametrize("move", MOVES, ids=lambda move: type(move).__name__)
def test_a_move_is_a_pure_function_and_changes_nothing_in_place(move: AnyMove, z: Array) -> None:
    before = z.copy()
    first, second = move.applied(z), move.applied(z)
    assert first.dtype == np.float32
    assert first.shape == SHAPE
    assert np.array_equal(first, second)
    assert np.array_equal(z, before)
    assert not np.array_equal(first, z)


def test_a_step_has_its_length(z: Array) -> None:
    assert np.linalg.norm(Move(3, 0.15).applied(z) - z) == pytest.approx(0.15 * math.sqrt(z.size), rel=1e-5)


@pytest.mark.parametrize("b", [0.1, 0.3, 0.9])
def test_a_turn_keeps_the_distribution_and_has_its_angle(b: float, z: Array) -> None:
    turned = Turn(3, b).applied(z)
    np.testing.assert_allclose(turned, math.sqrt(1 - b * b) * z + b * normal(3, SHAPE), atol=1e-6)
    assert turned.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(turned.ravel(), z.ravel())[0, 1] == pytest.approx(math.sqrt(1 - b * b), abs=0.02)


def test_turns_end_at_the_noise_and_at_a_fresh_one(z: Array) -> None:
    assert np.array_equal(Turn(3, 0.0).applied(z), z)
    assert np.array_equal(Turn(3, 1.0).applied(z), normal(3, SHAPE))


def test_a_mixture_has_unit_length_and_its_weights(z: Array) -> None:
    mixed = Mixture((4, 5), (3.0, -4.0), 0.0).applied(z)
    assert np.linalg.norm(mixed) == pytest.approx(math.sqrt(z.size), rel=1e-6)
    np.testing.assert_allclose(mixed, (3 * normal(4, SHAPE) - 4 * normal(5, SHAPE)) / 5, atol=0.1)
    same = Mixture((4, 5), (6.0, -8.0), 0.0).applied(z)
    np.testing.assert_allclose(same, mixed, atol=1e-6)


def test_a_mixture_with_its_own_weight_alone_is_the_noises_direction(z: Array) -> None:
    mixed = Mixture((), (), 2.0).applied(z)
    np.testing.assert_allclose(mixed / mixed.std(), z / z.std(), atol=0.01)
    assert np.array_equal(Mixture((4,), (0.0,), 0.0).applied(z), z)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_box_moves_its_share_within_its_cube(share: float, z: Array) -> None:
    shift = Box(3, 0.8, share).applied(z).astype(np.float64) - z
    moved = shift[shift != 0]
    assert moved.size / z.size == pytest.approx(share, abs=0.02)
    assert np.abs(moved).max() <= 0.4 + 1e-6
    assert moved.std() == pytest.approx(0.8 / math.sqrt(12), rel=0.05)


@pytest.mark.parametrize("level", [1, 3, 5])
def test_a_band_is_read_back_and_the_rest_stays(level: int, z: Array) -> None:
    wanted = tuple(np.linspace(-2, 2, band(z, level).size))
    changed = Band(level, wanted).applied(z)
    np.testing.assert_allclose(band(changed, level).ravel(), wanted, atol=1e-5)
    size = 2**level

    def details(noise: Array) -> Array:
        blocks = noise.reshape(4, 64 // size, size, 64 // size, size)
        return blocks - blocks.mean(axis=(2, 4), keepdims=True)

    np.testing.assert_allclose(details(changed), details(z), atol=1e-5)


def test_a_band_of_a_normal_noise_is_normal() -> None:
    values = np.concatenate([band(normal(seed, SHAPE), 5).ravel() for seed in range(200)])
    assert values.mean() == pytest.approx(0, abs=0.06)
    assert values.std() == pytest.approx(1, abs=0.05)


def test_the_present_band_changes_nothing(z: Array) -> None:
    same = Band(5, tuple(band(z, 5).ravel())).applied(z)
    np.testing.assert_allclose(same, z, atol=1e-6)


@pytest.mark.parametrize(("level", "values", "shape"), [(5, (1.0,), SHAPE), (7, (1.0,) * 4, SHAPE), (1, (1.0,), (3,))])
def test_a_band_that_does_not_fit_is_refused(level: int, values: tuple[float, ...], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="band of level"):
        Band(level, values).applied(normal(1, shape))


def test_no_band_is_deeper_than_any_image() -> None:
    with pytest.raises(ValueError, match="have no band of level 17"):
        check_band((3, 2**17, 2**17), 17)


def test_a_recipe_may_have_moves_of_all_kinds_in_any_bank() -> None:
    noise = Noise(1)
    for move in MOVES:
        noise = noise.with_move(move)
    wide, narrow = NoiseBank(SHAPE), NoiseBank(SHAPE, keep_bytes=1)
    assert np.array_equal(wide(noise), narrow(noise))
    assert np.array_equal(wide(noise), wide(noise))


def test_a_bank_keeps_no_more_bytes_than_it_may() -> None:
    bank = NoiseBank(SHAPE, keep_bytes=5 * 4 * 64 * 64 * 4)
    for seed in range(9):
        bank(Noise(seed))
    assert len(bank._recent) == 5


def test_values_are_the_same_in_another_process(fresh_python: Callable[..., str]) -> None:
    code = (
        "import hashlib; from tts.moves import *; from tts.noise import Noise, NoiseBank\n"
        f"noise = Noise(1, tuple({MOVES!r}))\n"
        f"print(hashlib.sha256(NoiseBank({SHAPE})(noise).tobytes()).hexdigest())"
    )
    assert fresh_python(code, 1) == fresh_python(code, 2)
