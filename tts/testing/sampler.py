"""What every sampler must keep to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor

from tts.errors import SettingError
from tts.noise import Noise, NoiseBank, normal
from tts.recipe import Action, Back
from tts.samplers.base import Call, Leaper, Position, Sampler, Step, drive, follow, tensors
from tts.samplers.schedules import Schedule, Sigmas
from tts.samplers.settings import SamplerSettings
from tts.testing.levels import LinearBetas, StraightLevels
from tts.testing.requirement import fail, refuses_unknown_keys, require, round_trip


class SamplerConformance:
    """Checks of a sampler with a denoiser of one formula: of its settings, or of one that is on its levels already.

    Attributes:
        shape: of the states.
        schedules: what its settings are put on; the first that fits.
    """

    shape: ClassVar[tuple[int, ...]] = (2, 4, 4)
    schedules: ClassVar[tuple[Schedule, ...]] = (Sigmas(), LinearBetas(), StraightLevels())

    def on(self, sampler: SamplerSettings | Sampler) -> Sampler:
        """The sampler on noise levels."""
        if not isinstance(sampler, SamplerSettings):
            return sampler
        reasons = []
        for schedule in self.schedules:
            try:
                return sampler.on(schedule)
            except SettingError as error:
                reasons.append(str(error))
        return fail(f"on(schedule) refuses every schedule: {'; '.join(reasons)}")

    def drawn(self, seed: int) -> Tensor:
        """A unit normal state, float32."""
        return torch.from_numpy(normal(seed, self.shape))

    def noises(self, sampler: Sampler, seed: int = 0) -> list[Tensor | None]:
        """A noise for each step that injects one."""
        injects = sampler.plan.injects
        return [self.drawn(seed + 1 + step) if injects[step] else None for step in range(len(injects))]

    def test_settings(self, sampler: SamplerSettings | Sampler) -> None:
        """Its settings can be written to a configuration and read again; others are refused."""
        if isinstance(sampler, SamplerSettings):
            round_trip(sampler)
            refuses_unknown_keys(sampler)

    def test_plan(self, sampler: SamplerSettings | Sampler) -> None:
        """Its plan has a cost, an injection and a level for every step."""
        found = self.on(sampler)
        plan = found.plan
        require(plan.steps > 0, "its plan has no steps")
        require(
            len(plan.injects) == plan.steps,
            f"its plan has {plan.steps} costs and {len(plan.injects)} injections; give one of each for every step",
        )
        whole = all(isinstance(calls, int) and calls >= 0 for calls in (*plan.nfe_per_step, plan.initial_nfe))
        require(whole, f"its plan's costs {plan.nfe_per_step}, {plan.initial_nfe} are no numbers of forwards")
        require(
            len(plan.levels) in (0, plan.steps + 1),
            f"its plan has {len(plan.levels)} levels; give {plan.steps + 1}, one before each step and one at the end",
        )

    def test_arguments(self, sampler: SamplerSettings | Sampler) -> None:
        """It writes into none of the tensors that it is given."""
        found = self.on(sampler)
        start, noises = self.drawn(0), self.noises(found)
        at = drive(found.initial(start), wavy)
        require(torch.equal(start, self.drawn(0)), "initial() writes into its noise")
        for step, noise in enumerate(noises):
            before = (at.x.clone(), at.predicted.clone())
            after = drive(found.step(at, step, noise), wavy)
            kept = torch.equal(at.x, before[0]) and torch.equal(at.predicted, before[1])
            require(kept, f"step {step} writes into the position it starts from; a search goes on from it many times")
            at = after
        if not _equal(noises, self.noises(found)):
            fail("step() writes into its noise")

    def test_costs(self, sampler: SamplerSettings | Sampler) -> None:
        """Each step makes as many denoiser calls as the plan says, with and without a noise."""
        found = self.on(sampler)
        plan = found.plan
        for noises in (self.noises(found), [None] * plan.steps):
            at, calls = count(found.initial(self.drawn(0)))
            says = f"initial() makes {calls} calls where plan.initial_nfe says {plan.initial_nfe}"
            require(calls == plan.initial_nfe, says)
            for step, noise in enumerate(noises):
                at, calls = count(found.step(at, step, noise))
                require(
                    calls == plan.nfe_per_step[step],
                    f"step {step} makes {calls} calls {'with' if noise is not None else 'without'} a noise where "
                    f"plan.nfe_per_step says {plan.nfe_per_step[step]}",
                )

    def test_injections(self, sampler: SamplerSettings | Sampler) -> None:
        """A noise changes a step's result exactly where plan.injects says so, and its prediction with it."""
        found = self.on(sampler)
        at, plan = drive(found.initial(self.drawn(0)), wavy), found.plan
        for step in range(plan.steps):
            one, other = (drive(found.step(at, step, self.drawn(seed)), wavy) for seed in (101, 102))
            changes = not torch.equal(one.x, other.x)
            require(
                changes == plan.injects[step],
                f"step {step}: plan.injects says {plan.injects[step]}, but another noise "
                f"{'changes' if changes else 'does not change'} its result",
            )
            require(
                not changes or not torch.equal(one.predicted, other.predicted),
                f"step {step}: another noise does not change its prediction, so that no search could choose among "
                "noises; predict from a state that has the noise in it",
            )
            at = drive(found.step(at, step, self.noises(found)[step]), wavy)

    def test_back(self, sampler: SamplerSettings | Sampler) -> None:
        """A way back to any earlier step costs what plan.back says, and depends on its noise."""
        found = self.on(sampler)
        noises = self.noises(found)
        for index in range(1, found.plan.steps + 1):
            at = drive(follow(found, self.drawn(0), noises[:index]), wavy)
            kept, to = at.x.clone(), (index - 1) // 2
            there, calls = count(found.back(at, index, to, self.drawn(201)))
            other = drive(found.back(at, index, to, self.drawn(202)), wavy)
            require(calls == found.plan.back, f"back() makes {calls} calls where plan.back says {found.plan.back}")
            require(bool(torch.isfinite(there.x).all()), f"back() from step {index} to {to} gives NaN or infinity")
            require(not torch.equal(there.x, other.x), f"back() from step {index} to {to} does not use its noise")
            require(torch.equal(at.x, kept), "back() writes into the position it starts from")

    def test_leaps(self, sampler: SamplerSettings | Sampler) -> None:
        """If its plan has leaps, it has one for each step, and they cost what the plan says."""
        found = self.on(sampler)
        plan = found.plan
        require(
            len(plan.leaps) in (0, plan.steps),
            f"its plan has costs of {len(plan.leaps)} leaps; give {plan.steps}, one to behind each step, or none",
        )
        for index in range(plan.steps) if plan.leaps else ():
            at = drive(follow(found, self.drawn(0), self.noises(found)[:index]), wavy)
            kept = at.x.clone()
            for to in range(index + 1, plan.steps + 1):
                end, calls = count(cast(Leaper, found).leap(at, index, to))
                says = f"leap() from step {index} to {to} makes {calls} calls where plan.leaps says"
                require(calls == plan.leaps[to - 1], f"{says} {plan.leaps[to - 1]}")
                require(bool(torch.isfinite(end.x).all()), f"leap() from step {index} to {to} gives NaN or infinity")
            require(torch.equal(at.x, kept), "leap() writes into the position it starts from")

    def test_form(self, sampler: SamplerSettings | Sampler) -> None:
        """States and calls keep shape and float32, and are finite."""
        found = self.on(sampler)
        calls: list[Call] = []

        def answer(call: Call) -> Tensor:
            calls.append(call)
            return wavy(call)

        end = drive(follow(found, self.drawn(0), self.noises(found)), answer)
        for name, tensor in [("a call", call.x) for call in calls] + [
            ("the end", end.x),
            ("the prediction", end.predicted),
        ]:
            require(
                tuple(tensor.shape) == self.shape, f"{name} has the shape {tuple(tensor.shape)}, states {self.shape}"
            )
            require(
                tensor.dtype == torch.float32,
                f"{name} is {tensor.dtype} where states are torch.float32; compute with Python's floats, not with "
                "tensors of another dtype",
            )
            require(bool(torch.isfinite(tensor).all()), f"{name} has NaN or infinity in it")
        require(
            all(isinstance(call.level, int | float) and math.isfinite(call.level) for call in calls),
            "a call's level is no finite number; give Python's floats, not tensors",
        )

    def test_repeats(self, sampler: SamplerSettings | Sampler) -> None:
        """The same noises lead to the same end, also when several trajectories take turns."""
        found = self.on(sampler)
        first = drive(follow(found, self.drawn(0), self.noises(found)), wavy).x
        runs = [follow(found, self.drawn(k), self.noises(found, 50 * k)) for k in (0, 1)]
        require(
            torch.equal(_in_turns(runs)[0].x, first),
            "a trajectory ends elsewhere when another one runs beside it; keep nothing on the found, draw nothing: "
            "its only noise is the argument",
        )

    def test_together(self, sampler: SamplerSettings | Sampler) -> None:
        """Many rows at once, of other steps and with or without noises, end where each ends alone."""
        from tts.engine.batching import Engine
        from tts.engine.requests import EvalRequest
        from tts.search.segment import Segment
        from tts.testing.toy_model import Wavy

        found, bank = self.on(sampler), NoiseBank(self.shape)
        engine = Engine(Wavy(found, self.shape), {}, 5)
        recipes = _recipes(found.plan.steps)
        engine.submit([EvalRequest(k, Segment(Noise(k), each, 0)) for k, each in enumerate(recipes)])
        while engine.busy:
            engine.advance()
        for k, recipe in enumerate(recipes):
            noises = [tensors(action, lambda noise: torch.from_numpy(bank(noise))) for action in recipe]
            end, kept = drive(follow(found, torch.from_numpy(bank(Noise(k))), noises), wavy), engine.states[k]
            require(
                torch.equal(kept.x, end.x) and torch.equal(kept.predicted, end.predicted),
                "a trajectory ends elsewhere among others; do to each row what is done to one alone",
            )

    def test_parts(self, sampler: SamplerSettings | Sampler) -> None:
        """A trajectory in parts ends where the whole one ends."""
        found = self.on(sampler)
        noises, steps = self.noises(found), found.plan.steps
        whole = drive(follow(found, self.drawn(0), noises), wavy)
        for stop in range(steps + 1):
            middle = drive(follow(found, self.drawn(0), noises[:stop]), wavy)
            drive(follow(found, self.drawn(9), self.noises(found, 900)), wavy)  # another one comes between them
            end = drive(follow(found, middle, noises[stop:], stop), wavy)
            require(
                torch.equal(end.x, whole.x),
                f"a trajectory that goes on from step {stop} ends elsewhere than one in one piece; all that a step "
                "needs must be in its position, its index and its noise",
            )

    def test_end(self, sampler: SamplerSettings | Sampler) -> None:
        """The last position's prediction is its state."""
        found = self.on(sampler)
        end = drive(follow(found, self.drawn(0), self.noises(found)), wavy)
        require(
            torch.equal(end.x, end.predicted),
            "the last position's 'predicted' is not its 'x', so that the last step's reward would not be the final "
            "image's; end with Position(x, x)",
        )


