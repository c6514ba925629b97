"""The rules of every search, and the sentence for one that breaks a rule.

Whoever runs a search (:func:`tts.playing.play`, the toy world of :mod:`tts.testing`) asks these functions about all
that it yields and returns, so that a fault of a search ends that search and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from tts.errors import SearchError
from tts.noise import Noise
from tts.plan import NO_LEAPS, Plan
from tts.recipe import fault
from tts.search.action_rules import check_action, check_noise, short
from tts.search.base import Problem, Run, Search
from tts.search.segment import Evaluation, Segment, State

IDLE_ROUNDS = 10_000
"""Lists without a single forward that a search may ask for in a row."""

EXAMPLE = "'candidates = yield [problem.step(state, noise)]'"


def begin(search: Search, problem: Problem) -> Run:
    """A search at work.

    Raises:
        SearchError: its ``run`` is no generator.
    """
    run: Any = search.run(problem)
    if not isinstance(run, Generator):
        raise SearchError(
            f"run() returned {short(run)}; it must be a generator of lists of segments, as in {EXAMPLE}, or return one"
        )
    return run


def checked(yielded: object, problem: Problem, held: Callable[[State], bool]) -> list[Segment]:
    """The segments that a search asks for.

    Args:
        yielded: whatever it yielded.
        problem: what it searches.
        held: whether a state is one that the search was given, and still holds.

    Raises:
        SearchError: they cannot be evaluated; the message says what a search must yield.
    """
    if not isinstance(yielded, list | tuple):
        raise SearchError(f"yielded {short(yielded)}; a search yields lists of segments, as in {EXAMPLE}")
    for segment in yielded:
        _check(segment, problem)
        if isinstance(segment.start, State) and not held(segment.start):
            raise SearchError(
                f"starts from a state at step {segment.start.step} that it was not given, or has let go; keep the "
                "evaluations that you go on from, and start from their 'state' itself"
            )
    return list(yielded)


def chosen(returned: object, problem: Problem) -> Evaluation:
    """The evaluation that a search ended with.

    Raises:
        SearchError: it is not an evaluation of a finished trajectory.
    """
    if not isinstance(returned, Evaluation):
        raise SearchError(
            f"ended with {short(returned)}; a search must return the evaluation that it chose, as in "
            "'return best(candidates)'"
        )
    if returned.state.step != problem.plan.steps:
        raise SearchError(
            f"ended at step {returned.state.step} of {problem.plan.steps}; a search must return an evaluation of a "
            "finished trajectory"
        )
    return returned


class Meter:
    """Holds a search to the forwards that its ``nfe(plan)`` names, so that one that never ends is stopped.

    Args:
        search: who spends.
        plan: what a trajectory costs.
    """

    def __init__(self, search: Search, plan: Plan) -> None:
        self.limit, self.spent, self._idle = search.nfe(plan), 0, 0

    def add(self, nfe: int) -> None:
        """Count the forwards of one list of segments.

        Raises:
            SearchError: they are too many, or there were none for a very long time.
        """
        self.spent += nfe
        self._idle = 0 if nfe else self._idle + 1
        if self.spent > self.limit:
            raise SearchError(
                f"has spent {self.spent} forwards where its nfe(plan) says at most {self.limit}; correct nfe(), or end "
                "the search in time"
            )
        if self._idle > IDLE_ROUNDS:
            raise SearchError(f"has asked {self._idle} times in a row for nothing that costs a forward; it never ends")


def _check(segment: Any, problem: Problem) -> None:
    """Refuse a segment that no engine could evaluate for this problem."""
    if not isinstance(segment, Segment):
        raise SearchError(f"yielded a list with {short(segment)} in it; every entry must be a Segment, as in {EXAMPLE}")
    if not isinstance(segment.start, State | Noise):
        raise SearchError(f"starts a segment from {short(segment.start)}; start from a state or from an initial noise")
    _check_actions(segment, problem.plan)
    if segment.condition != problem.condition:
        raise SearchError(f"draws {segment.condition!r}; a search draws its problem's condition, {problem.condition!r}")
    _check_look(segment.ahead, segment, problem.plan)
    if segment.rewards and not segment.ahead and not problem.plan.predicts(segment.recipe[1:]):
        raise SearchError(
            f"asks for a reward at step {segment.stop}, where this sampler has predicted no image yet: nothing was "
            "stepped since the initial noise or the way back; take a step first, or look ahead (ahead=1)"
        )
    for name in segment.rewards:
        if name not in problem.rewards:
            known = " and ".join(map(repr, problem.rewards))
            raise SearchError(f"asks for the reward {name!r}; it may search on {known} only")


def _check_actions(segment: Segment, plan: Plan) -> None:
    """Refuse noises that cannot be made or compared, and ways that lead off the trajectory."""
    if isinstance(segment.start, Noise):
        check_noise(segment.start)
    if not isinstance(segment.noises, tuple):
        raise SearchError(f"has {short(segment.noises)} for a segment's noises; give a tuple")
    for action in segment.noises:
        check_action(action)
    if (reason := fault(segment.first, segment.noises, plan.steps)) is not None:
        raise SearchError(reason)


def _check_look(ahead: Any, segment: Segment, plan: Plan) -> None:
    """Refuse a look ahead that cannot be taken, or whose image no reward is asked for."""
    if not isinstance(ahead, int) or isinstance(ahead, bool) or ahead < 0:
        raise SearchError(f"looks ahead by {short(ahead)}; ahead is a number of steps, 0 or more")
    if ahead and not segment.rewards:
        raise SearchError("looks ahead and asks for no reward; give scored=True, or leave 'ahead' out")
    if ahead and not plan.leaps:
        raise SearchError(NO_LEAPS)
