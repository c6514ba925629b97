"""Latent diffusion models on diffusers' pipelines: what Stable Diffusion, SDXL and DiT share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from pydantic import Field

from tts.errors import WeightsError
from tts.models.base import Model, ModelSettings
from tts.models.checkpoint import Checkpoint, check_filled, check_safetensors
from tts.models.schedule import Prediction, Spacing, ddim, prediction_type, to_clean
from tts.plan import Condition, Plan
from tts.precision import Precision, dtype
from tts.quiet import quiet
from tts.samplers.ddim import DDIM

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor, nn

T = TypeVar("T")


class Network(Protocol):
    """A raw denoiser with its conditioning."""

    @property
    def module(self) -> nn.Module:
        """The network itself."""
        ...

    def __call__(self, x: Tensor, times: Tensor, conditions: Sequence[Condition | None]) -> Tensor:
        """``(x [B, C, h, w], times [B] int64, conditions) -> [B, C, h, w]``; a condition of None is the
        unconditional one.
        """
        ...


class LatentSettings(ModelSettings):
    """Settings that all latent diffusion models share."""

    PIPELINE: ClassVar[str]
    """diffusers' class of the checkpoint."""
    COMPONENTS: ClassVar[Mapping[str, str]]
    """The pipeline's parts with weights, and the class of each; the denoiser first."""

    id: str = Field(description="local folder, or name of a repository on the hub (owner/name)")
    revision: str | None = Field(None, description="branch, tag or commit of the repository")
    variant: str | None = Field(None, description="infix of the weight files to use, for example fp16")
    precision: Precision = Field("fp32", description="of the networks; states are float32")
    steps: int = Field(50, ge=1, description="steps of DDIM")
    eta: float = Field(1.0, ge=0, le=1, description="share of the ancestral noise; a search needs more than 0")
    guidance: float = Field(7.5, ge=1, description="scale of classifier-free guidance; 1: none, half the forwards")
    spacing: Spacing | None = Field(None, description="of the time steps; left out: the checkpoint's")
    prediction: Prediction | None = Field(None, description="what the network predicts, if you want it checked")

    @property
    def checkpoint(self) -> Checkpoint:
        """Where the files come from."""
        return Checkpoint(self.id, self.revision, self.variant)

    def sampler(self) -> DDIM:
        """DDIM on the checkpoint's schedule."""
        config = self.checkpoint.config("scheduler/scheduler_config.json")
        return self._explained(lambda: ddim(self.schedule(config), self.steps, self.eta, self.spacing))

    def schedule(self, config: dict[str, Any]) -> dict[str, Any]:
        """The checkpoint's schedule as the pipeline uses it."""
        return config

    def predicts(self) -> Prediction:
        """What the network predicts."""
        config = self.checkpoint.config("scheduler/scheduler_config.json")
        return self._explained(lambda: prediction_type(config, self.prediction))

    def _explained(self, make: Callable[[], T]) -> T:
        try:
            return make()
        except WeightsError as error:
            raise WeightsError(f"id {self.id}: {error}") from None

    def plan(self) -> Plan:
        """The trajectory's shape, from the checkpoint's schedule; guidance takes two forwards a prediction."""
        return self.sampler().plan.times(self.passes)

    @property
    def passes(self) -> int:
        """Forwards of a prediction."""
        return 2 if self.guidance > 1 else 1

    def check(self) -> None:
        """Find missing, damaged and foreign parts; fetches what is not there."""
        self.checkpoint.check(self.PIPELINE, self.COMPONENTS)
        kind, sampler = self.predicts(), self.sampler()
        if kind == "epsilon" and min(sampler.alphas) <= 0:
            raise WeightsError(f"id {self.id}: its schedule begins without signal, where noise cannot be predicted")

    def identity(self) -> dict[str, Any]:
        """The settings, and digests of the weights and of the schedule in place of their address."""
        settings = self.record()
        address = {"id", "revision", "variant", "file", "preview"}
        schedule = self.checkpoint.config("scheduler/scheduler_config.json")
        return {
            **{name: value for name, value in settings.items() if name not in address},
            "schedule": {name: value for name, value in schedule.items() if not name.startswith("_")},
            "weights": self.checkpoint.identity(self.COMPONENTS),
        }

    def pipeline(self) -> DiffusionPipeline:
        """The pipeline in host memory, without the parts that are not needed.

        Raises:
            WeightsError: its weights do not fit its configuration.
        """
        import diffusers

        kind = getattr(diffusers, self.PIPELINE)
        folder, file = self.checkpoint.folder(), self.checkpoint.single_file()
        common = {"dtype": dtype(self.precision), "local_files_only": True, **self.absent()}
        if file is not None:
            check_safetensors(file)  # nothing else is opened
        with quiet():
            try:
                if file is not None:
                    found = kind.from_single_file(str(file), config=str(folder), **common)
                else:
                    found = kind.from_pretrained(folder, variant=self.variant, use_safetensors=True, **common)
                for component in self.COMPONENTS:
                    check_filled(getattr(found, component))
            except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
                text = " ".join(str(error).split())
                raise WeightsError(f"id {self.id}: its parts cannot be loaded ({text[:300]})") from None
        return found

    def absent(self) -> dict[str, Any]:
        """Parts to leave out."""
        return {}

    @abstractmethod
    def load(self, device: str = "cpu") -> Model:
        """See :class:`ModelSettings`."""

    def config_of(self, component: str) -> dict[str, Any]:
        """A part's own configuration."""
        return self.checkpoint.config(f"{component}/config.json")


