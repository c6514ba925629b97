"""The plan of a trajectory."""

from __future__ import annotations

from tts.plan import Plan
from tts.testing.toy import AHEAD, EVERY, GAPPY, SILENT


def test_actions_are_the_injecting_steps() -> None:
    assert GAPPY.noisy_steps == (1, 3, 4)
    assert EVERY.noisy_steps == (0, 1, 2, 3)
    assert SILENT.noisy_steps == ()


def test_next_action_includes_the_step_itself() -> None:
    assert [GAPPY.next_noisy_step(step) for step in range(7)] == [1, 1, 3, 3, 4, 6, 6]


def test_nfe_sums_the_calls_of_a_range() -> None:
    assert (GAPPY.nfe(), GAPPY.nfe(4), GAPPY.nfe(1, 3), GAPPY.nfe(3, 3)) == (11, 3, 4, 0)


def test_the_opening_is_paid_once_and_only_from_the_initial_noise() -> None:
    assert (AHEAD.nfe(), AHEAD.nfe(stop=1), AHEAD.nfe(0), AHEAD.nfe(0, 2)) == (4, 2, 3, 2)


def test_guidance_pays_every_forward_twice() -> None:
    assert AHEAD.times(2) == Plan((2, 2, 2, 0), (True,) * 4, initial_nfe=2, back=2)
