"""Call a text-to-image pipeline of diffusers for one step, or only to encode a prompt."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from tts.errors import SettingError, TTSError, first_line
from tts.models.pipeline_prompts import flattened
from tts.quiet import quiet

if TYPE_CHECKING:
    from torch import Tensor

    from tts.models.prompt_store import Encoded

PROBES = (750.0, 250.0)
"""Times of the scheduler with which a pipeline is probed: they show which times it gives its network."""
PROBE = "a"
"""A prompt for calls where any prompt will do."""
NEEDED = ("prompt", "latents", "output_type", "num_inference_steps")
"""Arguments without which a pipeline cannot be called for one step."""


class Answered(Exception):
    """Raised with the network's output and its input state, to end the pipeline's call after one step."""

    def __init__(self, output: Tensor, state: Tensor) -> None:
        super().__init__("answered")
        self.output, self.state = output, state


class Asked(Exception):
    """Raised when the network is called: all prompts are encoded by then."""


def one_step(scheduler: Any) -> Any:
    """A copy of a scheduler that has settable ``times`` and whose step ends the pipeline's call."""
    import torch

    from tts.networks.constants import constants

    kind = type(scheduler)

    class OneStep(kind):  # type: ignore[misc,valid-type]
        times: tuple[float, ...] = ()
        given: dict[str, Any] | None = None

        def set_timesteps(
            self,
            num_inference_steps: Any = None,
            device: Any = None,
            sigmas: Any = None,
            mu: Any = None,
            timesteps: Any = None,
            **_: Any,
        ) -> None:
            self.given = {"sigmas": sigmas is not None, "mu": mu, "timesteps": timesteps is not None}
            whole = not hasattr(self, "sigma_min")
            times = constants(self.times, torch.device(device or "cpu"))
            self.timesteps = times.to(torch.int64 if whole else torch.float32, copy=True)
            self.num_inference_steps = len(self.times)

        def scale_model_input(self, sample: Any, *_: Any) -> Any:
            return sample

        def step(self, model_output: Any, _: Any, sample: Any, **__: Any) -> Any:
            raise Answered(model_output, sample)

    made = OneStep.from_config(scheduler.config)
    made.init_noise_sigma = 1.0
    return made


def network_of(pipeline: Any) -> Any:
    """The one denoiser of a pipeline.

    Raises:
        SettingError: the pipeline has no denoiser, or several, or takes no latents.
    """
    name, parts = type(pipeline).__name__, pipeline.components
    found = [part for part in ("transformer", "unet", "transformer_2") if parts.get(part) is not None]
    if len(found) != 1 or found == ["transformer_2"]:
        raise SettingError(f"model diffusers: a {name} asks {found or 'neither transformer nor unet'}; one is needed")
    known = inspect.signature(type(pipeline).__call__).parameters
    lacking = [word for word in NEEDED if word not in known]
    if lacking or not hasattr(pipeline, "encode_prompt"):
        raise SettingError(
            f"model diffusers: a {name} takes no {', '.join(lacking) or 'encode_prompt'}, which is needed"
        )
    return parts[found[0]]


def check_call(kind: type, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the call of a class of pipelines does not take.

    Raises:
        SettingError: there is such an argument; the message suggests the nearest name.
    """
    known = inspect.signature(kind.__call__).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values()):
        return
    for name in arguments:
        if name not in known:
            near = "".join(f"; did you mean {each}?" for each in get_close_matches(name, known, 1))
            raise SettingError(f"arguments: its pipeline cannot be called with them (it takes no {name}){near}")


def call(
    pipeline: Any, arguments: Mapping[str, Any], prompts: Sequence[str | None], x: Tensor | None, output_type: str
) -> Any:
    """Call a pipeline for some prompts; a prompt of None stands for :data:`PROBE`."""
    texts = [PROBE if prompt is None else prompt for prompt in prompts]
    given = {name: [value] * len(texts) if "prompt" in name else value for name, value in arguments.items()}
    with quiet():
        return pipeline(
            prompt=texts, latents=x, num_inference_steps=1, output_type=output_type, return_dict=False, **given
        )


@contextmanager
def explained() -> Iterator[None]:
    """Turn errors of a pipeline's call into one line.

    Raises:
        SettingError: the call has failed; an out-of-memory error stays torch's own.
    """
    import torch

    try:
        yield
    except (TTSError, torch.OutOfMemoryError):
        raise
    except (TypeError, ValueError, AttributeError, RuntimeError, KeyError, IndexError, NotImplementedError) as error:
        raise SettingError(f"arguments: its pipeline cannot be called with them ({first_line(error)})") from error


class PipelineEncoder:
    """Encodes a prompt by a pipeline's call, which ends when it calls its network.

    Args:
        pipeline: its scheduler is made by :func:`one_step`; only its text encoders need weights.
        arguments: arguments of its call other than prompts, latents and steps.

    Raises:
        SettingError: the pipeline has no network to call.
    """

    def __init__(self, pipeline: Any, arguments: Mapping[str, Any]) -> None:
        network = network_of(pipeline)
        self.pipeline, self.arguments = pipeline, arguments
        self._real, self._on = pipeline.encode_prompt, False
        network.register_forward_pre_hook(self._end, with_kwargs=True)

    def __call__(self, prompt: str | None) -> Encoded:
        """All results of ``encode_prompt`` for one prompt (None: any), in the form of :func:`flattened`.

        Raises:
            SettingError: the call fails before it reaches the network; the message says why.
        """
        results: list[Any] = []

        def recorded(*args: Any, **kwargs: Any) -> Any:
            results.append(self._real(*args, **kwargs))
            return results[-1]

        before, self.pipeline.encode_prompt = self.pipeline.encode_prompt, recorded
        self.pipeline.scheduler.times, self._on = PROBES[:1], True
        try:
            with explained():
                call(self.pipeline, self.arguments, [prompt], None, "latent")
        except Asked:
            return flattened(results)
        finally:
            self.pipeline.encode_prompt, self._on = before, False
        raise SettingError("model diffusers: its pipeline does not call its network, so it cannot be used")

    def _end(self, *_: Any) -> None:
        if self._on:
            raise Asked
