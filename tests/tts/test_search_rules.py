"""A search that breaks a rule gets an error that names the rule, and leaves the engine as it was."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest
from toy_engine import toy_engine

import tts
from tts.errors import SearchError
from tts.search.base import Problem, Run
from tts.search.naive import Naive
from tts.search.segment import Segment, State, best

pytestmark = pytest.mark.usefixtures("one_thread")


class Told(Naive):
    """A search whose requests a test sets."""

    def run(self, problem: Problem) -> Run:
        return FAULTS[FAULT[0]](problem)


FAULT = [""]


def forgets_to_yield(problem: Problem) -> Any:
    return [problem.trajectory()]


def yields_a_segment(problem: Problem) -> Any:
    return (yield problem.trajectory())


def yields_numbers(problem: Problem) -> Any:
    return (yield [1])


def ends_with_none(problem: Problem) -> Any:
    yield [problem.trajectory()]


def ends_early(problem: Problem) -> Any:
    [start] = yield [Segment(problem.noise(-1), (None,), problem.condition)]
    return start


def starts_from_a_copy(problem: Problem) -> Any:
    [start] = yield [Segment(problem.noise(-1), (None,), problem.condition)]
    copy = State(start.state.key, start.state.engine, start.state.step, start.state.noises)
    del start
    return best((yield [Segment(copy, (None,) * 6, problem.condition)]))


def asks_for_another_reward(problem: Problem) -> Any:
    return best((yield [problem.trajectory(scored="compressibility")]))


def goes_too_far(problem: Problem) -> Any:
    return best((yield [Segment(problem.noise(-1), (None,) * 9, problem.condition)]))


def draws_something_else(problem: Problem) -> Any:
    return best((yield [replace(problem.trajectory(), condition=7)]))


def never_ends(problem: Problem) -> Any:
    while True:
        yield [problem.trajectory()]


def never_does_anything(problem: Problem) -> Any:
    while True:
        yield []


def gives_odd_noises(problem: Problem) -> Any:
    return best((yield [replace(problem.trajectory(), noises=(0.5,) * 7)]))


def starts_from_a_seed(problem: Problem) -> Any:
    return best((yield [replace(problem.trajectory(), start=5)]))


FAULTS: dict[str, Any] = {
    "returned a list": forgets_to_yield,
    "yielded a Segment.*; a search yields lists of segments": yields_a_segment,
    r"a list with a int \(1\) in it; every entry must be a Segment": yields_numbers,
    "ended with None; a search must return the evaluation that it chose": ends_with_none,
    "ended at step 1 of 7; a search must return an evaluation of a finished trajectory": ends_early,
    "starts from a state at step 1 that it was not given, or has let go": starts_from_a_copy,
    "asks for the reward 'compressibility'; it may search on 'brightness' only": asks_for_another_reward,
    "goes on to step 9; this problem's trajectories have 7 steps": goes_too_far,
    "draws 7; a search draws its problem's condition, 1": draws_something_else,
    r"has spent 26 forwards where its nfe\(plan\) says at most 13": never_ends,
    "times in a row for nothing that costs a forward; it never ends": never_does_anything,
    r"has a float \(0.5\) among a segment's noises": gives_odd_noises,
    r"starts a segment from a int \(5\)": starts_from_a_seed,
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_search_that_breaks_a_rule_is_told_which(message: str) -> None:
    """Afterwards the engine is as it was."""
    engine, FAULT[0] = toy_engine(), message
    with pytest.raises(SearchError, match=message) as found:
        tts.play(Told(), Problem(1, 0, engine.model.sampler.plan, "brightness"), engine)
    assert "\n" not in str(found.value)
    del found
    gc.collect()
    assert (engine.states, engine.busy) == ({}, False)
