"""Runs of simulated engines through every mishap, in this process: into a folder, and into an object store."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fake_pool import study
from mortal_pools import HostPool, Killed, MortalPool

from bench.run.driver import Driver
from bench.store import reader, trace
from bench.store.leases import STALE_SECONDS
from bench.store.row import TrialRow
from bench.store.schema import TIMED
from bench.store.writer import Store
from bench.study.study import Study
from chaos.clocks import JUMP, Clock, leaping
from chaos.engines import ENGINE, FROZEN, NODE, WORKER, TroubledHosts, TroubledPool
from chaos.quota import Outcome, Quota, Rows
from chaos.stores import FAULT, KILL, Bucket, Trouble, troubled
from tts.errors import SettingError, TTSError

END, REPLACED = "driver killed", "driver frozen, and replaced meanwhile"
ANYWHERE = (KILL, FAULT, JUMP)
"""Kinds that befall every world."""
WAITS = 2
"""Starts in a row that may be refused for another driver's mark, each :data:`STALE_SECONDS` after the one before."""
ROW_CHANCE = 0.08
"""That the driver ends when it has taken a row."""


@dataclass(frozen=True)
class World:
    """Where a run takes place.

    Args:
        of: its study; searches run beside its engines, or in the driver.
        bucket: it is stored in an object store.
    """

    name: str
    of: Study
    bucket: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """What may befall it."""
        own = (WORKER,) if self.of.beside else (ENGINE, NODE, FROZEN)
        return (*ANYWHERE, *own, *self.ends)

    @property
    def ends(self) -> tuple[str, ...]:
        """How its drivers may end; in a folder, one that is frozen keeps its lock."""
        return (END, REPLACED) if self.bucket else (END,)

    def pool(self, coins: random.Random, quota: Quota) -> MortalPool | HostPool:
        """Engines in trouble."""
        return TroubledHosts(2, self.of, coins, quota) if self.of.beside else TroubledPool(2, self.of, coins, quota)

    def sound_pool(self) -> MortalPool | HostPool:
        """An engine that lives."""
        return (HostPool if self.of.beside else MortalPool)(1, self.of, random.Random(0), 0.0)

    @contextmanager
    def place(self, folder: Path) -> Iterator[Path | Bucket]:
        """Where to store a run; it is gone afterwards."""
        yield Bucket() if self.bucket else folder
        if folder.exists():
            shutil.rmtree(folder)


def worlds(**changes: Any) -> list[World]:
    """Every world, of one study."""
    plain = study(max_errors=999, trace=True, **changes)
    hosted = study(max_errors=999, trace=True, **changes, engines={"batch": 4, "simulate": 0.0, "search_on": "engine"})
    return [
        World("engines, into a folder", plain),
        World("search workers, into a folder", hosted),
        World("engines, into an object store", plain, bucket=True),
    ]


class Frozen(Killed):
    """The driver's process stands still; it counts as killed, until it moves again."""


class StoreSink:
    """The store as a sink; a driver may be killed, or freeze, whenever it has taken a row.

    Args:
        ends: as what, by chance.
    """

    full = False

    def __init__(self, store: Store, coins: random.Random, quota: Quota, ends: tuple[str, ...]) -> None:
        self.store, self.coins, self.quota, self.ends = store, coins, quota, ends

    def add(self, row: TrialRow) -> None:
        """Store a row; a store that fails keeps it for later."""
        with suppress(SettingError):
            self.store.add(row)
        end = self.coins.choice(self.ends)
        if self.coins.random() < ROW_CHANCE and self.quota.spend(end):
            raise Frozen if end == REPLACED else Killed

    def tick(self) -> None:
        """Try again what waits."""
        with suppress(SettingError):
            self.store.tick()


class Campaign:
    """Runs of one world through mishaps.

    Args:
        folder: for files; it need not be there.
        quota: what is to come.
    """

    def __init__(self, world: World, folder: Path, quota: Quota) -> None:
        self.world, self.folder, self.quota, self.outcome = world, folder, quota, Outcome()
        self.frozen, self.refused = list[Store](), 0
        with world.place(folder / "calm") as place:
            self._live(place, random.Random(0), Quota({}), world.sound_pool())
            self.calm = rows(place)

    def run(self, seed: int) -> None:
        """One run through mishaps to its end, compared with the undisturbed one."""
        coins = random.Random(seed)
        with self.world.place(self.folder / str(seed)) as place:
            try:
                with leaping(coins, self.quota) as clock:
                    while not self._start(place, coins):
                        clock.wall += STALE_SECONDS  # whoever finds another driver's mark waits for so long
                    self._wake(list(self.frozen))
                    self._finish(place, coins, clock)
            except Exception as error:
                raise AssertionError(f"{self.world.name}, seed {seed}: {error}") from error
            self.outcome.compare(rows(place), self.calm)

    def _start(self, place: Path | Bucket, coins: random.Random) -> bool:
        """One start of a run; whether it came to its end.

        Raises:
            TTSError: it ended though nothing befell it, or another driver's mark is not stale for too long.
        """
        before, asleep = self.quota.came.total(), list(self.frozen)
        try:
            with troubled(place, Trouble(coins, self.quota)):
                self._live(place, coins, self.quota, self.world.pool(coins, self.quota))
        except Killed:
            return False
        except TTSError as error:  # the store could not be opened, or what waited not be written: the user starts again
            self.refused = self.refused + 1 if "another run" in str(error) else 0
            if self.refused > WAITS or not (self.refused or before < self.quota.came.total()):
                raise
            return False
        finally:
            self._wake(asleep)
        return True

    def _finish(self, place: Path | Bucket, coins: random.Random, clock: Clock) -> None:
        """The last start, which the user repeats if the clock went back by a second and a mark is not stale yet."""
        for again in (True, False):
            clock.wall += STALE_SECONDS
            try:
                self._live(place, coins, Quota({}), self.world.sound_pool(), last=True)
                break
            except SettingError as error:
                if not again or "another run" not in str(error):
                    raise

    def _wake(self, stores: list[Store]) -> None:
        """Drivers that stood still while another one ran store what they had, and end."""
        for store in stores:
            store.tick()
            store.flush()
            self.frozen.remove(store)

    def _live(
        self, place: Path | Bucket, coins: random.Random, quota: Quota, pool: MortalPool | HostPool, last: bool = False
    ) -> None:
        """A driver's life, to its end with everything stored; the last one runs again what was given up."""
        self.outcome.starts += 1
        of, wait = self.world.of, coins.choice([0.0, 1e6])
        store = Store(place, of.rewards, flush_rows=coins.randint(1, 9), flush_seconds=wait)
        try:
            done = store.open(of.digest(), {"digest": of.digest(), "config": {}, "devices": []}, retry_errors=last)
            Driver(of, pool, StoreSink(store, coins, quota, self.world.ends), done).run()
            store.flush()
        except Frozen:
            self.frozen.append(store)
            raise
        finally:
            if not self.world.bucket:
                _let_go(store)
        _let_go(store)


def _let_go(store: Store) -> None:
    """Let a place go: a driver that ends does so, and of a process that is killed the system lets a folder go."""
    if store._claim is not None:
        store._claim.release()


def rows(place: Path | Bucket) -> Rows:
    """All that is stored, without the columns that tell times: trials, and their evaluations."""
    found = reader.read(place) if isinstance(place, Bucket) else reader.table(place)
    assert found is not None
    plain = [{name: value for name, value in row.items() if name not in TIMED} for row in found.to_pylist()]
    return [*plain, *trace.read(place).astype(str).to_dict("records")]
