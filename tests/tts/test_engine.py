"""The engine: continuous batching that changes nothing but the time it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from engine_trials import RememberingModel, trials
from torch import Tensor
from toy import SEARCHES
from toy_engine import Player, Trial, toy_engine

from tts.engine.batching import Engine, flops_of
from tts.engine.requests import EvalRequest, EvalResult
from tts.noise import Noise
from tts.plan import Condition
from tts.rewards.brightness import Brightness
from tts.rewards.compressibility import Compressibility
from tts.search.base import Problem
from tts.search.segment import ALL, Segment
from tts.testing.toy_model import SAMPLER, ConvModel, ToyModel

PLAN = SAMPLER.plan


def results(rearrange: Callable[[list[str]], list[list[str]]], model: ToyModel | None = None) -> dict[str, object]:
    """All trials' results, played in groups one after another on one engine."""
    engine, all_trials = toy_engine(model), trials()
    player = Player(engine)
    for group in rearrange(list(all_trials)):
        player.play([all_trials[name] for name in group])
    engine.close()
    return {name: trial.result for name, trial in all_trials.items()}


@pytest.fixture(scope="module")
def together() -> dict[str, object]:
    """All trials side by side."""
    return results(lambda names: [names])


@pytest.mark.parametrize(
    "rearrange",
    [
        lambda names: [names[::-1]],
        lambda names: [names[1::2] + names[::2]],
        lambda names: [[name] for name in names],
        lambda names: [names[:5], names[5:]],
    ],
    ids=["reversed", "shuffled", "one at a time", "in two groups"],
)
def test_results_do_not_depend_on_batch_mates(
    together: dict[str, object], rearrange: Callable[[list[str]], list[list[str]]]
) -> None:
    """Rewards, recipes, images and costs: bit for bit the same."""
    assert results(rearrange) == together


def test_results_of_a_convolutional_model_do_not_depend_on_batch_mates() -> None:
    assert results(lambda names: [names], ConvModel()) == results(lambda names: [names[::-1]], ConvModel())


@pytest.mark.parametrize("name", SEARCHES)
def test_charges_what_the_search_says(name: str) -> None:
    trial = Trial(SEARCHES[name], Problem(1, 2, PLAN, "brightness"))
    Player(toy_engine()).play([trial])
    says = SEARCHES[name].nfe(PLAN)
    assert trial.nfe == says if SEARCHES[name].exact else trial.nfe <= says
    assert trial.nfe > 0


def test_outcomes_add_up_to_the_engines_load() -> None:
    engine, model = toy_engine(model := ToyModel()), model
    every = list(trials().values())
    Player(engine).play(every)
    outcomes = [outcome for trial in every for outcome in trial.outcomes]
    assert sum(outcome.nfe for outcome in outcomes) == engine.load.rows
    assert engine.load.batches == model.forwards
    assert engine.load.rows <= engine.load.batches * engine.batch
    assert sum(outcome.seconds for outcome in outcomes) >= engine.load.seconds * 0.999


def test_fills_its_batches() -> None:
    """Trials of different searches, at different steps, share forward passes."""
    engine = toy_engine()
    names = ["naive", "random", "zero_order", "beam"] * 6
    Player(engine).play([Trial(SEARCHES[name], Problem(0, k, PLAN, "brightness")) for k, name in enumerate(names)])
    assert engine.load.rows / (engine.load.batches * engine.batch) > 0.9


def test_a_search_finds_more_than_plain_sampling() -> None:
    """This would fail for a search that does nothing."""
    engine = toy_engine()
    naive, random = (Trial(SEARCHES[name], Problem(1, 2, PLAN, "brightness")) for name in ("naive", "random"))
    Player(engine).play([naive, random])
    assert random.final.scores["brightness"] > naive.final.scores["brightness"] + 1e-3


@pytest.mark.parametrize("step", PLAN.noisy_steps)
def test_another_noise_gives_another_image(step: int) -> None:
    problem = Problem(1, 2, PLAN, "brightness")
    whole = problem.trajectory()
    changed = tuple(problem.noise(step, 9) if k == step else noise for k, noise in enumerate(whole.noises))
    first, second = Player(toy_engine()).ask(
        Segment(whole.start, whole.noises, 1, ALL), Segment(whole.start, changed, 1, ALL)
    )
    assert first.image != second.image


def test_another_condition_gives_another_image() -> None:
    one, two = (Segment(Noise(1), (None,) * PLAN.steps, condition, ALL) for condition in (1, 2))
    first, second = Player(toy_engine()).ask(one, two)
    assert first.image != second.image


def test_more_jobs_than_rows() -> None:
    outcomes = Player(toy_engine(batch=2)).ask(*[Segment(Noise(k), (None,) * 2, 0, "brightness") for k in range(7)])
    assert [outcome.nfe for outcome in outcomes] == [4] * 7


