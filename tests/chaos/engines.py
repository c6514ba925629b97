"""Simulated engines and search workers that are killed, freeze and lose their machines."""

from __future__ import annotations

import random

from mortal_pools import HostPool, MortalPool

from bench.study.study import Study
from bench.workers.pool import WorkerFailure, WorkerReport
from chaos.quota import Quota

ENGINE, NODE, FROZEN = "engine killed", "node taken away", "engine frozen"
WORKER = "search worker killed"
PATIENCE = 4
"""Polls for which an engine may stand still."""


class TroubledPool(MortalPool):
    """Engines that are killed, lose their machines, or stand still for some polls, for too many of them maybe."""

    def __init__(self, engines: int, of: Study, coins: random.Random, quota: Quota) -> None:
        super().__init__(engines, of, coins, 0.02)
        self.quota, self.still = quota, [0] * engines

    def dies(self, engine: int) -> bool:
        """Whether an engine dies now; with its machine, it is nobody's fault."""
        for kind in (ENGINE, NODE):
            if super().dies(engine) and self.quota.spend(kind):
                self.innocent, self.still[engine] = kind == NODE, 0
                return True
        return False

    def reply(self, engine: int, count: int) -> WorkerReport:
        """Nothing while it stands still; no engine at all after too long."""
        if not self.still[engine] and self.coins.random() < 0.03 and self.quota.spend(FROZEN):
            self.still[engine] = self.coins.randint(1, 2 * PATIENCE)
        if not self.still[engine]:
            return super().reply(engine, count)
        if self.still[engine] > PATIENCE:
            return self._give_up(engine)
        self.still[engine] -= 1
        return super().reply(engine, 0)

    def _give_up(self, engine: int) -> WorkerReport:
        self.still[engine] = 0
        self.away.add(engine)
        self.jobs[engine], self.states[engine] = [], {}
        return WorkerReport(engine, lost=WorkerFailure("has not moved"))


class TroubledHosts(HostPool):
    """Search workers that are killed with their engines."""

    def __init__(self, engines: int, of: Study, coins: random.Random, quota: Quota) -> None:
        super().__init__(engines, of, coins, 0.06)
        self.quota = quota

    def dies(self) -> bool:
        """Whether one dies now."""
        return super().dies() and self.quota.spend(WORKER)
