"""Costs of searches are as stated; nothing is paid twice, and nothing where there is no choice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import SEARCHES

from tts.plan import Plan
from tts.search.base import Search
from tts.search.beam import Beam
from tts.search.best_of_n import BestOfN
from tts.search.eps_greedy import EpsGreedy
from tts.search.mcts import MCTS
from tts.search.naive import Naive
from tts.search.random import PerStepRandom
from tts.search.zero_order import ZeroOrder
from tts.testing.toy import PLANS, World

FIXED = [name for name, search in SEARCHES.items() if search.exact or name == "mcts_wide"]  # its S is at most N
TREES = st.builds(MCTS, N=st.integers(1, 4), S=st.integers(1, 9))
DRAWN_PLANS = st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=6).map(
    lambda steps: Plan(
        tuple(calls for calls, _ in steps), tuple(injects for _, injects in steps), leaps=(1,) * len(steps)
    )
)


@given(TREES, DRAWN_PLANS, st.integers(0, 5))
def test_a_tree_spends_and_waits_no_more_than_it_says(search: MCTS, plan: Plan, seed: int) -> None:
    world = World(plan)
    world.play(search, seed)
    assert world.nfe <= search.nfe(plan)
    assert world.depth <= search.depth(plan)


@pytest.mark.parametrize(("n", "s"), [(2, 3), (3, 5), (4, 8), (6, 19)])
def test_a_tree_that_keeps_its_subtree_waits_no_more_than_it_says(n: int, s: int) -> None:
    """A root that keeps children has fewer new ones to run side by side."""
    plan, search = Plan((2,) * 14 + (1,), (True,) * 15), MCTS(N=n, S=s)
    world = World(plan)
    world.play(search)
    assert plan.nfe() < world.depth <= search.depth(plan)
    assert world.nfe < search.nfe(plan)


@given(TREES.filter(lambda search: search.S <= search.N), DRAWN_PLANS)
def test_a_tree_without_revisits_spends_exactly_what_it_says(search: MCTS, plan: Plan) -> None:
    world = World(plan)
    world.play(search)
    assert (world.nfe, world.depth) == (search.nfe(plan), search.depth(plan))


@given(DRAWN_PLANS)
def test_every_fixed_search_is_exact_on_any_plan(plan: Plan) -> None:
    for name in FIXED:
        world = World(plan)
        world.play(SEARCHES[name])
        assert (world.nfe, world.depth) == (SEARCHES[name].nfe(plan), SEARCHES[name].depth(plan)), name


C, T = 2, 7
FLAT = Plan((C,) * T, (True,) * T)
"""Every step injects noise and costs C, as the table of formulas assumes."""


@pytest.mark.parametrize(
    ("search", "nfe"),
    [
        (Naive(), C * T),
        (BestOfN(N=5), 5 * C * T),
        (PerStepRandom(N=5), 5 * C * T),
        (Beam(N=5, B=3), 3 * 5 * C * T),
        (ZeroOrder(N=5, K=3), 5 * 3 * C * T),
        (EpsGreedy(N=5, K=3), 5 * 3 * C * T),
        (MCTS(N=5, S=4), 4 * C * T * (T + 1) // 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Search) else str(value),
)
def test_costs_of_the_published_table(search: Search, nfe: int) -> None:
    world = World(FLAT)
    world.play(search)
    assert world.nfe == search.nfe(FLAT) == nfe


def test_costs_on_the_studys_sampler() -> None:
    """Our searches skip the five steps without noise, so 13 of 18 are searched."""
    calls = (2,) * 17 + (1,)
    plan = Plan(calls, tuple(2 <= step <= 14 for step in range(18)))
    assert EpsGreedy(N=4, K=20).nfe(plan) == 80 * 26 + 9
    assert Beam(N=4, B=2).nfe(plan) == 8 * 26 + 2 * 9
    assert BestOfN(N=4).nfe(plan) == 140


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", SEARCHES)
def test_computes_no_step_twice(name: str, plan: str) -> None:
    """In particular, the winner of a step is not computed again."""
    world = World(PLANS[plan])
    world.play(SEARCHES[name])
    assert len(set(world.steps_taken)) == len(world.steps_taken)


@pytest.mark.parametrize("plan", ["gappy", "late", "silent"])
@pytest.mark.parametrize("name", ["random", "zero_order", "eps_greedy", "beam"])
def test_tries_no_candidates_where_there_is_no_choice(name: str, plan: str) -> None:
    """A step without noise is taken once for each stream (1; beam has 2)."""
    world = World(PLANS[plan])
    world.play(SEARCHES[name])
    streams = 2 if name == "beam" else 1
    for segments in world.rounds:
        if any(None in segment.noises for segment in segments):
            assert len(segments) <= streams
