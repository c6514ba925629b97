"""A search played on one device, in a few lines of Python.

:func:`play` runs a search on an :class:`~tts.engine.batching.Engine` to its end; :func:`replay` makes an image again
from its recipe. Both give bit for bit what ``tts-bench run`` gives for the same problem, batch and number of threads.
"""

from __future__ import annotations

import io
import itertools
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tts.engine.requests import EvalRequest, EvalResult
from tts.errors import EngineError, SettingError, UnknownNameError
from tts.loading import LoadedModel, LoadedReward
from tts.noise import Noise
from tts.plan import Condition
from tts.recipe import Action, Back, Recipe, end, fault, from_record
from tts.registry import SEARCHES
from tts.rewards.base import Score
from tts.search import rules
from tts.search.base import Problem, Search
from tts.search.segment import ALL, Evaluation, Segment, State
from tts.settings import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from tts.engine.batching import Engine
    from tts.models.base import Model
    from tts.rewards.base import Reward

_tickets = itertools.count()
_sound: weakref.WeakSet[Engine] = weakref.WeakSet()  # engines whose rows were checked not to depend on one another


@dataclass(frozen=True)
class Picture:
    """A finished image, with its recipe, rewards and cost.

    Args:
        condition: class index or prompt.
        recipe: the initial noise, then the actions.
        png: the image's PNG file.
        rewards: value of each of the engine's rewards; None: could not be scored.
        nfe: denoiser forwards spent.
    """

    condition: Condition
    recipe: Recipe
    png: bytes
    rewards: Mapping[str, Score]
    nfe: int

    @property
    def image(self) -> Image:
        """The image as a Pillow image."""
        from PIL import Image

        return Image.open(io.BytesIO(self.png))

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The image as ``[H, W, 3]`` uint8."""
        import numpy as np

        return np.asarray(self.image)


@dataclass(frozen=True)
class Tried:
    """One evaluation of a search.

    Args:
        round: index of the list of segments that it was in, from 0.
        first: steps done before.
        recipe: the actions up to the state to which it led.
        reward: value of the predicted image (after the last step, of the final one); None: not scored.
        nfe: denoiser forwards spent on it.
    """

    round: int
    first: int
    recipe: Recipe
    reward: Score
    nfe: int


@dataclass(frozen=True)
class Result(Picture):
    """The result of a search.

    Args:
        reward: the final image's value of the reward that was searched on.
        trace: every evaluation, in the order in which the search asked.
    """

    reward: Score
    trace: tuple[Tried, ...]


def play(search: Search | str | Mapping[str, Any], problem: Problem, engine: Engine) -> Result:
    """Run a search to its end.

    Args:
        search: the search, its registered name, or ``{"name": ..., key: value}``.
        problem: what to search; :meth:`tts.loading.LoadedModel.problem` makes one.
        engine: the engine to use; it must have no other work.

    Raises:
        SettingError: the problem does not fit the engine (unknown reward or condition, another sampler), or the search
            refuses the sampler's steps, the rewards or the model's shape.
        SearchError: the search breaks a rule of searches.
        EngineError: a reward failed, or rows of the engine's batch depend on one another.
    """
    if not isinstance(search, Search):
        search = SEARCHES.make(search if isinstance(search, str) else dict(search))[1]
    problem = _fitted(problem, engine)
    search.suits(problem.plan, problem.rewards)
    search.fits(tuple(engine.model.shape))
    game = _Game(problem, engine)
    best = game.run(search)
    final = game.render(best)
    return Result(
        condition=problem.condition,
        recipe=best.state.noises,
        png=_image(final),
        rewards=final.scores,
        nfe=sum(tried.nfe for tried in game.trace),
        reward=final.scores[problem.reward],
        trace=tuple(game.trace),
    )


def replay(recipe: Iterable[Action | Mapping[str, Any]], condition: object, engine: Engine) -> Picture:
    """Make an image again from its recipe: a trajectory is its noise.

    Args:
        recipe: actions, or their records from a row's column ``noises`` (read them by pyarrow, as pandas turns integers
            beside nulls into floats).
        condition: class index, name of a class, or prompt.
        engine: the engine to use.

    Raises:
        SettingError: the recipe does not fit the engine's model.
        EngineError: a reward failed, or rows of the engine's batch depend on one another.
    """
    first, *others = [_action(entry) for entry in recipe] or [None]
    steps = engine.model.sampler.plan.steps
    if not isinstance(first, Noise) or fault(0, others, steps) or end(0, others) != steps:
        raise SettingError(f"recipe: an initial noise and one entry for each of the model's {steps} steps are needed")
    known = _condition(condition, engine)
    _check_rows(engine, known)
    [outcome] = _evaluate(engine, [Segment(first, tuple(others), known, ALL)])
    engine.release([outcome.ticket])
    return Picture(known, (first, *others), _image(outcome), outcome.scores, outcome.nfe)


class _Game:
    """One search on one problem, and the states that it holds."""

    def __init__(self, problem: Problem, engine: Engine) -> None:
        self.problem, self.engine = problem, engine
        self.trace: list[Tried] = []
        self._held: weakref.WeakSet[State] = weakref.WeakSet()
        self._rounds = 0

    def run(self, search: Search) -> Evaluation:
        """The evaluation that the search chooses."""
        run, meter = rules.begin(search, self.problem), rules.Meter(search, self.problem.plan)
        answers: list[Evaluation] = []
        try:
            yielded: object = next(run)
            while True:
                answers = []  # frees the states that the search has released
                segments = rules.checked(yielded, self.problem, self._held.__contains__)
                answers = self._answers(segments)
                meter.add(sum(answer.nfe for answer in answers))
                del segments
                yielded = run.send(answers)
        except StopIteration as end:
            return rules.chosen(end.value, self.problem)
        finally:
            run.close()

    def render(self, best: Evaluation) -> EvalResult:
        """All rewards and the image of a finished trajectory."""
        [outcome] = _evaluate(self.engine, [Segment(best.state, (), self.problem.condition, ALL)])
        self.engine.release([outcome.ticket])
        return outcome

    def _answers(self, segments: Sequence[Segment]) -> list[Evaluation]:
        outcomes = _evaluate(self.engine, segments)
        answers = [self._answer(segment, outcome) for segment, outcome in zip(segments, outcomes, strict=True)]
        self._rounds += 1
        return answers

    def _answer(self, segment: Segment, outcome: EvalResult) -> Evaluation:
        state = State(outcome.ticket, 0, segment.stop, segment.recipe)
        weakref.finalize(state, self.engine.release, [outcome.ticket])
        self._held.add(state)
        found = Evaluation.of(state, segment, outcome.scores, self.problem.reward, outcome.nfe)
        self.trace.append(Tried(self._rounds, segment.first, segment.recipe, found.reward, outcome.nfe))
        return found


def _fitted(problem: Problem, engine: Engine) -> Problem:
    """The problem with its condition in the model's form, after a check that the engine can search it."""
    if engine.busy:
        raise SettingError("engine: it is at work; play one search after another, or use tts-bench for many")
    rewards = engine.rewards
    for name in (problem.reward, *problem.rewards):
        if name not in rewards:
            known = nearest(name, rewards) if rewards else "it has none"
            raise UnknownNameError(f"reward '{name}' is not among the engine's; {known}")
    if problem.plan != engine.model.sampler.plan.times(engine.model.passes):
        raise SettingError("problem.plan is another than the model's; make the problem by model.problem(...)")
    for name in problem.rewards:
        _check_pair(engine.model, rewards[name], engine.device)
    known_condition = _condition(problem.condition, engine)
    _check_rows(engine, known_condition)
    return replace(problem, condition=known_condition)


