"""Ask any text-to-image pipeline of diffusers for one prediction at a time, each row at its own noise level.

The pipeline's own ``__call__`` runs once for each forward. A scheduler of ours hands it one time, and ends the call
with the network's answer, guidance included. A hook on the network replaces that time with each row's own. Prompts are
encoded one by one, so that a row does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tts.errors import SettingError
from tts.models.pipeline_asking import PROBES, Answered, call, explained, network_of
from tts.models.pipeline_prompts import restored, together
from tts.models.prompt_store import Encoded, Recent
from tts.models.prompts import KEPT_BYTES
from tts.plan import Condition

if TYPE_CHECKING:
    from torch import Tensor, nn

NO_STEP = "model diffusers: its pipeline takes no step of its scheduler; it cannot be used"


class PipelineCalls:
    """A pipeline as a network (:class:`tts.models.latent.Network`) and a decoder.

    Args:
        pipeline: a pipeline on its device; its scheduler is made by :func:`tts.models.pipeline_asking.one_step`.
        arguments: arguments of its call other than prompts, latents and steps.
        times: factor from the levels given to :meth:`__call__` to times of the scheduler; 1000 for a flow.
        encode: gives all results of ``encode_prompt`` for a prompt (None: for any prompt).
        told: function from levels ``[B]`` float64 to those that the pipeline tells; None: the same.

    Raises:
        SettingError: the pipeline cannot be asked in this way; the message says why.
    """

    def __init__(
        self,
        pipeline: Any,
        arguments: Mapping[str, Any],
        times: float,
        encode: Callable[[str | None], Encoded],
        told: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        import torch

        self.times, self.encode, self.told = times, encode, told
        self.pipeline, self.arguments, self.module = pipeline, arguments, network_of(pipeline)
        self._recent = Recent(KEPT_BYTES)
        self._waiting: list[Any] = []
        self._times: Tensor | None = None
        self._told: list[tuple[float, int]] | None = None
        self.scheduler = pipeline.scheduler
        pipeline.encode_prompt = self._next
        self.module.register_forward_pre_hook(self._tell, with_kwargs=True)
        self.slope, self.offset, self.passes, state = self._learn()
        self.shape, self.dtype = tuple(state.shape[1:]), state.dtype
        with torch.inference_mode(), explained():
            height, width = self.decode(state).shape[-2:]
        self.size = height, width

    def _learn(self) -> tuple[float, float, int, Tensor]:
        """Slope and offset from times of the scheduler to those that the network is told, its rows for one prediction,
        and a state of the pipeline.
        """
        found = []
        for time in PROBES:
            told: list[tuple[float, int]] = []
            self._told = told
            with explained():
                answered = self._asked([None], None, time)
            found.append((told[0][0], sum(rows for _, rows in told), answered.state))
        self._told = None  # later times are not noted: to read them waits for all work that is queued on a GPU
        (first, passes, state), (second, _, _) = found
        slope = (first - second) / (PROBES[0] - PROBES[1])
        return slope, first - slope * PROBES[0], passes, state

    def __call__(
        self, x: Tensor, times: Tensor, conditions: Sequence[Condition | None], scale: Tensor | None = None
    ) -> Tensor:
        """The network's guided answer to states ``x [B, C, h, w]`` at levels ``times [B]``; ``[B, C, h, w]``."""
        levels = times.double() if self.told is None else self.told(times.double())
        told = self.slope * self.times * levels + self.offset
        return self._asked([str(prompt) for prompt in conditions], x.to(self.dtype), PROBES[0], told).output

    def decode(self, x: Tensor) -> Tensor:
        """Clean latents to images ``[B, 3, H, W]`` in [-1, 1], as the pipeline does after its last step."""
        images: Tensor = self._call([None] * len(x), x.to(self.dtype), (), "pt")[0]
        return 2 * images - 1

    def _asked(
        self, prompts: Sequence[str | None], x: Tensor | None, time: float, times: Tensor | None = None
    ) -> Answered:
        """The network's answer at a time of the scheduler; ``times``, if given, replace it by one time for each row."""
        self._times = times
        try:
            self._call(prompts, x, (time,), "latent")
        except Answered as answered:
            return answered
        finally:
            self._times = None
        raise SettingError(NO_STEP)

    def _call(self, prompts: Sequence[str | None], x: Tensor | None, times: tuple[float, ...], output_type: str) -> Any:
        rows = [restored(self._kept(prompt)) for prompt in prompts]
        self._waiting = [together(each) for each in zip(*rows, strict=True)]
        self.scheduler.times = times
        return call(self.pipeline, self.arguments, prompts, x, output_type)

    def _tell(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replace the time of a call of the network with each row's own; for a probe, note its time and its rows."""
        import torch

        at, given = ("timestep", kwargs["timestep"]) if "timestep" in kwargs else (1, args[1])
        states = next(iter(kwargs.values())) if not args else args[0]
        rows = len(states)
        if self._told is not None:
            self._told.append((float(torch.as_tensor(given).flatten()[0]), rows))
        if self._times is None:
            return None
        told = self._times.to(torch.int64 if not torch.as_tensor(given).is_floating_point() else torch.float32)
        told = told.to(self.module.device).repeat(rows // len(told))
        if at == 1:
            return (args[0], told, *args[2:]), kwargs
        return args, {**kwargs, "timestep": told}

    def _kept(self, prompt: str | None) -> Encoded:
        found = self._recent.get(prompt)
        if found is None:
            found = self.encode(prompt)
            self._recent.put(prompt, found)
        return found

    def _next(self, *_: Any, **__: Any) -> Any:
        """Stand in for ``encode_prompt``: return its stored results for the present prompts, call by call."""
        return self._waiting.pop(0)
