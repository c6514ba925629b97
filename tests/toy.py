"""The toy world of :mod:`tts.testing.toy`, and small settings of every search."""

from __future__ import annotations

from tts.search.base import Search
from tts.search.beam import Beam
from tts.search.best_of_n import BestOfN
from tts.search.eps_greedy import EpsGreedy
from tts.search.fk import FK
from tts.search.mcts import MCTS
from tts.search.naive import Naive
from tts.search.random import PerStepRandom
from tts.search.zero_order import ZeroOrder
from tts.testing.toy import AHEAD, EVERY, GAPPY, LATE, PLANS, SILENT, World, additive, chaotic, constant, luck
from tts.testing.toy import transcript as play

__all__ = [
    "AHEAD",
    "EVERY",
    "GAPPY",
    "LATE",
    "PLANS",
    "SEARCHES",
    "SILENT",
    "World",
    "additive",
    "chaotic",
    "constant",
    "luck",
    "transcript",
]

SEARCHES: dict[str, Search] = {
    "naive": Naive(),
    "best_of_n": BestOfN(N=3),
    "random": PerStepRandom(N=4),
    "random_drawn": PerStepRandom(N=4, alpha=0.2),
    "random_blocks": PerStepRandom(N=3, block=2),
    "fk": FK(k=4, first=1, every=1),
    "fk_always": FK(k=3, first=1, every=2, potential="diff", adaptive=False, resampling="multinomial", sample=True),
    "fk_tempered": FK(k=4, first=2, every=1, potential="add", lambda_=5, gamma=0.1, resampling="ssp"),
    "beam": Beam(N=3, B=2),
    "beam_ahead": Beam(N=3, B=2, lookahead=2),
    "zero_order": ZeroOrder(N=2, K=3),
    "eps_greedy": EpsGreedy(N=2, K=3),
    "eps_greedy_replacing": EpsGreedy(N=2, K=3, keep_best=False),
    "mcts": MCTS(N=2, S=5),
    "mcts_wide": MCTS(N=4, S=3),
}


def transcript(name: str, plan: str, seed: int) -> str:
    """Everything that a search asks for on the chaotic reward, and what it returns, as text."""
    return play(SEARCHES[name], PLANS[plan], seed)