def _check_pair(model: Model, reward: Reward, device: str) -> None:
    """Refuse a reward that cannot judge the model's images, and a model on another device than the engine."""
    if not isinstance(model, LoadedModel):
        return
    if isinstance(reward, LoadedReward):
        reward.settings.suits(model.settings)
    if model.device != device:
        raise SettingError(f"engine: its device is {device}, its model's is {model.device}; give both the same")


def _check_rows(engine: Engine, condition: Condition) -> None:
    """Refuse an engine whose results depend on the batch; each engine is checked once."""
    if engine in _sound:
        return
    from tts.engine.batching import rows_are_independent

    if not rows_are_independent(engine.model, engine.batch, condition, engine.device):
        raise EngineError(
            f"batch = {engine.batch}: on this device a row's result depends on the rows beside it, so that no result "
            "could be repeated; try another batch size"
        )
    _sound.add(engine)


def _condition(condition: Any, engine: Engine) -> Condition:
    """A condition in the model's own form; unchanged for a model without settings."""
    model = engine.model
    return model.settings.condition(condition) if isinstance(model, LoadedModel) else condition


def _action(entry: Any) -> Action:
    if entry is None or isinstance(entry, Noise | Back):
        return entry
    if not isinstance(entry["seed"], int):
        raise SettingError(
            f"recipe: seed {entry['seed']!r} is no integer; read rows by pyarrow and to_pylist(), as pandas makes "
            "floats of integers beside nulls"
        )
    try:
        return from_record(dict(entry))
    except ValueError as error:
        raise SettingError(f"recipe: {error}") from None


def _evaluate(engine: Engine, segments: Sequence[Segment]) -> list[EvalResult]:
    """The evaluations of some segments, in their order."""
    tickets = [next(_tickets) for _ in segments]
    engine.submit([EvalRequest(ticket, segment) for ticket, segment in zip(tickets, segments, strict=True)])
    found: dict[int, EvalResult] = {}
    while engine.busy:
        found |= {outcome.ticket: outcome for outcome in engine.advance()}
    for outcome in found.values():
        for reason in outcome.errors.values():
            engine.release(tickets)
            raise EngineError(reason)
    return [found[ticket] for ticket in tickets]


def _image(outcome: EvalResult) -> bytes:
    assert outcome.image is not None  # the segment asked for everything
    return outcome.image
