"""A run's sinks at work, each in a thread of its own: none of them can stop the run, or hold it up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.sinks.base import CurvePoint, RunFacts, SinkSettings, Tracker
from bench.sinks.tally import Tally, columns_of
from bench.store.plain import plain
from bench.store.row import TrialRow
from tts.errors import first_line
from tts.files.addresses import redacted, without_secrets

END_SECONDS = 30.0
"""Seconds for a sink to take the last numbers of a finished run; after that they are dropped."""
STOP_SECONDS = 3.0
"""The same for a run that is stopped."""
SHOWN_LETTERS = 200
AGAIN = "; the run goes on, and the sink is tried again with what follows"


@dataclass
class Parcel:
    """What waits for a sink: the newest numbers, images, and in the end how the run ended with its curves."""

    step: int = 0
    numbers: dict[str, float] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    end: str | None = None
    curves: list[CurvePoint] = field(default_factory=list)


class SinkThread:
    """One sink, which is given parcels; a newer one replaces the numbers of one that still waits.

    Args:
        failure: what went wrong at last; None: nothing yet, or it has answered since.
        lost: parcels that did not arrive.
    """

    def __init__(self, name: str, settings: SinkSettings, run: RunFacts, warn: Callable[[str], None]) -> None:
        self.name, self.settings = name, settings
        self.failure: str | None = None
        self.lost, self._warned = 0, False
        self._run, self._warn = run, warn
        self._tracker: Tracker | None = None
        self._changed = threading.Condition()
        self._waiting: Parcel | None = None
        self._thread = threading.Thread(target=self._work, name=f"sink {name}", daemon=True)
        self._thread.start()

    def give(self, parcel: Parcel) -> None:
        """Take a parcel, at once."""
        with self._changed:
            if self._waiting is not None:
                parcel.images = {**self._waiting.images, **parcel.images}
            self._waiting = parcel
            self._changed.notify()

    def join(self, until: float, seconds: float) -> None:
        """Wait for the last parcel to arrive, but no longer than until then, which is so many seconds after the end."""
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self._fail(f"does not answer within {seconds:g} s of the end, and is left behind", then="")

    def _work(self) -> None:
        ended = False
        while not ended:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None)
                parcel, self._waiting = self._waiting, None
            assert parcel is not None  # it was waited for
            ended = parcel.end is not None
            try:
                self._send(parcel)
            except (Exception, SystemExit) as error:  # no error of another package is worth a run
                self._tracker = None  # one that has failed may stay so, as TensorBoard's does after a full disk
                self._fail(f"{type(error).__name__}: {first_line(error)}")
            else:
                self.failure = None

    def _send(self, parcel: Parcel) -> None:
        if self._tracker is None:
            self._tracker = self.settings.open(self._run)
        for name, png in parcel.images.items():
            self._tracker.image(name, png, parcel.step)
        self._tracker.numbers(parcel.numbers, parcel.step)
        if parcel.end is not None:
            self._tracker.curves(parcel.curves, parcel.step)
            self._tracker.end(parcel.end)

    def _fail(self, reason: str, then: str = AGAIN) -> None:
        """Note a failure, and warn of it once."""
        self.lost += 1
        self.failure = plain(redacted(without_secrets(reason)))[:SHOWN_LETTERS]
        if not self._warned:
            self._warned = True
            self._warn(f"sink {self.name}: {self.failure}{then}")


class Tracking:
    """Tells sinks how a run gets on.

    Args:
        sinks: by name.
        run: what it is.
        tally: of the rows that are stored already.
        warn: takes a line.
    """

    def __init__(
        self, sinks: Mapping[str, SinkSettings], run: RunFacts, tally: Tally, warn: Callable[[str], None]
    ) -> None:
        self._tally = tally
        self._threads = [SinkThread(name, settings, run, warn) for name, settings in sinks.items()]
        self._told = dict.fromkeys(sinks, -float("inf"))
        self._images: dict[str, bytes] = {}
        self._sent: dict[str, set[str]] = {name: set() for name in sinks}

    @property
    def failures(self) -> dict[str, str]:
        """Sinks that did not take all they were given, and why not."""
        return {
            each.name: f"{each.lost} updates lost; {each.failure or 'it answers again'}"
            for each in self._threads
            if each.lost
        }

    def add(self, row: TrialRow) -> None:
        """A trial has ended."""
        if not self._threads:
            return
        point = self._tally.add(columns_of(row))
        if point is not None and row.image is not None:
            reward, _, name = point
            self._images.setdefault(f"image/{reward}/{name}", row.image)

    def tell(self, step: int, numbers: Callable[[], Mapping[str, float]]) -> None:
        """The run has gone on; each sink hears of it when its time has come.

        Args:
            step: trials done.
            numbers: of the run's progress; asked for only where a sink's time has come, as runs go on often.
        """
        now = time.monotonic()
        for thread in self._threads:
            if now - self._told[thread.name] >= thread.settings.seconds:
                self._told[thread.name] = now
                thread.give(self._parcel(thread, step, numbers()))

    def end(self, step: int, numbers: Mapping[str, float], state: str) -> None:
        """Give every sink the last numbers, and wait a while for them to take these."""
        for thread in self._threads:
            parcel = self._parcel(thread, step, numbers)
            parcel.end, parcel.curves = state, self._tally.curves()
            thread.give(parcel)
        seconds = END_SECONDS if state == "done" else STOP_SECONDS
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(until, seconds)

    def _parcel(self, thread: SinkThread, step: int, numbers: Mapping[str, float]) -> Parcel:
        sent = self._sent[thread.name]
        new = [name for name in self._images if name not in sent][: thread.settings.images - len(sent)]
        sent.update(new)
        images = {name: self._images[name] for name in new}
        return Parcel(step, {**numbers, **self._tally.numbers()}, images)
