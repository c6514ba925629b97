"""What every model must keep to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from tts.models.base import Model, ModelSettings
from tts.noise import Noise, NoiseBank
from tts.plan import Condition
from tts.settings import parse
from tts.testing.requirement import fail, plain, refuses, refuses_unknown_keys, require, round_trip

if TYPE_CHECKING:
    from torch import Tensor

PROMPTS = ("a cat", "a red cube on a blue sphere")
"""Conditions of a model that has no list of them."""

WITHOUT_TORCH = """
import importlib.abc, json, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is imported")
sys.meta_path.insert(0, Blocked())
from tts.settings import parse
module, name, record, conditions, whole = json.load(sys.stdin)
found = __import__(module, fromlist=[name])
for part in name.split("."):
    found = getattr(found, part)
model = parse(found, record, name)
if whole:
    model.plan(), model.conditions(), [model.label(model.condition(each)) for each in conditions]
"""


class ModelConformance:
    """Checks of a model, on the CPU.

    Attributes:
        batch: rows of the forwards that are compared.
        device: where the model is loaded.
    """

    batch: ClassVar[int] = 4
    device: ClassVar[str] = "cpu"
    _loaded: ClassVar[list[tuple[ModelSettings, Model]]] = []

    def load(self, model: ModelSettings) -> Model:
        """The model, ready; the last one is kept for the next check."""
        if not self._loaded or self._loaded[0][0] is not model:
            self._loaded[:] = [(model, model.load(self.device))]
        return self._loaded[0][1]

    def conditions(self, model: ModelSettings) -> tuple[Condition, ...]:
        """Two conditions to draw, one where the model has no more."""
        return (model.conditions() or PROMPTS)[:2]

    def test_settings(self, model: ModelSettings) -> None:
        """Its settings can be written to a configuration and read again; others are refused."""
        round_trip(model)
        refuses_unknown_keys(model)

    def test_identity(self, model: ModelSettings) -> None:
        """Its identity is plain JSON, the same for the same settings."""
        plain(model.identity(), "identity()")
        again = parse(type(model), json.loads(json.dumps(model.record())), "the same")
        require(model.identity() == again.identity(), "identity() differs between two objects with the same settings")

    def test_conditions(self, model: ModelSettings) -> None:
        """Every condition has one form and a label; what it cannot draw is refused."""
        for given in self.conditions(model):
            condition = model.condition(given)
            require(isinstance(condition, int | str), f"condition({given!r}) is neither a class index nor a text")
            require(
                condition == given == model.condition(condition),
                f"condition({given!r}) becomes {condition!r}; a condition in its one form stays as it is",
            )
            for name in ("label", "caption"):
                text = getattr(model, name)(condition)
                require(isinstance(text, str) and text != "", f"{name}({condition!r}) is {text!r}; give a text")
        refuses(lambda: model.condition(None), "condition(None)")

    def test_without_torch(self, model: ModelSettings) -> None:
        """Plan, conditions and labels need no torch."""
        kind = type(model)
        if kind.__module__ == "__main__":
            return  # of a notebook; no other process can import it
        given = json.dumps(
            [kind.__module__, kind.__qualname__, model.record(), self.conditions(model), not kind.needs_torch]
        )
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", WITHOUT_TORCH]
        done = subprocess.run(command, input=given, env=environment, text=True, capture_output=True, check=False)  # noqa: S603
        if done.returncode:
            fail(
                f"plan(), condition() or label() does not work without torch ({done.stderr.strip().splitlines()[-1]}); "
                "import torch inside load() and denoise(), and name its types under 'if TYPE_CHECKING'"
            )

    def test_form(self, model: ModelSettings) -> None:
        """The loaded model says its shape, its passes, and the plan that its settings say."""
        found = self.load(model)
        whole = all(isinstance(size, int) and size > 0 for size in found.shape)
        require(whole, f"its shape {found.shape} is no tuple of sizes")
        require(
            isinstance(found.passes, int) and found.passes > 0,
            f"its passes are {found.passes!r}; 1, or 2 with guidance",
        )
        require(
            isinstance(found.previews, bool),
            f"its previews is {found.previews!r}; False unless it has a second decoder",
        )
        expected = found.sampler.plan
        require(
            expected.steps == model.plan().steps and expected.injects == model.plan().injects,
            "plan() of the settings is another than the loaded model's sampler's",
        )

    def test_answers(self, model: ModelSettings) -> None:
        """Predictions have the states' shape, float32, and are finite at every level."""
        import torch

        found = self.load(model)
        x, levels, conditions = self._calls(model)
        with torch.inference_mode():
            for level in levels:
                answer = found.denoise(x, level.expand(self.batch), conditions)
                require(answer.shape == x.shape, f"denoise() answers {[*answer.shape]} to states of {[*x.shape]}")
                require(answer.dtype == torch.float32, f"denoise() answers in {answer.dtype}; end with .float()")
                require(
                    bool(torch.isfinite(answer).all()),
                    f"denoise() answers NaN or infinity at level {float(level):.4g}; look at weights and precision",
                )

    def test_rows(self, model: ModelSettings) -> None:
        """A row's prediction and image do not depend on the rows beside it."""
        from tts.engine.batching import rows_are_independent
        from tts.engine.score_checks import first_dependent_score

        found, condition = self.load(model), self.conditions(model)[0]
        require(
            rows_are_independent(found, self.batch, condition, self.device),
            f"a row's prediction depends on the rows beside it (batch of {self.batch}, in another order or alone); use "
            "no statistics over the batch",
        )
        dependent = first_dependent_score(found, {}, self.batch, condition, self.device)
        require(dependent is None, f"{dependent} gives an image that depends on the rows beside it")

    def test_images(self, model: ModelSettings) -> None:
        """Images are [B, 3, H, W] uint8, and do not wrap around."""
        import torch

        found = self.load(model)
        bank = NoiseBank(found.shape)
        states = torch.stack([2 * torch.from_numpy(bank(Noise(k))) for k in range(self.batch)]).to(self.device)
        with torch.inference_mode():
            for preview in {False, found.previews}:
                images = found.decode(states, preview)
                require(
                    images.dtype == torch.uint8,
                    f"decode() gives {images.dtype}; end with .clamp(0, 255).to(torch.uint8)",
                )
                require(
                    images.ndim == 4 and images.shape[:2] == (self.batch, 3),
                    f"decode() gives {[*images.shape]} for {self.batch} states; images are [B, 3, H, W]",
                )
            steps = [found.decode(scale * states).float() for scale in (0.999, 1.0)]
        jump = float((steps[0] - steps[1]).abs().max())
        require(
            jump < 128,
            "decode() turns white into black where states grow by a thousandth; .clamp(0, 255) before .to(torch.uint8)",
        )

    def test_trajectories(self, model: ModelSettings) -> None:
        """Whole trajectories cost what plan() says; the same noises give the same image, others another."""
        from tts.engine.batching import Engine
        from tts.engine.requests import EvalRequest, EvalResult
        from tts.search.base import Problem
        from tts.search.segment import ALL

        found, condition, plan = self.load(model), self.conditions(model)[0], model.plan()
        engine = Engine(found, {}, self.batch, self.device)
        results: dict[int, EvalResult] = {}
        for tickets, seeds in (((0, 1), (0, 1)), ((2,), (0,))):
            whole = [Problem(condition, seed, plan, "none").trajectory() for seed in seeds]
            pairs = zip(tickets, whole, strict=True)
            engine.submit([EvalRequest(ticket, replace(segment, rewards=(ALL,))) for ticket, segment in pairs])
            while engine.busy:
                results |= {result.ticket: result for result in engine.advance()}
        engine.close()
        spent = results[0].nfe
        require(
            spent == plan.nfe(),
            f"a trajectory costs {spent} forwards where plan() says {plan.nfe()}; passes, or times()?",
        )
        require(results[0].image == results[2].image, "the same noises give two images; denoise() must draw nothing")
        require(results[0].image != results[1].image, "other noises give the same image; is the state used?")

    def _calls(self, model: ModelSettings) -> tuple[Tensor, Tensor, list[Condition]]:
        """States as a sampler would have them, every level that it asks at, and conditions."""
        import torch

        from tts.engine.batching import calls_of

        found, bank = self.load(model), NoiseBank(self.load(model).shape)
        calls = [calls_of(found, bank(Noise(k))) for k in range(self.batch)]
        levels = torch.tensor(sorted({call.level for call in calls[0]}), dtype=torch.float64)
        x = torch.stack([row[0].x for row in calls]).to(self.device)
        return x, levels, [self.conditions(model)[0]] * self.batch
