"""The toy world of :mod:`tts.testing.toy`, and small settings of every search."""

from __future__ import annotations

from tts.search.adaptive import Adaptive
from tts.search.ask_tell import AskTell
from tts.search.base import Search
from tts.search.beam import Beam
from tts.search.best_of_n import BestOfN
from tts.search.demon import Demon
from tts.search.dfs import DFS
from tts.search.dsearch import DSearch
from tts.search.dts import DTS
from tts.search.eps_greedy import EpsGreedy
from tts.search.evosearch import EvoSearch
from tts.search.fk import FK
from tts.search.mcts import MCTS
from tts.search.naive import Naive
from tts.search.paths import Paths
from tts.search.pruned import Pruned
from tts.search.random import PerStepRandom
from tts.search.rank_ensemble import RankEnsemble
from tts.search.rbf import RBF
from tts.search.ses import SES
from tts.search.slope import Slope
from tts.search.trs import TRS
from tts.search.zero_order import ZeroOrder
from tts.search.zero_order_initial import ZeroOrderInitial
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
    "naive_seen": Naive(candidate=2, looks=True),
    "best_of_n": BestOfN(N=3),
    "rank_ensemble": RankEnsemble(size=3),
    "rank_ensemble_stepwise": RankEnsemble(search={"name": "beam", "B": 2}, size=3),
    "random": PerStepRandom(N=4),
    "random_drawn": PerStepRandom(N=4, alpha=0.2),
    "random_blocks": PerStepRandom(N=3, block=2),
    "fk": FK(k=4, first=1, every=1),
    "fk_always": FK(k=3, first=1, every=2, potential="diff", adaptive=False, resampling="multinomial", sample=True),
    "fk_tempered": FK(k=4, first=2, every=1, potential="add", lambda_=5, gamma=0.1, resampling="ssp"),
    "beam": Beam(N=3, B=2),
    "beam_ahead": Beam(N=3, B=2, lookahead=2),
    "rbf": RBF(NFE=23),
    "adaptive": Adaptive(NFE=31, weights="equal", N=2, eps=0.4),
    "adaptive_early": Adaptive(NFE=40, N=1, stop_early=True),
    "pruned": Pruned(N=6, keep=(0.5, 0.4), at=(0.3, 0.6)),
    "demon": Demon(K=3),
    "demon_rolled": Demon(K=3, rollout=2, weighting="softmax", tau=0.1),
    "dsearch": DSearch(w=3, b0=4),
    "dfs": DFS(threshold=0.6, every=1, back=2, tries=5),
    "dts": DTS(NFE=40, branch=(0.3, 0.6)),
    "dts_drawn": DTS(NFE=40, branch=(0.3, 0.6), star=False, sample=True),
    "zero_order_initial": ZeroOrderInitial(N=3, K=2),
    "paths": Paths(N=2, M=3),
    "evosearch": EvoSearch(P=5, elites=2),
    "trs": TRS(N=4, K=3, R=3),
    "ses": SES(N=4, K=3, elites=2, preview=2, shape=(3, 8, 8), level=2),
    "slope": Slope(N=5),
    "slope_small": Slope(N=3, m=1, trust=0),
    "ask_tell": AskTell(M=3, N=3, K=2),
    "zero_order": ZeroOrder(N=2, K=3),
    "eps_greedy": EpsGreedy(N=2, K=3),
    "eps_greedy_replacing": EpsGreedy(N=2, K=3, keep_best=False),
    "mcts": MCTS(N=2, S=5),
    "mcts_wide": MCTS(N=4, S=3),
}


def transcript(name: str, plan: str, seed: int) -> str:
    """Everything that a search asks for on the chaotic reward, and what it returns, as text."""
    return play(SEARCHES[name], PLANS[plan], seed)
