"""What every search must keep to."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import ClassVar

from tts.errors import TTSError
from tts.noise import Noise
from tts.plan import Plan
from tts.recipe import end
from tts.search.base import Search
from tts.search.segment import Evaluation
from tts.settings import parse
from tts.testing.requirement import fail, refuses_unknown_keys, require, round_trip
from tts.testing.toy import PLANS, REWARD, Score, World, chaotic, constant, huge, nothing, picky, transcript


class SearchConformance:
    """Checks of a search in the toy world, on plans like every sampler's.

    Attributes:
        plans: trajectories to search, by name.
        seeds: of the problems.
    """

    plans: ClassVar[Mapping[str, Plan]] = PLANS
    seeds: ClassVar[tuple[int, ...]] = (0, 1, 2)

    def worlds(self, search: Search, score: Score = chaotic, keep: bool = True) -> Iterator[tuple[str, int, World]]:
        """A new world for each plan and seed; none without noise for a search that has nothing to choose there."""
        for name, plan in self.suited(search).items():
            if plan.noisy_steps or not search.played.needs_injection:
                for seed in self.seeds:
                    yield f"plan '{name}', seed {seed}", seed, World(plan, score, keep)

    def suited(self, search: Search) -> dict[str, Plan]:
        """The plans that it does not refuse by ``suits()``, as no run would play it there."""
        refusals = {name: _refusal(search, plan) for name, plan in self.plans.items()}
        found = {name: plan for name, plan in self.plans.items() if refusals[name] is None}
        if not found:
            name, reason = next(iter(refusals.items()))
            fail(
                f"refuses each plan that it is checked on; of plan '{name}' it says: {reason}. Correct suits() or the "
                "settings, or check it by a SearchConformance with 'plans' of your own"
            )
        return found

    def test_settings(self, search: Search) -> None:
        """Its settings can be written to a configuration and read again."""
        round_trip(search)

    def test_unknown_settings(self, search: Search) -> None:
        """A setting that it does not have is refused."""
        refuses_unknown_keys(search)

    def test_budget(self, search: Search) -> None:
        """Its budget is one of its settings, a number, and more of it never costs less."""
        if search.budget is None:
            return
        value = search.record().get(search.budget)
        if isinstance(value, bool) or not isinstance(value, int | float):
            fail(f"budget = '{search.budget}' names no setting that is a number; name one, or leave it None")
        more = parse(type(search), {**search.record(), search.budget: 2 * value}, "twice the budget")
        for name, plan in self.suited(search).items():
            few, many = search.nfe(plan), more.nfe(plan)
            require(
                few <= many,
                f"with twice the {search.budget} its nfe falls from {few} to {many} on plan '{name}'; name the setting "
                "that costs as 'budget'",
            )

    def test_spending(self, search: Search) -> None:
        """It spends as many forwards as nfe(plan) says."""
        for where, seed, world in self.worlds(search):
            world.play(search, seed)
            _compare(search, "nfe", "spends", world.nfe, search.nfe(world.plan), where)

    def test_depth(self, search: Search) -> None:
        """As many forwards follow one another as depth(plan) says."""
        for where, seed, world in self.worlds(search):
            world.play(search, seed)
            _compare(search, "depth", "waits for", world.depth, search.depth(world.plan), where)

    def test_choice(self, search: Search) -> None:
        """It ends with a finished trajectory of its own, the scored one of several."""
        for where, seed, world in self.worlds(search):
            chosen = world.play(search, seed)
            finished = [e for answers in world.answers for e in answers if e.state.step == world.plan.steps]
            require(
                any(chosen.state is each.state for each in finished),
                f"returns an evaluation that it was not given ({where}); return one of those that 'yield' gave",
            )
            others = {each.state.noises for each in finished}
            require(
                len(others) == 1 or _score(chosen, finished) is not None,
                f"has {len(others)} finished trajectories and returns one that was not scored ({where}); score final "
                "images before you choose among them: problem.advance(state, scored=True)",
            )

    def test_repeats(self, search: Search) -> None:
        """The same seed asks for the same, whatever happens elsewhere."""
        again = parse(type(search), search.record(), "the same")
        for where, seed, world in self.worlds(search):
            first = transcript(search, world.plan, seed)
            random.seed(first)  # whoever draws from the global stream draws something else now
            require(
                transcript(again, world.plan, seed) == first,
                f"asks for other segments when it runs again ({where}); take noises from problem.noise() and coins "
                "from problem.coins(), and keep nothing on the search or in its module",
            )

    def test_seeds(self, search: Search) -> None:
        """Another seed asks for other noises."""
        for where, seed, world in self.worlds(search):
            require(
                transcript(search, world.plan, seed) != transcript(search, world.plan, seed + 1),
                f"asks for the same with another seed ({where}); take noises from problem.noise()",
            )

    def test_unscored(self, search: Search) -> None:
        """It goes on when nothing, or only half of it, can be scored."""
        for score in (nothing, picky):
            for _, seed, world in self.worlds(search, score):
                world.play(search, seed)

    def test_extremes(self, search: Search) -> None:
        """It goes on when all rewards are equal, and when they are huge."""
        for score in (constant, huge):
            for _, seed, world in self.worlds(search, score):
                world.play(search, seed)

    def test_states(self, search: Search) -> None:
        """It starts from states that it was given and holds."""
        for _, seed, world in self.worlds(search, keep=False):
            world.play(search, seed)

    def test_answers(self, search: Search) -> None:
        """It leaves the lists that it is given as they were."""
        for where, seed, world in self.worlds(search):
            world.play(search, seed)
            require(
                not world.changed,
                f"changes a list of evaluations that it was given ({where}); work on a copy: 'mine = [*evaluations]'",
            )

    def test_noises(self, search: Search) -> None:
        """It gives noises only to steps that inject one."""
        for where, seed, world in self.worlds(search):
            world.play(search, seed)
            for recipe in world.steps_taken:
                step = end(0, recipe[1:-1])
                if isinstance(recipe[-1], Noise) and not world.plan.injects[step]:
                    fail(
                        f"gives a noise to step {step}, which injects none ({where}), so that candidates are alike; "
                        "see plan.injects, or let step_by_step() and problem.advance() take such steps"
                    )


def _refusal(search: Search, plan: Plan) -> str | None:
    """Why a search does not play on a plan; None: it does."""
    try:
        search.suits(plan, (REWARD,))
    except TTSError as error:
        return str(error)
    return None


def _score(chosen: Evaluation, finished: list[Evaluation]) -> float | None:
    """A score that the chosen trajectory has got, if any."""
    return next((e.reward for e in finished if e.state is chosen.state and e.reward is not None), None)


def _compare(search: Search, name: str, does: str, spent: int, says: int, where: str) -> None:
    limit = "" if search.played.exact else "at most "
    difference = f"{does} {spent} forwards where {name}(plan) says {limit}{says} ({where}); correct {name}()"
    require(spent <= says, difference)
    if search.played.exact:
        require(spent == says, f"{difference}, or set 'exact = False' if the search decides on its way what to spend")
