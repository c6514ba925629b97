"""Errors of a device and of torch's compiler become one line that names their source."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tts.engine.asking import ask, ask_places
from tts.engine.batching import Engine
from tts.engine.device_errors import named
from tts.engine.features import extract_places
from tts.engine.requests import EvalRequest
from tts.errors import DeviceError, DeviceMemoryError, EngineError
from tts.noise import Noise
from tts.plan import Condition
from tts.search.segment import ALL, Segment
from tts.testing.toy_model import ToyModel

CUDA_SAYS = """CUDA error: device-side assert triggered
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""
FIRST = "CUDA error: device-side assert triggered"


class Broken:
    """A reward and a metric whose device has failed."""

    def __init__(self, host: bool = True, error: Exception | None = None) -> None:
        self.host, self.calls, self.error = host, 0, error or RuntimeError(CUDA_SAYS)

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        self.calls += 1
        raise self.error

    def features(self, images: Tensor) -> Tensor:
        self.calls += 1
        raise self.error


def advance_to_the_end(engine: Engine) -> None:
    while engine.busy:
        engine.advance()


@pytest.mark.parametrize("host", [True, False])
def test_a_reward_whose_device_fails_is_named_and_not_asked_again(host: bool) -> None:
    reward, model = Broken(host), ToyModel()
    engine = Engine(model, {"faulty": reward}, batch=2)
    noises = tuple(Noise(k) for k in range(model.sampler.plan.steps))
    engine.submit([EvalRequest(0, Segment(Noise(7), noises, 0, ALL))])
    with pytest.raises(DeviceError) as caught:
        advance_to_the_end(engine)
    assert str(caught.value) == f"reward faulty: {FIRST}"
    assert reward.calls == 1


def test_a_metric_whose_device_fails_is_named_and_not_asked_again() -> None:
    metric = Broken()
    with pytest.raises(DeviceError) as caught:
        extract_places("seen", metric, torch.zeros(2, 3, 4, 4, dtype=torch.uint8), [0, 1])
    assert (str(caught.value), metric.calls) == (f"metric seen: {FIRST}", 1)


class BrokenByOne(Broken):
    """The whole batch is too much for it; then its device fails over one image."""

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        if self.calls == 0:
            self.calls += 1
            raise ValueError("too many")
        return super().score(images, conditions)

    def features(self, images: Tensor) -> Tensor:
        return torch.tensor(self.score(images, []))


def test_a_device_that_fails_over_one_image_is_no_error_of_the_image() -> None:
    images, conditions = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), [0, 0]
    with pytest.raises(DeviceError, match="reward faulty"):
        ask_places("faulty", BrokenByOne(), images, conditions, {0: 0, 1: 1})
    with pytest.raises(DeviceError, match="metric seen"):
        extract_places("seen", BrokenByOne(), images, [0, 1])


def test_a_network_whose_device_fails_is_said_in_one_line() -> None:
    with pytest.raises(DeviceError) as caught, named(4):
        raise RuntimeError(CUDA_SAYS)
    assert str(caught.value) == f"the engine's device failed: {FIRST}"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_is_the_batchs_fault_whoever_meets_it(error: Exception) -> None:
    images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(DeviceMemoryError, match=r"^out of memory with engines\.batch = 4; set .*score_batch"), named(4):
        ask("faulty", Broken(error=error), images, [0])


def test_without_a_compiler_the_setting_is_named() -> None:
    kind = type("InductorError", (RuntimeError,), {"__module__": "torch._inductor.exc"})
    says = "InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, 'g++')"
    with pytest.raises(EngineError) as caught, named(4):
        raise kind(f"{says}\n\nSet TORCHDYNAMO_VERBOSE=1 for the internal stack trace")
    assert str(caught.value) == (
        f"engines.compile: torch cannot compile the network ({says}); it needs a C++ compiler (g++, or the one that "
        "CXX names; for a GPU also a C compiler), or set engines.compile=false"
    )


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), named(4):
        raise RuntimeError("shapes differ")
    with pytest.raises(EngineError, match=r"^CUDA is asked for$"), named(4):
        raise EngineError("CUDA is asked for")
