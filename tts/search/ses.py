"""The cross-entropy method in the initial noise's lowest band (SES: arXiv 2602.03208)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from tts.errors import SettingError
from tts.moves import check_band
from tts.noise import Band
from tts.plan import Plan
from tts.search.base import INITIAL, Problem, Run, Search
from tts.search.cross_entropy import CrossEntropy
from tts.search.initial import start_of, whole
from tts.search.segment import Evaluation, best, top


class SES(Search):
    """K generations of N low bands of plain sampling's initial noise, scored by previews; the winner is drawn in full.

    Each coefficient of a band has its own normal distribution, at first a standard one; then means and variances follow
    the elites'. A preview is the image after ``preview`` deterministic steps on a coarser grid. The winner takes all
    steps, with the noises of plain sampling.
    """

    advice: ClassVar[str] = (
        "Few-step models where composition decides the reward: it searches the lowest band of the initial noise "
        "only, by cheap previews, and draws one image in full."
    )
    budget: ClassVar[str] = "K"
    needs_injection: ClassVar[bool] = False
    only_initial: ClassVar[bool] = True
    N: int = Field(10, ge=2, description="previews per generation")
    K: int = Field(5, ge=1, description="generations")
    elites: int = Field(5, ge=1, description="previews that the next generation follows, at most N")
    preview: int = Field(4, ge=1, description="deterministic steps of a preview")
    level: int = Field(3, ge=1, le=8, description="levels of Haar wavelets above the band")
    shape: tuple[int, int, int] = Field((3, 32, 32), description="of the model's states: channels, height, width")
    smoothing: float = Field(0.7, gt=0, le=1, description="weight of the elites against the previous distribution")
    least: float = Field(0.1, gt=0, description="least standard deviation of a coefficient")

    @model_validator(mode="after")
    def _fits(self) -> SES:
        size = 2**self.level
        if any(edge < size or edge % size for edge in self.shape[1:]) or self.shape[0] < 1:
            raise ValueError(f"shape must have a height and width that are multiples of 2^level = {size}")
        return self

    @property
    def dimension(self) -> int:
        """Coefficients of the band."""
        return self.shape[0] * (self.shape[1] >> self.level) * (self.shape[2] >> self.level)

    def fits(self, shape: tuple[int, ...]) -> None:
        """Refuse states that have no such band."""
        try:
            check_band(shape, self.level, self.dimension)
        except ValueError as error:
            raise SettingError(
                f"search ses: shape = {[*self.shape]}, and the model's states are {[*shape]} ({error}); set shape to "
                "these, and level to fit them"
            ) from None

    def run(self, problem: Problem) -> Run:
        """Generations of low bands of the initial noise, judged by previews; then the winner in full."""
        base, tried = problem.noise(INITIAL), list[Evaluation]()
        law = CrossEntropy(self.dimension, problem.coins(), self.smoothing, self.least)
        for _ in range(self.K):
            drawn = [base.with_move(Band(self.level, law.draw())) for _ in range(self.N)]
            found = yield [problem.preview(noise, self.preview) for noise in drawn]
            tried.append(best([*tried[-1:], *found]))
            law.learn([_values(each) for each in top(found, min(self.elites, self.N)) if each.reward is not None])
        [chosen] = yield [whole(problem, start_of(tried[-1]))]
        return chosen

    def nfe(self, plan: Plan) -> int:
        """K N previews and C T."""
        return self.K * self.N * self._preview(plan) + plan.nfe()

    def depth(self, plan: Plan) -> int:
        """K previews and C T."""
        return self.K * self._preview(plan) + plan.nfe()

    def _preview(self, plan: Plan) -> int:
        return plan.initial_nfe + plan.nfe_ahead(0, self.preview)


def _values(evaluation: Evaluation) -> tuple[float, ...]:
    move = start_of(evaluation).moves[-1]
    assert isinstance(move, Band)  # as it was drawn
    return move.values
