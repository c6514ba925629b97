"""The states that an engine keeps: their order, recipes and images."""

from __future__ import annotations

import gc
import io

import pytest
import torch
from engine_trials import RememberingModel, trials
from PIL import Image
from torch import Tensor
from toy import SEARCHES
from toy_engine import Player, Trial, toy_engine

from tts.noise import Noise
from tts.rewards.brightness import Brightness
from tts.search.base import Problem
from tts.search.segment import ALL, Segment, State
from tts.testing.toy_model import SAMPLER, ToyModel

PLAN = SAMPLER.plan


def test_states_are_forgotten_with_their_handles() -> None:
    engine = toy_engine()
    Player(engine).play(list(trials().values()))
    gc.collect()
    assert engine.states == {}
    assert not engine.busy


def test_states_live_as_long_as_their_handles() -> None:
    engine = toy_engine()
    player = Player(engine)
    segment = Segment(Noise(1), (None,), 0)
    player.ask(segment)
    handle = player.handle(0, segment)
    assert set(engine.states) == {0}
    del handle
    assert engine.states == {}


def test_releasing_twice_or_too_early_does_no_harm() -> None:
    engine = toy_engine()
    engine.release([5, 5])
    assert engine.states == {}


def test_whole_orders_return_everything() -> None:
    [outcome] = Player(toy_engine()).ask(Segment(Noise(1), (None,) * PLAN.steps, 0, ALL))
    assert set(outcome.scores) == {"brightness", "compressibility"}
    assert Image.open(io.BytesIO(outcome.image)).size == (8, 8)
    assert (outcome.nfe, outcome.decodes, outcome.reward_calls) == (PLAN.nfe(), 1, 2)


def test_single_orders_return_one_reward() -> None:
    [outcome] = Player(toy_engine()).ask(Segment(Noise(1), (None,) * PLAN.steps, 0, "brightness"))
    [(name, value)] = outcome.scores.items()
    assert (name, 0 < value < 1) == ("brightness", True)
    assert (outcome.image, outcome.decodes, outcome.reward_calls) == (None, 1, 1)


def test_unscored_segments_are_not_decoded() -> None:
    [outcome] = Player(toy_engine()).ask(Segment(Noise(1), (None,), 0))
    assert (outcome.scores, outcome.decodes, outcome.reward_calls, outcome.nfe) == ({}, 0, 0, 2)


def test_a_segment_without_steps_costs_no_call() -> None:
    engine = toy_engine()
    [outcome] = Player(engine).ask(Segment(Noise(1), (), 0, "brightness"))
    assert (outcome.nfe, engine.load.batches) == (0, 0)
    assert outcome.scores["brightness"] is not None


@pytest.mark.parametrize("stop", range(1, PLAN.steps))
def test_a_recipe_leads_where_its_handle_leads(stop: int) -> None:
    """A state can be made again from its noises."""
    engine, problem = toy_engine(), Problem(1, 2, PLAN, "brightness")
    player, whole = Player(engine), problem.trajectory()
    before = Segment(whole.start, whole.noises[:stop], 1)
    player.ask(before)
    resumed = Segment(State(0, 0, stop, before.recipe), whole.noises[stop:], 1, ALL)
    [late], [whole_way] = player.ask(resumed), player.ask(Segment(whole.start, whole.noises, 1, ALL))
    assert (late.image, late.scores) == (whole_way.image, whole_way.scores)
    assert torch.equal(engine.states[1].x, engine.states[2].x)
    assert late.nfe + PLAN.nfe(0, stop) == whole_way.nfe


def test_the_final_image_is_the_final_state() -> None:
    """The reward of the last step equals the reward of the final image."""
    engine, problem = toy_engine(), Problem(1, 2, PLAN, "brightness")
    player = Player(engine)
    [scored] = player.ask(problem.trajectory())
    [final] = player.ask(Segment(State(0, 0, PLAN.steps, problem.trajectory().recipe), (), 1, ALL))
    assert final.scores == scored.scores | final.scores


@pytest.mark.parametrize("steps", range(1, PLAN.steps + 1))
def test_a_predicted_image_is_the_steps_last_answer(steps: int) -> None:
    """So scoring in mid-trajectory costs no further call."""
    model = RememberingModel()
    [scored] = Player(toy_engine(model)).ask(Segment(Noise(1), (None,) * steps, 2, "brightness"))
    assert list(scored.scores.values()) == Brightness().load().score(model.decode(model.answer[:1]), [2])
    assert scored.nfe == PLAN.nfe(0, steps)


class Counting(ToyModel):
    """Counts the images that it decodes."""

    decoded = 0

    def decode(self, x: Tensor, preview: bool = False) -> Tensor:
        self.decoded += 1
        return super().decode(x, preview)


def test_a_winner_that_was_scored_on_its_final_image_is_not_decoded_again() -> None:
    """One image of each trajectory is decoded, and none for the choice."""
    model = Counting()
    trial = Trial(SEARCHES["best_of_n"], Problem(1, 2, PLAN, "brightness"))
    engine = toy_engine(model, batch=1)
    Player(engine).play([trial])
    asked = [outcome for outcome in trial.outcomes if outcome.scores]
    assert model.decoded == sum(outcome.decodes for outcome in asked) == len(asked) - 1
    assert trial.final.decodes == 0
    [fresh] = Player(toy_engine(batch=1)).ask(Segment(trial.recipe[0], trial.recipe[1:], 1, ALL))
    assert (trial.final.image, trial.final.scores) == (fresh.image, fresh.scores)
    gc.collect()
    assert engine._scorer.kept._images == {}
