"""Verifier ensemble by ranks (Ma et al. 2025, arXiv 2501.09732, Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from pydantic import Field, model_validator

from tts.errors import SettingError
from tts.plan import Plan
from tts.registry import SEARCHES
from tts.search.base import Problem, Run, Search
from tts.search.segment import Evaluation, Segment


class RankEnsemble(Search):
    """Another search whose candidates are ranked by several rewards; the least sum of ranks is the best.

    Wherever it compares candidates, each reward ranks these among themselves, as the paper does; the reward
    ``rank_average`` ranks an image in a fixed sample instead, so that its value is the image's own. Equal values share
    their ranks; of equal sums the first wins.
    """

    advice: ClassVar[str] = (
        "Several rewards of different scales: no weights are to be chosen, and what fools one of them need not fool "
        "the others. The rewards that it ranks by are those of the run, or some of them."
    )
    budget: ClassVar[str] = "size"
    search: str | dict[str, Any] = Field("best_of_n", description="a name, or {name: ..., setting: value}")
    of: list[str] = Field([], description="rewards that rank, all of them searched on in the run; empty: all of these")
    size: int = Field(4, ge=0, description="value of the other search's own budget setting, as N of best_of_n")

    @model_validator(mode="after")
    def _ordinal(self) -> RankEnsemble:
        try:
            search = self.inner
        except SettingError as error:
            raise ValueError(str(error)) from None
        if not search.ordinal:
            raise ValueError(f"search: {self._name} asks how much better a candidate is, which ranks do not tell")
        return self

    @property
    def _name(self) -> object:
        return self.search if isinstance(self.search, str) else self.search.get("name")

    @cached_property
    def inner(self) -> Search:
        """The other search."""
        given = {"name": self.search} if isinstance(self.search, str) else dict(self.search)
        setting = SEARCHES.get(given.get("name")).budget
        if setting is None:
            raise SettingError(f"search: {self._name} has no setting that grows with size")
        if setting in given:
            raise SettingError(f"search: its {setting} is set by size; take it out of search")
        return SEARCHES.make({**given, setting: self.size})[1]

    @property
    def ordinal(self) -> bool:
        """False, so that a rank ensemble takes no other one as its search."""
        return False

    @property
    def played(self) -> Search:
        """The other search."""
        return self.inner.played

    def inner_code(self) -> dict[str, Any]:
        """The other search's code if it is not registered, its version if not 1, and the same of one inside it."""
        found = {"code": SEARCHES.origin(self.search), "version": self.inner.version, "inner": self.inner.inner_code()}
        return {key: value for key, value in found.items() if value not in (None, 1, {})}

    def suits(self, plan: Plan, rewards: Sequence[str]) -> None:
        """Refuse rewards that the run does not search on, and what the other search refuses."""
        self._names(rewards)
        self.inner.suits(plan, rewards)

    def fits(self, shape: tuple[int, ...]) -> None:
        """Refuse what the other search refuses."""
        self.inner.fits(shape)

    def run(self, problem: Problem) -> Run:
        """Plays the inner rounds with candidates ranked by every reward; the best mean rank wins."""
        names, search = self._names(problem.rewards), self.inner.run(problem)
        asked = next(search)
        while True:
            found = yield [_by(segment, problem, names) for segment in asked]
            try:
                asked = search.send([replace(each, ranked=names) for each in found])
            except StopIteration as stop:
                chosen: Evaluation = stop.value
                return chosen

    def _names(self, rewards: Sequence[str]) -> tuple[str, ...]:
        unknown = [name for name in self.of if name not in rewards]
        if unknown:
            raise SettingError(
                f"search rank_ensemble: of: {unknown[0]} is no reward of the run that is searched on; it has "
                f"{', '.join(rewards)}"
            )
        return tuple(self.of) or tuple(rewards)

    def nfe(self, plan: Plan) -> int:
        """The other search's forwards."""
        return self.inner.nfe(plan)

    def depth(self, plan: Plan) -> int:
        """The other search's depth."""
        return self.inner.depth(plan)


def _by(segment: Segment, problem: Problem, names: tuple[str, ...]) -> Segment:
    """The segment, scored by these rewards, too, where it is scored."""
    if problem.reward not in segment.rewards:
        return segment
    return replace(segment, rewards=(*segment.rewards, *names))