def test_a_batch_of_one() -> None:
    engine = toy_engine(batch=1)
    trial = Trial(SEARCHES["beam"], Problem(0, 0, PLAN, "brightness"))
    Player(engine).play([trial])
    assert engine.load.batches == engine.load.rows == trial.nfe


def test_jobs_can_come_while_others_run() -> None:
    """A late job joins the batch at its own step and ends as it would have alone."""
    engine = toy_engine()
    segment = Segment(Noise(5), (None,) * PLAN.steps, 2, ALL)
    [alone] = Player(toy_engine()).ask(segment)
    engine.submit([EvalRequest(0, Segment(Noise(1), (None,) * PLAN.steps, 0))])
    for _ in range(3):
        engine.advance()
    engine.submit([EvalRequest(1, segment)])
    outcomes = {}
    while engine.busy:
        outcomes |= {outcome.ticket: outcome for outcome in engine.advance()}
    assert (outcomes[1].image, outcomes[1].scores) == (alone.image, alone.scores)


class Gate:
    """A CPU reward that blocks until a test releases it."""

    host = True

    def __init__(self) -> None:
        self.open = threading.Event()

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        return [float(self.open.wait(timeout=5))] * len(images)


def test_the_device_does_not_wait_for_cpu_rewards() -> None:
    gate = Gate()
    engine = Engine(ToyModel(), {"gate": gate}, batch=2)
    engine.submit(
        [
            EvalRequest(0, Segment(Noise(1), (None,), 0, "gate")),
            EvalRequest(1, Segment(Noise(1), (None,) * PLAN.steps, 0)),
        ]
    )
    first: list[EvalResult] = []
    while not first:
        first = engine.advance()
    gate.open.set()
    assert [outcome.ticket for outcome in first] == [1]
    assert [(outcome.ticket, outcome.scores) for outcome in engine.advance()] == [(0, {"gate": 1.0})]


def test_an_idle_engine_has_nothing_to_do() -> None:
    engine = toy_engine()
    assert not engine.busy
    assert engine.advance() == []


def test_advancing_tracks_no_gradients() -> None:
    engine = Engine(ConvModel(), {}, batch=2)
    Player(engine).ask(Segment(Noise(1), (None,) * 2, 0))
    assert not any(tensor.requires_grad for tensor in engine.states[0])


class Slow:
    """A device that is one batch behind: it has done only what was queued before the next-to-last mark."""

    ahead, overlaps = 1, True

    def __init__(self) -> None:
        self.marks, self.awaited, self.beside_of = 0, list[int](), list[int]()
        self.furthest = 0

    def mark(self) -> int:
        self.marks += 1
        self.furthest = max(self.furthest, self.marks - (self.awaited[-1] if self.awaited else 0))
        return self.marks

    def wait(self, mark: int) -> None:
        self.awaited.append(mark)

    def seconds(self, begin: int, end: int) -> float:
        assert end in self.awaited
        return 1.0

    def at(self, mark: int) -> float:
        return float(mark)

    @contextmanager
    def beside(self, mark: int) -> Iterator[None]:
        self.beside_of.append(mark)
        yield


def test_a_second_batch_is_queued_and_images_are_scored_beside_it(together: dict[str, object]) -> None:
    """Results are the same as with one batch after another, and the device never has more than two batches."""
    slow, all_trials = Slow(), trials()
    rewards = {"brightness": Brightness().load(), "compressibility": Compressibility(max_bytes=600).load()}
    engine = Engine(ToyModel(), rewards, 6, stream=slow)
    Player(engine).play(list(all_trials.values()))
    engine.close()
    assert {name: trial.result for name, trial in all_trials.items()} == together
    assert slow.awaited == sorted(set(slow.awaited))
    assert len(slow.awaited) == engine.load.batches - 2  # the last two are still on the device
    assert engine.load.seconds == len(slow.awaited)
    assert len(slow.beside_of) > 3
    assert slow.furthest > 2  # a batch is queued before the previous one is awaited


def test_an_engines_time_is_made_of_its_parts() -> None:
    engine = toy_engine(RememberingModel())
    start = time.perf_counter()
    Player(engine).play(list(trials().values()))
    whole, load = time.perf_counter() - start, engine.load
    parts = (load.seconds, load.decode, load.reward, load.noise, load.idle)
    assert all(part > 0 for part in parts)
    assert sum(parts) <= whole
    assert load.awaiting == load.idle


def test_flops_are_counted_for_one_forward_of_one_image() -> None:
    model = ConvModel()
    convolutions = 2 * 8 * 8 * 9 * (3 * 16 + 16 * 3)
    assert flops_of(model, 0) == convolutions
    model.passes = 2
    assert flops_of(model, 0) == convolutions / 2
