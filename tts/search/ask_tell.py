"""Black-box optimisation of the initial noise: any optimiser with ask and tell."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tts.errors import SearchError, SettingError, first_line
from tts.noise import Mixture, Noise
from tts.plan import Plan
from tts.search.base import INITIAL, Problem, Run, Search
from tts.search.initial import whole
from tts.search.optimisers import OPTIMISERS, Optimiser
from tts.search.segment import Evaluation, best


class AskTell(Search):
    """K batches of N initial noises, each a mixture of M noises at unit length, whose weights an optimiser chooses.

    Optimisers: ``own`` (cross-entropy), ``cma`` (CMA-ES), ``nevergrad`` (``method``: a name of its registry) and
    ``optuna`` (``method``: tpe, random or qmc). The loss is the negative reward of the final image; where it could not
    be scored, that of the worst of its batch. The steps' noises are those of plain sampling.
    """

    advice: ClassVar[str] = (
        "To compare an optimiser of another library, or of your own, beside these at equal forwards: it chooses the "
        "weights of a mixture of a few noises."
    )
    budget: ClassVar[str] = "K"
    needs_injection: ClassVar[bool] = False
    only_initial: ClassVar[bool] = True
    optimiser: Literal["own", "cma", "nevergrad", "optuna"] = Field("own", description="which package's")
    method: str | None = Field(None, description="which of nevergrad's or optuna's; left out: TwoPointsDE, tpe")
    M: int = Field(8, ge=2, description="noises in a mixture, and so weights")
    N: int = Field(4, ge=1, description="trajectories a batch")
    K: int = Field(4, ge=1, description="batches")

    @model_validator(mode="after")
    def _takes_method(self) -> AskTell:
        if self.method is not None and self.optimiser not in ("nevergrad", "optuna"):
            raise ValueError(f"method is for nevergrad and optuna; leave it out with optimiser = {self.optimiser}")
        return self

    def suits(self, plan: Plan, rewards: Sequence[str]) -> None:
        """Refuse an optimiser whose package, or method, is not there."""
        try:
            self._optimiser(random.Random(0))  # noqa: S311  (not for secrets)
        except SearchError as error:
            raise SettingError(f"search ask_tell: {error}") from None
        except Exception as error:  # the package's own: some methods take one point at a time, or need more packages
            given = f"optimiser = {self.optimiser}, method = {self.method}, N = {self.N}"
            raise SettingError(f"search ask_tell: {given}: {first_line(error)}") from None

    def run(self, problem: Problem) -> Run:
        """Asks the optimiser for mixtures of noises, plays them and tells it their rewards, K times."""
        optimiser = self._optimiser(problem.coins())
        seeds = [problem.noise(INITIAL, k).seed for k in range(self.M)]
        winner: Evaluation | None = None
        for _ in range(self.K):
            points = optimiser.ask()
            noises = [Noise(seeds[0], (Mixture(tuple(seeds[1:]), point[1:], point[0]),)) for point in points]
            found = yield [whole(problem, noise) for noise in noises]
            optimiser.tell(points, losses([each.value for each in found]))
            winner = best([*([winner] if winner else []), *found])
        assert winner is not None  # K >= 1
        return winner

    def _optimiser(self, coins: random.Random) -> Optimiser:
        return OPTIMISERS[self.optimiser](self.M, self.N, coins, self.method, self.K)

    def nfe(self, plan: Plan) -> int:
        """K N C T."""
        return self.K * self.N * plan.nfe()

    def depth(self, plan: Plan) -> int:
        """K C T."""
        return self.K * plan.nfe()


def losses(values: Sequence[float]) -> list[float]:
    """Negative rewards; a failed one counts as the worst of the others, or as 0 where all failed."""
    known = [value for value in values if value != -math.inf]
    worst = min(known, default=0.0)
    return [-(worst if value == -math.inf else value) for value in values]
