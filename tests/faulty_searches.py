"""Searches of which each breaks one rule."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tts.noise import Band, Mixture, Move, Noise, Turn
from tts.plan import Plan
from tts.recipe import Back
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


class ExitsWhenClosed(Naive):
    def run(self, problem: Any) -> Any:
        try:
            yield 3
        finally:
            raise SystemExit(3)


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


class YieldsNone(Naive):
    def run(self, problem: Any) -> Any:
        yield None


class YieldsZero(Naive):
    def run(self, problem: Any) -> Any:
        yield 0


class ListsNoises(Naive):
    """Gives a list, which has no hash; unscored, so that nothing else is made of it before trials are compared."""

    def run(self, problem: Any) -> Any:
        [end] = yield [Segment(problem.noise(-1), [*problem.trajectory().noises], problem.condition)]  # type: ignore[arg-type]
        return end


class Begins(Naive):
    """Base of searches that begin with a noise that cannot be."""

    first: ClassVar[Any]

    def run(self, problem: Any) -> Any:
        [end] = yield [Segment(self.first, problem.trajectory().noises, problem.condition, problem.reward)]
        return end


class ListsMoves(Begins):
    first = Noise(5, [Move(6, 0.1)])  # type: ignore[arg-type]


class ListsSeeds(Begins):
    first = Noise(5).with_move(Mixture([1, 2], (0.5, 0.5)))  # type: ignore[arg-type]


class ListsWeights(Begins):
    first = Noise(5).with_move(Mixture((1, 2), [0.5, 0.5]))  # type: ignore[arg-type]


class ListsValues(Begins):
    first = Noise(5).with_move(Band(1, [0.5]))  # type: ignore[arg-type]


class MixesUnequally(Begins):
    first = Noise(5).with_move(Mixture((1, 2), (0.5,)))


class SeedsBelowZero(Begins):
    first = Noise(-1)


class SeedsBeyondRows(Begins):
    first = Noise(5, (Move(1 << 63, 0.1),))


class SeedsByHalves(Begins):
    first = Noise(0.5)  # type: ignore[arg-type]


class SeedsOfNumpy(Begins):
    first = Noise(np.int64(5))  # type: ignore[arg-type]


class MovesByNumpy(Begins):
    first = Noise(5).moved(6, np.float32(0.1))  # type: ignore[arg-type]


class TurnsTooFar(Begins):
    first = Noise(5).with_move(Turn(6, 1.5))


class MovesNowhere(Begins):
    first = Noise(5).moved(6, math.nan)


class SinksTooDeep(Begins):
    first = Noise(5).with_move(Band(1000, (0.5,)))


class MakesMoves(Begins):
    first = Noise(5, ("move",))  # type: ignore[arg-type]


class GoesBackByHalves(Naive):
    def run(self, problem: Any) -> Any:
        actions = (None, Back(Noise(5), 0.5), *problem.trajectory().noises)  # type: ignore[arg-type]
        [end] = yield [Segment(problem.noise(-1), actions, problem.condition, problem.reward)]
        return end


class GoesBackByNothing(Naive):
    def run(self, problem: Any) -> Any:
        actions = (None, Back(None, 0), *problem.trajectory().noises)  # type: ignore[arg-type]
        [end] = yield [Segment(problem.noise(-1), actions, problem.condition, problem.reward)]
        return end


class SuitsNobody(Naive):
    def suits(self, plan: Plan, rewards: Sequence[str]) -> None:
        raise KeyError("steps")
