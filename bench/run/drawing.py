"""``tts-bench generate``: one image, before and after search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.run.driver import Driver
from bench.store.row import TrialRow
from bench.study.config import RunConfig, assignments
from bench.study.study import Study
from bench.study.study_flags import translate
from bench.workers.building import build_engine
from bench.workers.pool import LocalPool
from tts.errors import EngineError, SettingError
from tts.registry import SEARCHES
from tts.settings import parse


@dataclass
class Rows:
    """A sink that keeps rows in memory, by the name of their search."""

    rows: dict[str, TrialRow] = field(default_factory=dict)
    full = False

    def add(self, row: TrialRow) -> None:
        """Keep a row."""
        self.rows[row.search] = row

    def tick(self) -> None:
        """Nothing waits."""


@dataclass(frozen=True)
class Request:
    """One image, as the command line asks for it; None where nothing was said.

    Args:
        settings: ``KEY=VALUE`` of the search, or ``model.``, ``reward.`` and ``engines.KEY=VALUE``.
    """

    model: str | None
    search: str | None
    reward: str | dict[str, Any] | None
    condition: str | None
    seed: int
    batch: int | None
    threads: int
    device: str | None
    settings: list[str]
    search_settings: dict[str, Any] = field(default_factory=dict)

    def with_study_flags(
        self, backend: str | None, scorer: str | None, method: str | None, flags: Mapping[str, Any | None]
    ) -> tuple[Request, list[str]]:
        """The request with the flags of the study's own code, and notes on those without effect.

        Raises:
            SettingError: they are mixed with flags that say the same in our words.
        """
        named = [f"--{name}" for name in ("model", "search", "reward") if getattr(self, name) is not None]
        theirs = [value for value in (backend, scorer, method, *flags.values()) if value is not None]
        if not theirs:
            return self, []
        if named:
            raise SettingError(
                f"{named[0]} and the study's own flags cannot be mixed; use --set KEY=VALUE with {named[0]}"
            )
        found = translate(backend, scorer, method, flags)
        if self.condition is None and found.model == "stable-diffusion":
            raise SettingError("--prompt is missing: say what to draw")
        settings = {name: value for name, value in found.search.items() if name != "name"}
        changed = {"model": found.model, "search": found.search["name"], "reward": found.reward}
        return replace(self, **changed, search_settings=settings), found.notes

    @property
    def names_batch(self) -> bool:
        """Whether the user has set the batch."""
        engines = assignments(self.settings).get("engines", {})
        return self.batch is not None or (isinstance(engines, dict) and "batch" in engines)

    def values(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """A run's settings without searches, and the search.

        Raises:
            SettingError: a setting is no ``KEY=VALUE``.
        """
        given = assignments(self.settings)
        model, reward, engines = (_section(given, name) for name in ("model", "reward", "engines"))
        wanted = {"name": self.reward or "brightness"} if not isinstance(self.reward, dict) else self.reward
        search = {"name": self.search or "eps_greedy", **self.search_settings, **given}
        known = [name for name in ("brightness", "compressibility") if name != wanted["name"]]
        values = {
            "model": {"name": self.model or "cifar10", **model},
            "rewards": [{**wanted, **reward}],
            "held_out": known,
            "problems": {"conditions": ["0" if self.condition is None else self.condition], "seeds": 1},
            "engines": {
                "backend": "local",
                "batch": self.batch or _candidates(search),
                "threads": self.threads,
                "device": self.device or _device(),
                **engines,
            },
            "seed": self.seed,
        }
        return values, search


@dataclass(frozen=True)
class Drawn:
    """The rows of the naive trial and of the searched one (the same row twice for ``naive``), and notes on them."""

    before: TrialRow
    after: TrialRow
    notes: list[str]


def draw(request: Request) -> Drawn:
    """Draw one problem plainly and by a search.

    Raises:
        TTSError: something asked for cannot be had; the message names it.
    """
    values, search = request.values()
    name = search["name"]
    if "budget" in search:
        raise SettingError("budget: one image has no curve; set the setting itself, for example --set K=4")
    searches = [search] if name == "naive" else ["naive", search]
    study = Study(parse(RunConfig, {**values, "searches": searches, "output": Path("unused")}, "generate"))
    study.check_draws()
    worker = build_engine(study, () if request.names_batch else sizes_from(study.config.engines.batch))
    study = study.with_batch(worker.batch)
    pool, rows = LocalPool(study, worker), Rows()
    try:
        Driver(study, pool, rows).run()
    finally:
        pool.close()
    for row in rows.rows.values():
        if row.error:
            raise EngineError(row.error)
    ours = next(entry.name for entry in study.entries if name == "naive" or entry.name != "naive")
    return Drawn(rows.rows["naive"], rows.rows[ours], study.notes())


def sizes_from(rows: int) -> list[int]:
    """Batches to try for so many rows, the least padding first; rows of a batch of one have no neighbours.

    Kernels whose rows depend on their neighbours do so at odd sizes: multiples of four, then powers of two, fit their
    vectors.
    """
    power = 1 << (rows - 1).bit_length()
    return list(dict.fromkeys([rows, -(-rows // 4) * 4, power, 2 * power, 1]))


def _section(given: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the settings of another part than the search out of those given."""
    found = given.pop(name, {})
    if not isinstance(found, dict):
        raise SettingError(f"--set {name}={found}: name its setting, as --set {name}.KEY=VALUE, or use --{name}")
    return found


def _candidates(search: dict[str, Any]) -> int:
    """Segments that the search has in flight at once, and one of the naive trial."""
    _, algorithm = SEARCHES.make(search)
    record = algorithm.record()
    return int(record.get("N", 0)) * int(record.get("B", 1)) + 1


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
