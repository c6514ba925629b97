"""Every search keeps to the rules of :class:`tts.testing.SearchConformance`, and the rules catch those that do not."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
from pydantic import ConfigDict, Field
from toy import SEARCHES

from tts.errors import SettingError
from tts.noise import Noise
from tts.plan import Plan
from tts.search.base import Problem, Run, Search, step_by_step
from tts.search.segment import Segment, State, best
from tts.testing.search import SearchConformance


class TestSearches(SearchConformance):
    """Every search of the package."""

    @pytest.fixture(params=SEARCHES)
    def search(self, request: pytest.FixtureRequest) -> Search:
        return SEARCHES[request.param]


@dataclass
class Memory:
    """Global state by which a faulty search affects its next run."""

    runs: int = 0


MEMORY = Memory()


class Picker(Search):
    """The better of two trajectories: the search from which the faulty ones are derived."""

    budget: ClassVar[str | None] = "N"
    N: int = Field(2, ge=1)

    def run(self, problem: Problem) -> Run:
        return best((yield [problem.trajectory(k) for k in range(self.N)]))

    def nfe(self, plan: Plan) -> int:
        return self.N * plan.nfe()

    def depth(self, plan: Plan) -> int:
        return plan.nfe()


class Stepper(Picker):
    """A search with one noise per step."""

    def nfe(self, plan: Plan) -> int:
        return plan.nfe()

    def run(self, problem: Problem) -> Run:
        return step_by_step(problem, lambda state: (yield [problem.step(state, problem.noise(state.step))])[0])


class Lossy(Picker):
    secret: object = Field(default_factory=object, exclude=True)


class Lax(Picker):
    model_config = ConfigDict(extra="ignore")


class BudgetOfNothing(Picker):
    budget: ClassVar[str | None] = "K"


class CheaperWithMore(Picker):
    def nfe(self, plan: Plan) -> int:
        return 100 // self.N


class Cheap(Picker):
    def nfe(self, plan: Plan) -> int:
        return plan.nfe()


class Dear(Picker):
    def nfe(self, plan: Plan) -> int:
        return 9 * plan.nfe()


class Deep(Picker):
    def depth(self, plan: Plan) -> int:
        return 2 * plan.nfe()


class Inventor(Picker):
    def run(self, problem: Problem) -> Run:
        chosen = yield from super().run(problem)
        return replace(chosen, state=replace(chosen.state))


class Blind(Picker):
    def run(self, problem: Problem) -> Run:
        first, *_ = yield [replace(problem.trajectory(k), rewards=()) for k in range(self.N)]
        return first


class Dice(Picker):
    def run(self, problem: Problem) -> Run:
        return best((yield [problem.trajectory(random.randrange(1000)) for _ in range(self.N)]))


class Rememberer(Picker):
    def run(self, problem: Problem) -> Run:
        MEMORY.runs += 1
        return best((yield [problem.trajectory(MEMORY.runs + k) for k in range(self.N)]))


class Stubborn(Picker):
    def run(self, problem: Problem) -> Run:
        still = (None,) * problem.plan.steps
        return best((yield [Segment(Noise(k), still, problem.condition, problem.reward) for k in (1, 2)]))


class NeedsScores(Picker):
    def run(self, problem: Problem) -> Run:
        found = yield [problem.trajectory(k) for k in range(self.N)]
        return max(found, key=lambda each: each.reward + 0.0)  # type: ignore[operator]


class Divider(Picker):
    def run(self, problem: Problem) -> Run:
        found = yield [problem.trajectory(k) for k in range(self.N)]
        weights = [math.exp(max(each.value, -1.0)) for each in found]
        return found[weights.index(max(weights))]


class Forgetful(Picker):
    def run(self, problem: Problem) -> Run:
        [start] = yield [problem.start()]
        key, step, noises = start.state.key, start.state.step, start.state.noises
        del start
        state = State(key, 0, step, noises)
        yield []
        return best((yield [problem.advance(state, scored=True)]))

    def nfe(self, plan: Plan) -> int:
        return plan.nfe()


class Sorter(Picker):
    def run(self, problem: Problem) -> Run:
        found = yield [problem.trajectory(k) for k in range(self.N)]
        found.sort(key=lambda each: -each.value)
        return found[0]


class Wasteful(Stepper):
    def run(self, problem: Problem) -> Run:
        noises = tuple(problem.noise(step) for step in range(problem.plan.steps))
        return best((yield [replace(problem.trajectory(), noises=noises)]))


class Choosy(Picker):
    """Needs many steps that inject noise, and says so."""

    def suits(self, plan: Plan, rewards: Sequence[str]) -> None:
        if len(plan.noisy_steps) < 4:
            raise SettingError("search choosy: needs 4 steps that inject noise")

    def run(self, problem: Problem) -> Run:
        assert len(problem.plan.noisy_steps) > 3  # suits() has refused the others
        return super().run(problem)


class Hermit(Picker):
    def suits(self, plan: Plan, rewards: Sequence[str]) -> None:
        raise SettingError("search hermit: suits nothing")


FAULTY: dict[type[Search], tuple[str, str]] = {
    Lossy: ("settings", "its settings change when they are written and read again"),
    Lax: ("unknown_settings", "takes a setting that it does not have"),
    BudgetOfNothing: ("budget", "budget = 'K' names no setting that is a number"),
    CheaperWithMore: ("budget", "with twice the N its nfe falls from 50 to 25"),
    Cheap: ("spending", "has spent 8 forwards where its nfe(plan) says at most 4"),
    Dear: (
        "spending",
        "spends 8 forwards where nfe(plan) says 36 (plan 'every', seed 0); correct nfe(), or set 'exact",
    ),
    Deep: ("depth", "waits for 4 forwards where depth(plan) says 8"),
    Inventor: ("choice", "returns an evaluation that it was not given"),
    Blind: ("choice", "has 2 finished trajectories and returns one that was not scored"),
    Dice: ("repeats", "asks for other segments when it runs again"),
    Rememberer: ("repeats", "asks for other segments when it runs again"),
    Stubborn: ("seeds", "asks for the same with another seed"),
    NeedsScores: ("unscored", "unsupported operand"),
    Divider: ("extremes", "math range error"),
    Forgetful: ("states", "it was not given, or has let go"),
    Sorter: ("answers", "changes a list of evaluations that it was given"),
    Wasteful: ("noises", "gives a noise to step 0, which injects none"),
    Hermit: ("spending", "refuses each plan that it is checked on; of plan 'every' it says: search hermit: suits"),
}


@pytest.mark.parametrize("kind", [Picker, Stepper, Choosy])
def test_sound_searches_pass(kind: type[Search]) -> None:
    for name, method in vars(SearchConformance).items():
        if name.startswith("test_"):
            method(SearchConformance(), kind())


@pytest.mark.parametrize("kind", FAULTY)
def test_a_rule_that_is_broken_is_named(kind: type[Search]) -> None:
    rule, message = FAULTY[kind]
    with pytest.raises(Exception, match=re.escape(message)):
        getattr(SearchConformance(), f"test_{rule}")(kind())