class LatentModel:
    """A latent diffusion model on one device; see :class:`tts.models.base.Model`.

    Args:
        network: the raw denoiser, with its conditioning.
        kind: what the network predicts.
        decoder: clean latents to images in [-1, 1].
        preview: the same by cheaper means, for predicted images.
        shape: of a latent, ``(C, h, w)``.
    """

    def __init__(
        self,
        network: Network,
        kind: Prediction,
        sampler: DDIM,
        guidance: float,
        decoder: Callable[[Tensor], Tensor],
        preview: Callable[[Tensor], Tensor] | None,
        shape: tuple[int, ...],
    ) -> None:
        self.network, self.kind, self.sampler, self.guidance, self.shape = network, kind, sampler, guidance, shape
        self.decoder, self.preview = decoder, preview
        self.passes, self.previews = (2 if guidance > 1 else 1), preview is not None
        self._alphas = dict(zip(sampler.times, sampler.alphas, strict=True))

    def denoise(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """See :class:`tts.models.base.Model`; levels are time steps."""
        import torch

        from tts.engine.device_queue import upload

        times = levels.long()
        alphas = torch.tensor([self._alphas[time] for time in times.tolist()], dtype=torch.float64)
        output = self._guided(x, upload(times, x.device), conditions)
        return to_clean(self.kind, x, output, upload(alphas, x.device))

    def _guided(self, x: Tensor, times: Tensor, conditions: Sequence[Condition]) -> Tensor:
        """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598) as one batch: without, then with."""
        import torch

        if self.passes == 1:
            return self.network(x, times, conditions).float()
        both = self.network(torch.cat([x, x]), torch.cat([times, times]), [*[None] * len(conditions), *conditions])
        without, with_condition = both.float().chunk(2)
        return without + self.guidance * (with_condition - without)

    @property
    def module(self) -> nn.Module:
        """The raw network."""
        return self.network.module

    def decode(self, x: Tensor, preview: bool = False) -> Tensor:
        """See :class:`tts.models.base.Model`; rounded as diffusers does."""
        import torch

        decoder = self.preview if preview and self.preview is not None else self.decoder
        images = (decoder(x).float() / 2 + 0.5).clamp(0, 1)
        return (images * 255).round().to(torch.uint8)
