"""Monte Carlo tree search over the noises (Ramesh and Mardani 2025, arXiv 2506.03164)."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import ClassVar, TypeAlias

from pydantic import Field

from tts.plan import Plan
from tts.search.base import Problem, Run, Search
from tts.search.segment import Evaluation, Segment, State

Work: TypeAlias = Generator[list[Segment], list[Evaluation], None]


class Node:
    """A state before an injecting step (or the end of a trajectory), with the rewards of simulations through it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.end: Evaluation | None = None  # where the deterministic rollout from here leads
        self.children: list[Node] = []
        self.visits, self.scored, self.total = 0, 0, 0.0

    @property
    def mean(self) -> float:
        """Mean reward of the simulations through this node; those that could not be scored are left out."""
        return self.total / self.scored if self.scored else -math.inf


class MCTS(Search):
    """S simulations for each injecting step: select by UCB, expand, roll out, back up.

    A node has up to N children, one noise each; a child is computed when it is first visited. A rollout takes the
    deterministic steps to the end and scores the final image. Then the child with the best mean becomes the root and
    keeps its subtree. A simulation that ends in a node without choices reuses its known reward at no cost.
    """

    advice: ClassVar[str] = (
        "To repeat the paper. Every simulation runs to the end, so its cost grows with the square of the "
        "steps that inject noise; with few simulations it is expensive plain sampling."
    )
    budget: ClassVar[str] = "S"
    exact: ClassVar[bool] = False
    N: int = Field(4, ge=1, description="children of a node")
    S: int = Field(8, ge=1, description="simulations for each step")
    c: float = Field(1.414, ge=0, description="weight of exploration in UCB")

    def run(self, problem: Problem) -> Run:
        """At each step S simulations from the root; the child with the best value is the next root."""
        [start] = yield [problem.start()]
        root = Node(start.state)
        while root.state.step < problem.plan.steps:
            simulations = self.S
            while simulations:
                leaves = self._leaves(root, simulations)
                simulations -= len(leaves)
                yield from self._simulate(problem, leaves)
            root = max(root.children, key=lambda child: child.mean)
        if root.end is None:  # a sampler that injects nothing leaves nothing to search
            root.end = start
        return root.end

    def _leaves(self, root: Node, simulations: int) -> list[list[Node]]:
        """Paths whose last nodes are simulated next.

        The root's missing children come before any choice by UCB, whatever they earn: they run side by side.
        """
        missing = self.N - len(root.children)
        if missing:
            return [[root]] * min(missing, simulations)
        path = [root]
        while len(path[-1].children) == self.N:
            path.append(self._select(path[-1]))
        return [path]

    def _select(self, node: Node) -> Node:
        """The child with the highest upper confidence bound (Auer et al. 2002, UCB1)."""
        log = math.log(node.visits)
        return max(node.children, key=lambda child: child.mean + self.c * math.sqrt(log / child.visits))

    def _simulate(self, problem: Problem, paths: list[list[Node]]) -> Work:
        """Expand, roll out and back up. A node at the end of its trajectory only backs up."""
        steps = problem.plan.steps
        expanded = [path for path in paths if path[-1].state.step < steps]
        asked = [self._child(problem, path[-1], k) for k, path in enumerate(expanded)]
        states = (yield asked) if asked else []
        new = [Node(evaluation.state) for evaluation in states]
        for node, evaluation in zip(new, states, strict=True):
            if node.state.step == steps:
                node.end = evaluation
        open_ends = [node for node in new if node.end is None]
        rollouts = [problem.advance(node.state, scored=True) for node in open_ends]
        ends = (yield rollouts) if rollouts else []
        for node, end in zip(open_ends, ends, strict=True):
            node.end = end
        for path, node in zip(expanded, new, strict=True):
            path[-1].children.append(node)
            _back_up([*path, node], node)
        for path in paths:
            if path[-1].state.step == steps:
                _back_up(path, path[-1])

    def _child(self, problem: Problem, node: Node, k: int) -> Segment:
        """The step to a node's next child, and on to where the next noise is injected."""
        step, plan = node.state.step, problem.plan
        stop = plan.next_noisy_step(step + 1)
        noise = problem.noise(step, len(node.children) + k)
        return problem.on(node.state, stop, noise, scored=stop == plan.steps)

    def nfe(self, plan: Plan) -> int:
        """Up to S simulations from each injecting step to the end; exactly so while S <= N."""
        return plan.nfe(stop=plan.next_noisy_step(0)) + self.S * sum(plan.nfe(step) for step in plan.noisy_steps)

    def depth(self, plan: Plan) -> int:
        """A bound: side by side while S <= N; else one after another, for a root may bring all its children along."""
        rounds = 1 if self.S <= self.N else self.S
        return plan.nfe(stop=plan.next_noisy_step(0)) + rounds * sum(plan.nfe(step) for step in plan.noisy_steps)


def _back_up(path: list[Node], leaf: Node) -> None:
    assert leaf.end is not None  # every simulated node has been rolled out
    reward = leaf.end.reward
    for node in path:
        node.visits += 1
        if reward is not None:
            node.scored += 1
            node.total += reward
