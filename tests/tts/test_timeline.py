"""Seconds of an engine's parts, by marks of its device."""

from __future__ import annotations

from scored_levels import Level, scored, wanted

from tts.engine.device_queue import CpuQueue
from tts.engine.requests import EngineCounters
from tts.engine.scoring import Scorer
from tts.engine.timeline import Timeline
from tts.testing.toy_model import ToyModel


class Clocked(CpuQueue):
    """A device whose clock moves by one second at each mark."""

    def __init__(self) -> None:
        self.now = 0.0

    def mark(self) -> float:
        self.now += 1.0
        return self.now


def test_device_seconds_are_told_by_its_marks() -> None:
    load = EngineCounters()
    timeline = Timeline(load)
    scorer = Scorer(ToyModel(), {"it": Level(False)}, 2, timeline=timeline, stream=Clocked())
    found = scored(scorer, [wanted(k, "it") for k in range(4)])
    timeline.settle()
    assert [score.seconds for score in found.values()] == [1.0] * 4  # each batch of two takes two seconds
    assert (load.decode, load.reward, load.noise, load.idle) == (2.0, 2.0, 0.0, 0.0)


def test_what_runs_side_by_side_is_counted_once() -> None:
    load = EngineCounters()
    timeline = Timeline(load)
    timeline.add("pass", 0, 4)
    timeline.add("decode", 3, 6)
    timeline.add("reward", 6, 7)
    timeline.add("noise", 1, 2)  # during a pass
    timeline.add("awaiting", 5, 9)
    timeline.settle(6.5)
    assert (load.decode, load.reward, load.noise, load.idle, load.awaiting) == (2, 0.5, 0, 0, 0)
    timeline.settle()
    assert (load.decode, load.reward, load.noise, load.idle, load.awaiting) == (2, 1, 0, 2, 2)
    assert load.seconds + 4 + load.decode + load.reward + load.idle == 9