def wavy(call: Call) -> Tensor:
    """A denoiser of one formula, no shrinkage, for levels and time steps alike."""
    return 0.5 * torch.sin(2 * call.x / (1 + call.level) + 0.01 * call.level)


def count(step: Step) -> tuple[Position, int]:
    """Where a coroutine leads, and how many calls it makes."""
    calls: list[Call] = []

    def answer(call: Call) -> Tensor:
        calls.append(call)
        return wavy(call)

    return drive(step, answer), len(calls)


def _recipes(steps: int) -> list[tuple[Action, ...]]:
    """Of all lengths, with and without noises, a few with a way back."""
    forth = [
        [None if (k + at) % 3 == 0 else Noise(99 * k + at) for at in range(1 + k % steps)] for k in range(2 * steps)
    ]
    return [(*each, *[Back(Noise(k), len(each) - 1), None][: 2 * (k % 4 == 1)]) for k, each in enumerate(forth)]


def _in_turns(runs: Sequence[Step]) -> list[Position]:
    """Run coroutines side by side, one call each in turn."""
    ends: dict[int, Position] = {}
    answers: dict[int, Tensor | None] = dict.fromkeys(range(len(runs)))
    while len(ends) < len(runs):
        for k, run in enumerate(runs):
            if k not in ends:
                try:
                    answers[k] = wavy(run.send(answers[k]))  # type: ignore[arg-type]  # None starts a generator
                except StopIteration as end:
                    ends[k] = end.value
    return [ends[k] for k in range(len(runs))]


def _equal(first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)
