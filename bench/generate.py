"""``tts-bench generate``: one image, before and after search."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.config import RunConfig
from bench.driver import Driver
from bench.pools import LocalPool
from bench.study import Study
from tts.errors import SettingError
from tts.settings import parse


@dataclass
class Rows:
    """A sink that keeps rows in memory, by the name of their search."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row."""
        self.rows[row["search"]] = row

    def tick(self) -> None:
        """Nothing waits."""


def generate(values: dict[str, Any], search: str | dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw one problem plainly and by a search.

    Args:
        values: a run's settings without searches; one condition and one reward to search on, listed first.
        search: a search as a configuration writes it.

    Returns:
        The rows of the naive trial and of the searched one (twice the same for ``naive``).

    Raises:
        TTSError: something asked for cannot be had; the message names it.
    """
    name = search if isinstance(search, str) else search["name"]
    if isinstance(search, dict) and "budget" in search:
        raise SettingError("budget: one image has no curve; set the setting itself, for example --set K=4")
    searches = [search] if name == "naive" else ["naive", search]
    config = parse(RunConfig, {**values, "searches": searches, "output": Path("unused")}, "generate")
    study = Study(config)
    trials = [trial for trial in study.trials() if trial.reward == next(iter(study.rewards))]
    pool, rows = LocalPool(study), Rows()
    try:
        Driver(study, pool, rows, trials=iter(trials)).run()
    finally:
        pool.close()
    return rows.rows["naive"], rows.rows[name]
