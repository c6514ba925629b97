"""Any text-to-image pipeline of diffusers, asked for one prediction at a time, each row at its own noise level.

The pipeline's own ``__call__`` runs once for each forward: a scheduler of ours hands it one time and ends the call with
what the network has said, guidance included; a hook on the network puts each row's time in place of that one; prompts
are encoded one by one, so that a row does not depend on the others.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tts.errors import SettingError
from tts.plan import Condition
from tts.quiet import quiet

if TYPE_CHECKING:
    from torch import Tensor, nn

KEPT = 512
"""Encoded prompts that are kept."""
PROBES = (750.0, 250.0)
"""Times at which a pipeline is asked what it tells its network of them."""


class Answered(Exception):
    """What the network has said, and the state that it was asked about."""

    def __init__(self, output: Tensor, state: Tensor) -> None:
        super().__init__("answered")
        self.output, self.state = output, state


def one_step(scheduler: Any) -> Any:
    """A scheduler like another one, whose ``times`` are given and whose step ends the pipeline's call."""
    import torch

    kind = type(scheduler)

    class OneStep(kind):  # type: ignore[misc,valid-type]
        times: tuple[float, ...] = ()
        given: dict[str, Any] | None = None

        def set_timesteps(
            self, num_inference_steps: Any = None, device: Any = None, sigmas: Any = None, mu: Any = None, **_: Any
        ) -> None:
            self.given = {"sigmas": sigmas is not None, "mu": mu}
            whole = not hasattr(self, "sigma_min")
            self.timesteps = torch.tensor(self.times, device=device).to(torch.int64 if whole else torch.float32)
            self.num_inference_steps = len(self.times)

        def scale_model_input(self, sample: Any, *_: Any) -> Any:
            return sample

        def step(self, model_output: Any, _: Any, sample: Any, **__: Any) -> Any:
            raise Answered(model_output, sample)

    made = OneStep.from_config(scheduler.config)
    made.init_noise_sigma = 1.0
    return made


