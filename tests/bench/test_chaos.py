"""A share of ``make chaos``: simulated engines and stores through everything that may befall them."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos.quota import Outcome, Quota
from chaos.simulated import Campaign, worlds


def test_runs_through_every_mishap_have_the_undisturbed_table(tmp_path: Path) -> None:
    for world in worlds():
        quota = Quota(dict.fromkeys(world.kinds, 4))
        campaign, seed = Campaign(world, tmp_path / world.name, quota), 0
        while quota.open(world.kinds):
            seed += 1
            campaign.run(seed)
        assert campaign.outcome.sound
        print(world.name, seed, campaign.outcome, quota.came)
        assert quota.came == dict.fromkeys(world.kinds, 4)
