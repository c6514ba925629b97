"""Diffusion tree sampling and search (Jain et al. 2025, arXiv 2506.20701)."""

from __future__ import annotations

import math
import random
from typing import Annotated, ClassVar

from pydantic import Field

from tts.plan import Plan
from tts.search.base import Problem, Run, Search
from tts.search.segment import Evaluation, State, best
from tts.search.weights import drawn, log_mean_exp, softmax

REVISITS = 10_000
"""Known leaves in a row that a tree may come to before it ends: with few children to a node it would never grow."""


class Node:
    """A state at a branching step or at the end; the root is before the initial noise.

    ``value`` is a leaf's reward, otherwise the soft maximum of the children's values, 0 without children.
    """

    def __init__(self, state: State | None, level: int) -> None:
        self.state, self.level = state, level
        self.children: list[Node] = []
        self.visits, self.value = 1, 0.0


class DTS(Search):
    """One tree over whole trajectories: descend, add a child, roll out to the end, back up the final reward.

    A node with fewer than ``C_w N^alpha`` children gets another one. From other nodes, DTS* (``star``) descends to the
    child with the largest ``v + c sqrt(ln N(parent) / N(child))``, and DTS to a random one with probability
    proportional to ``exp(lambda v)``. A value is ``log(mean over children exp(lambda v)) / lambda``. Branching steps
    are before the initial noise and at shares of the steps, moved to the next step that injects noise. Predicted images
    are not scored. The result is the best final image; with ``sample`` DTS draws a path down the tree.

    With the paper's C_w = 2 and alpha = .8 the first 36 iterations are exactly best-of-N; these defaults descend from
    the third iteration on, for smaller budgets. Lambda is in units of 1 / reward.
    """

    advice: ClassVar[str] = (
        "Large budgets with rewards that cannot be judged from predicted images, as it scores final images only. "
        "With small budgets it is best of N."
    )
    budget: ClassVar[str] = "NFE"
    exact: ClassVar[bool] = False
    needs_injection: ClassVar[bool] = False  # the initial noises differ
    NFE: int = Field(512, ge=1, description="denoiser forwards in all; never less than a trajectory's")
    branch: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (0.2, 0.4, 0.6, 0.8), description="branching steps, as shares of all steps"
    )
    star: bool = Field(True, description="descend to the most promising child (DTS*); else to a random one (DTS)")
    lambda_: float = Field(20.0, gt=0, alias="lambda", description="weight of the reward, in units of 1 / reward")
    C_w: float = Field(1.0, gt=0, description="factor of the number of children")
    alpha: float = Field(0.5, gt=0, le=1, description="exponent of the number of children")
    c: float = Field(0.1, ge=0, description="weight of exploration, in units of the reward")
    sample: bool = Field(False, description="draw the final image down the tree; else take the best")

    def run(self, problem: Problem) -> Run:
        """Descend the tree, add a child, roll out and back up the final reward, while the budget lasts."""
        plan, coins = problem.plan, problem.coins()
        stops = self.stops(plan)
        root, ends = Node(None, 0), dict[Node, Evaluation]()
        left, revisits = max(self.NFE, plan.nfe()), 0
        while revisits < REVISITS:
            path = self._path(root, coins, len(stops))
            if path[-1].level == len(stops):  # a leaf that is known already
                self._back_up(path)
                revisits += 1
                continue
            cost = plan.nfe(None if path[-1].state is None else path[-1].state.step)
            if cost > left:
                break
            left, revisits = left - cost, 0
            end = yield from self._roll_out(problem, path, stops, len(ends))
            ends[path[-1]] = end
            self._back_up(path)
        return ends[self._drawn(root, coins)] if self.sample else best(ends.values())

    def _roll_out(self, problem: Problem, path: list[Node], stops: tuple[int, ...], turn: int) -> Run:
        """From a path's last node to the end, with fresh noises; its nodes join the path and the tree."""
        while True:
            node, stop = path[-1], stops[path[-1].level]
            scored = stop == problem.plan.steps
            if node.state is None:
                [at] = yield [problem.trajectory(turn, scored, stop)]
            else:
                [at] = yield [problem.onward(node.state, stop, turn, scored=scored)]
            child = Node(at.state, node.level + 1)
            node.children.append(child)
            path.append(child)
            if scored:
                child.value = at.value
                return at

    def _path(self, root: Node, coins: random.Random, depth: int) -> list[Node]:
        """Down to the first node that may have another child, or to a leaf."""
        path = [root]
        while path[-1].level < depth and len(path[-1].children) >= self.C_w * path[-1].visits ** self.alpha:
            path.append(self._select(path[-1], coins))
        return path

    def _select(self, node: Node, coins: random.Random) -> Node:
        if not self.star:
            weights = softmax([child.value for child in node.children], self.lambda_)
            return node.children[drawn(weights, coins.random())]
        log = math.log(node.visits)
        return max(node.children, key=lambda child: child.value + self.c * math.sqrt(log / child.visits))

    def _back_up(self, path: list[Node]) -> None:
        for node in reversed(path):
            node.visits += 1
            if node.children:
                node.value = log_mean_exp([child.value for child in node.children], self.lambda_)

    def _drawn(self, node: Node, coins: random.Random) -> Node:
        while node.children:
            weights = softmax([child.value for child in node.children], self.lambda_)
            node = node.children[drawn(weights, coins.random())]
        return node

    def stops(self, plan: Plan) -> tuple[int, ...]:
        """Steps done at the nodes of each level below the root; the last are the leaves."""
        near = {plan.next_noisy_step(max(1, round(share * plan.steps))) for share in self.branch}
        return (*sorted(near - {plan.steps}), plan.steps)

    def nfe(self, plan: Plan) -> int:
        """NFE, or a little less: a trajectory that would go beyond it is not begun."""
        return max(self.NFE, plan.nfe())

    def depth(self, plan: Plan) -> int:
        """All forwards: each waits for the one before."""
        return self.nfe(plan)