class PipelineCalls:
    """A pipeline as a network (:class:`tts.models.latent.Network`) and a decoder.

    Args:
        pipeline: on its device.
        arguments: of its call beside prompts, latents and steps.
        times: of its scheduler in one unit of the levels that are asked for: 1000 of a flow.

    Raises:
        SettingError: it cannot be asked in this way; the message says why.
    """

    def __init__(self, pipeline: Any, arguments: dict[str, Any], times: float) -> None:
        self.times = times
        self.pipeline, self.arguments, self.module = pipeline, arguments, network_of(pipeline)
        self._encoded: dict[str, Any] = {}
        self._times: Tensor | None = None
        self._told: list[tuple[float, int]] = []
        pipeline.scheduler = self.scheduler = one_step(pipeline.scheduler)
        pipeline.set_progress_bar_config(disable=True)
        self._encode, pipeline.encode_prompt = pipeline.encode_prompt, self._encode_apart
        self.module.register_forward_pre_hook(self._tell, with_kwargs=True)
        self.slope, self.offset, self.passes, self.shape = self._learn()

    def _learn(self) -> tuple[float, float, int, tuple[int, ...]]:
        """What the network is told of two times, its rows for one prediction, and the state's shape."""
        found = []
        for time in PROBES:
            self.scheduler.times, self._told = (time,), []
            try:
                self._call(["a"], None, "latent")
            except Answered as answered:
                found.append((self._told[0][0], sum(rows for _, rows in self._told), answered.state))
            except (TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise SettingError(f"arguments: its pipeline cannot be called with them ({error})") from error
            else:
                raise SettingError("model diffusers: its pipeline takes no step of its scheduler; it cannot be used")
        (first, passes, state), (second, _, _) = found
        slope = (first - second) / (PROBES[0] - PROBES[1])
        return slope, first - slope * PROBES[0], passes, tuple(state.shape[1:])

    def __call__(
        self, x: Tensor, times: Tensor, conditions: Sequence[Condition | None], scale: Tensor | None = None
    ) -> Tensor:
        """The network's guided answer to states at some levels, ``[B, ...]``."""
        self.scheduler.times, self._times = (PROBES[0],), self.slope * self.times * times.double() + self.offset
        try:
            self._call([str(prompt) for prompt in conditions], x, "latent")
        except Answered as answered:
            return answered.output
        finally:
            self._times = None
        raise SettingError("model diffusers: its pipeline takes no step of its scheduler; it cannot be used")

    def decode(self, x: Tensor) -> Tensor:
        """Clean latents to images ``[B, 3, H, W]`` in [-1, 1], as the pipeline does after its last step."""
        self.scheduler.times = ()
        images: Tensor = self._call(["a"] * len(x), x, "pt")[0]
        return 2 * images - 1

    def _call(self, prompts: list[str], x: Tensor | None, output_type: str) -> Any:
        given = {name: [value] * len(prompts) if "prompt" in name else value for name, value in self.arguments.items()}
        with quiet():
            return self.pipeline(
                prompt=prompts, latents=x, num_inference_steps=1, output_type=output_type, return_dict=False, **given
            )

    def _tell(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Put each row's time in place of the scheduler's."""
        import torch

        at, given = ("timestep", kwargs["timestep"]) if "timestep" in kwargs else (1, args[1])
        states = next(iter(kwargs.values())) if not args else args[0]
        rows = len(states)
        self._told.append((float(torch.as_tensor(given).flatten()[0]), rows))
        if self._times is None:
            return None
        told = self._times.to(torch.int64 if not torch.as_tensor(given).is_floating_point() else torch.float32)
        told = told.to(self.module.device).repeat(rows // len(told))
        if at == 1:
            return (args[0], told, *args[2:]), kwargs
        return args, {**kwargs, "timestep": told}

    def _encode_apart(self, *args: Any, **kwargs: Any) -> Any:
        """Each prompt by itself, kept, and stacked."""
        bound = inspect.signature(self._encode).bind(*args, **kwargs)
        lists = {name: value for name, value in bound.arguments.items() if "prompt" in name and isinstance(value, list)}
        rows = len(next(iter(lists.values()), [None]))
        return together([self._one({**bound.arguments}, lists, row) for row in range(rows)])

    def _one(self, arguments: dict[str, Any], lists: dict[str, list[str]], row: int) -> Any:
        alone = {**arguments, **{name: [value[row]] for name, value in lists.items()}}
        more = alone.pop("kwargs", {})
        key = repr(sorted(alone.items()))
        if key not in self._encoded:
            self._encoded[key] = self._encode(**alone, **more)
            if len(self._encoded) > KEPT:
                del self._encoded[next(iter(self._encoded))]  # the oldest
            return self._encoded[key]
        return self._encoded[key]


def network_of(pipeline: Any) -> Any:
    """Its one denoiser.

    Raises:
        SettingError: it has none, or several, or takes no latents.
    """
    name, parts = type(pipeline).__name__, pipeline.components
    found = [part for part in ("transformer", "unet", "transformer_2") if parts.get(part) is not None]
    if len(found) != 1 or found == ["transformer_2"]:
        raise SettingError(f"model diffusers: a {name} asks {found or 'neither transformer nor unet'}; one is needed")
    known = inspect.signature(type(pipeline).__call__).parameters
    lacking = [word for word in ("prompt", "latents", "output_type", "num_inference_steps") if word not in known]
    if lacking or not hasattr(pipeline, "encode_prompt"):
        raise SettingError(
            f"model diffusers: a {name} takes no {', '.join(lacking) or 'encode_prompt'}, which is needed"
        )
    return parts[found[0]]


def together(rows: Sequence[Any]) -> Any:
    """What an ``encode_prompt`` gives for several prompts, from what it gives for each.

    Raises:
        SettingError: prompts of unlike length have encodings of unlike length.
    """
    import torch

    first = rows[0]
    if isinstance(first, tuple):
        return tuple(together([row[place] for row in rows]) for place in range(len(first)))
    if isinstance(first, list):
        return [each for row in rows for each in row]
    if not isinstance(first, torch.Tensor):
        return first
    if any(row.shape != first.shape for row in rows):
        raise SettingError("model diffusers: its prompts are encoded to unlike lengths, so that rows cannot be stacked")
    return torch.cat(list(rows)) if len(first) == 1 else first
