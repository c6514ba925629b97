"""Searches of which each breaks one rule."""

from __future__ import annotations

import copy
from typing import Any

from tts.noise import Noise
from tts.plan import Plan
from tts.search.naive import Naive
from tts.search.segment import Segment, State


class YieldsNoList(Naive):
    def run(self, problem: Any) -> Any:
        [end] = yield problem.trajectory()
        return end


class YieldsNoSegments(Naive):
    def run(self, problem: Any) -> Any:
        [end] = yield ["segment"]
        return end


class YieldsNumber(Naive):
    def run(self, problem: Any) -> Any:
        yield 3


class ReturnsList(Naive):
    def run(self, problem: Any) -> Any:
        return [problem.trajectory()]


class EndsWithNone(Naive):
    def run(self, problem: Any) -> Any:
        yield [problem.trajectory()]


class EndsEarly(Naive):
    def run(self, problem: Any) -> Any:
        [start] = yield [problem.step(State(0, 0, 0, ()), None)] if False else [problem.trajectory()]
        return start.state


class LetsGo(Naive):
    """Starts from a state that it has released, of which it kept only the numbers."""

    def run(self, problem: Any) -> Any:
        [end] = yield [problem.trajectory()]
        state = end.state
        kept = State(state.key, state.engine, 0, state.noises[:1])
        del end, state
        [end] = yield [Segment(kept, (None,) * problem.plan.steps, problem.condition, problem.reward)]
        return end


class Invents(Naive):
    def run(self, problem: Any) -> Any:
        [end] = yield [problem.step(State(12345, 0, 0, (Noise(1),)), None)]
        return end


class EndsWithCopy(Naive):
    def run(self, problem: Any) -> Any:
        [end] = yield [problem.trajectory()]
        state = State(end.state.key, end.state.engine, end.state.step, end.state.noises)
        return type(end)(state, 1.0, end.nfe)


class AsksForUnknown(Naive):
    def run(self, problem: Any) -> Any:
        segment = problem.trajectory()
        [end] = yield [Segment(segment.start, segment.noises, segment.condition, "beauty")]
        return end


class AsksForHeldOut(Naive):
    def run(self, problem: Any) -> Any:
        segment = problem.trajectory()
        [end] = yield [Segment(segment.start, segment.noises, segment.condition, "compressibility")]
        return end


class AsksForAll(Naive):
    def run(self, problem: Any) -> Any:
        segment = problem.trajectory()
        [end] = yield [Segment(segment.start, segment.noises, segment.condition, "*")]
        return end


class GoesTooFar(Naive):
    def run(self, problem: Any) -> Any:
        segment = problem.trajectory()
        [end] = yield [Segment(segment.start, (*segment.noises, None), segment.condition, problem.reward)]
        return end


class DrawsAnother(Naive):
    def run(self, problem: Any) -> Any:
        segment = problem.trajectory()
        [end] = yield [Segment(segment.start, segment.noises, 9, problem.reward)]
        return end


class TakesNoNoise(Naive):
    def run(self, problem: Any) -> Any:
        segment = problem.trajectory()
        [end] = yield [Segment(segment.start, (0.5,) * problem.plan.steps, segment.condition, problem.reward)]  # type: ignore[arg-type]
        return end


class Overspends(Naive):
    def run(self, problem: Any) -> Any:
        number = 0
        while True:
            yield [problem.trajectory(number)]
            number += 1


class NeverEnds(Naive):
    def run(self, problem: Any) -> Any:
        while True:
            yield []


class ScoresForEver(Naive):
    def run(self, problem: Any) -> Any:
        [end] = yield [problem.trajectory()]
        while True:
            yield [Segment(end.state, (), problem.condition, problem.reward)]


class Raises(Naive):
    def run(self, problem: Any) -> Any:
        yield [problem.trajectory()]
        raise KeyError("mine")


class Exits(Naive):
    def run(self, problem: Any) -> Any:
        yield [problem.trajectory()]
        raise SystemExit(3)


class WillNotClose(Naive):
    """Fails, and fails again when it is closed."""

    def run(self, problem: Any) -> Any:
        try:
            yield [problem.trajectory()]
            yield 3
        finally:
            raise OSError("still here")


class KeepsCopies(Naive):
    """Breaks no rule: a copy of a state counts as the state."""

    def run(self, problem: Any) -> Any:
        [end] = yield [problem.trajectory()]
        copies = [copy.copy(end.state), copy.deepcopy(end.state)]
        del copies
        return end


class CannotCount(Naive):
    def nfe(self, plan: Plan) -> int:
        raise ZeroDivisionError("no plan")


class CountsHalves(Naive):
    def depth(self, plan: Plan) -> int:
        return 0.5  # type: ignore[return-value]


class CountsNothing(Naive):
    def nfe(self, plan: Plan) -> int:
        return 0
