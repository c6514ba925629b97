"""A share of ``make chaos``: simulated engines, folders and object stores go through every kind of mishap."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from chaos.quota import Outcome, Quota
from chaos.simulated import Campaign, worlds

SMALL = {"model": {"name": "cifar10", "sampler": {"steps": 4, "S_max": 90}}, "rewards": ["brightness"]}
RUNS = 6
"""Run each world with seeded random faults."""


def test_runs_through_every_mishap_have_the_undisturbed_table(tmp_path: Path) -> None:
    came, kinds = Counter[str](), set[str]()
    for world in worlds(**SMALL):
        quota = Quota(dict.fromkeys(world.kinds, 5))
        campaign = Campaign(world, tmp_path / world.name, quota)
        for seed in range(RUNS):
            campaign.run(seed)
        assert campaign.outcome.sound, campaign.outcome
        assert campaign.outcome.runs == RUNS
        came, kinds = came + quota.came, kinds | set(world.kinds)
    assert came.keys() == kinds
    assert came.total() > 40


def test_what_is_lost_doubled_or_changed_is_told() -> None:
    calm, outcome = [{"trial": name, "value": 1} for name in "abc"], Outcome()
    outcome.compare([calm[0], calm[0], {"trial": "b", "value": 2}], calm)
    assert (outcome.rows, outcome.lost, outcome.doubled, outcome.changed) == (3, 1, 1, 1)
    assert not outcome.sound


def test_each_mishap_counts_once_and_no_more_come_than_were_asked_for() -> None:
    quota = Quota({"a": 1})
    assert [quota.spend(kind) for kind in ("a", "a", "b")] == [True, False, False]
    assert quota.came == {"a": 1}
