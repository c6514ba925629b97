"""The engines of a run, as a configuration says them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from tts.networks.attention import AUTO as ANY_ATTENTION
from tts.networks.attention import check_name
from tts.noise import DEVICE_VERSION, NoiseRecipe
from tts.settings import Settings

AUTO = 0
"""``engines.batch: auto``, until :mod:`bench.workers.calibration` has put a number in its place."""


def _from_auto(value: object) -> object:
    if isinstance(value, int) and value < 1:
        raise ValueError("Input should be greater than or equal to 1, or auto")
    return AUTO if value == "auto" else value


Batch = Annotated[
    int,
    BeforeValidator(_from_auto),
    PlainSerializer(lambda batch: batch or "auto", return_type=int | Literal["auto"]),
]
"""Rows of a forward pass: 1 or more, or ``auto``."""


class Engines(Settings):
    """The engines: how many there are, and how each computes.

    Their number and place change no result. ``batch``, ``threads`` and ``device`` can change the last bit of one,
    and so belong to the identity of a trial; ``noise`` makes it another one.
    """

    backend: Literal["ray", "local"] = Field("ray", description="'local': one engine in this process, without Ray")
    count: int = Field(1, ge=1, description="engine actors")
    address: str = Field("local", description="Ray cluster to join; 'local' starts one on this machine")
    batch: Batch = Field(
        32, description="rows of every forward pass; auto: measured when a run begins, and the same from then on"
    )
    score_batch: int | None = Field(
        None, ge=1, description="images decoded and scored at once; default: as batch. Large images need fewer"
    )
    threads: int = Field(1, ge=1, description="CPU threads of each engine")
    host_threads: int = Field(
        4,
        ge=1,
        description="threads of each engine beside its device, for JPEG, PNG and digests; rewards of the host and of "
        "services have threads of their own, so that a slow one delays no other",
    )
    noise_threads: int | None = Field(
        None,
        ge=0,
        description="threads of each engine that make noises in advance; default: up to 4 with a GPU, "
        "none if the model runs on the CPU",
    )
    noise: NoiseRecipe = Field(
        "host",
        description="what makes noises: numpy on the host, or the device itself, which gives the same bits on every "
        "device and leaves the host free; seeds have other tensors there, and results other images",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="where the model runs")
    compile: bool | Literal["reduce-overhead", "max-autotune"] = Field(
        False,
        description="compile the network (torch.compile): 1.2 times the rows a second on a CPU, after a minute or two "
        "at the first start; reduce-overhead: besides, a GPU replays each pass as one CUDA graph; max-autotune: "
        "besides, kernels are chosen by trying",
    )
    attention: Annotated[str, AfterValidator(check_name)] = Field(
        "auto",
        description="what computes attention: auto (torch chooses), one of torch's kernels (math, flash, efficient, "
        "cudnn), or diffusers:NAME, a backend of its dispatcher (diffusers:sage)",
    )
    channels_last: bool | None = Field(
        None, description="memory layout of the denoiser's images and kernels; default: each network's fastest on a CPU"
    )
    tf32: Literal["convolutions", "none", "all"] = Field(
        "convolutions",
        description="what a GPU computes in TF32 (10 bits of mantissa) of fp32 networks: convolutions (as torch does "
        "by itself), nothing, or matrix products as well",
    )
    invariant: Literal["none", "convolutions", "all"] = Field(
        "convolutions",
        description="what a GPU computes by kernels of one order of summation, so that no row's last bits depend on "
        "its place in a batch: convolutions (cuDNN's do), nothing, or matrix products as well",
    )
    oversupply: float = Field(3.0, ge=1, description="segments kept in flight, in batches for each engine")
    search_on: Literal["auto", "driver", "engine"] = Field(
        "auto",
        description="where searches run: in the driver, so that one problem's candidates use many engines, or beside "
        "each engine, so that hundreds of them can be fed. auto: beside the engines, if there are more than 16 of them "
        "or enough trials to fill each one's batches",
    )
    gpus: float = Field(
        1.0, gt=0, description="GPUs of each engine: 0.5 puts two engines on one; with 2, rewards have the second"
    )
    model_gpus: int = Field(
        1, ge=1, description="of an engine's GPUs those that the denoiser is spread over; above 1 they replace gpus"
    )
    reward_gpus: Literal[0, 1] | None = Field(
        None, description="1: rewards have a separate GPU; default: only if gpus is 2"
    )
    patience: float = Field(
        60.0,
        gt=0,
        description="seconds without a sign of progress after which an engine is replaced",
    )
    start_seconds: float = Field(600.0, gt=0, description="seconds to wait for an engine when there is none")
    stage: str | None = Field(
        None, description="folder of each machine to which weights are copied once, from a slow shared file system"
    )
    prompts: str = Field(
        "cache",
        description="where encoded prompts are stored: cache ($TTS_CACHE/prompts of each machine), a "
        "folder that all machines share, or memory (every engine keeps its own text encoders)",
    )
    encode_on: Literal["device", "cpu"] = Field(
        "device", description="where text encoders run; cpu: where a GPU has no room for them, in seconds a prompt"
    )
    share: bool = Field(True, description="compute the common work of a problem's trials once; changes no result")
    simulate: float | None = Field(
        None, ge=0, description="no model: seconds that each forward pass sleeps; rewards are random"
    )
    skip_network: bool = Field(
        False,
        description="skip the denoiser's forwards and return the states: measures what the host can feed",
    )

    @model_validator(mode="after")
    def _one_here(self) -> Engines:
        if self.backend == "local" and self.count > 1:
            raise ValueError("count: more than one engine needs backend: ray")
        if self.tf32 != "convolutions" and self.device == "cpu":
            raise ValueError("tf32: CPUs have none; it needs device: cuda")
        if isinstance(self.compile, str) and self.device == "cpu":
            raise ValueError(f"compile: {self.compile} is about GPUs; it needs device: cuda")
        if self.invariant != "convolutions" and self.device == "cpu":
            raise ValueError("invariant: it is about GPUs; it needs device: cuda")
        if self.noise == "device" and self.noise_threads:
            raise ValueError("noise_threads: noise: device needs none; leave it out")
        if self.encode_on == "cpu" and self.prompts == "memory":
            raise ValueError("encode_on: cpu needs prompts: cache, or a folder")
        if self.skip_network and (self.simulate is not None or self.compile):
            raise ValueError("skip_network: nothing is left of it with simulate or compile; leave one of them out")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError("gpus: above 1 they are whole")
        if self.gpus != 1 and (self.model_gpus > 1 or self.reward_gpus is not None):
            raise ValueError("gpus: follows from model_gpus and reward_gpus; leave it out")
        if self.model_gpus > 1 and (self.device == "cpu" or self.compile):
            raise ValueError("model_gpus: a network on several GPUs needs device: cuda, and cannot be compiled")
        return self

    def numerics(self) -> dict[str, Any]:
        """What can change the last bit of a result."""
        scoring = {} if self.score_batch is None else {"score_batch": self.score_batch}
        compiled = {"compile": self.compile} if self.compile else {}
        attention = {} if self.attention == ANY_ATTENTION else {"attention": self.attention}
        layout = {} if self.channels_last is None else {"channels_last": self.channels_last}
        tf32 = {} if self.tf32 == "convolutions" else {"tf32": self.tf32}
        invariant = {} if self.invariant == "convolutions" else {"invariant": self.invariant}
        simulated = {} if self.simulate is None else {"simulated": True}
        noise = {} if self.noise == "host" else {"noise": [self.noise, DEVICE_VERSION]}
        skipped = {"skip_network": True} if self.skip_network else {}
        encoded = {"encode_on": "cpu"} if self.device != self.encoder_device else {}
        return {
            "batch": self.batch,
            "threads": self.threads,
            "device": self.device,
            **scoring,
            **compiled,
            **attention,
            **layout,
            **tf32,
            **encoded,
            **invariant,
            **noise,
            **skipped,
            **simulated,
        }

    @property
    def gpu_share(self) -> float:
        """GPUs of each engine, those of its rewards among them."""
        return self.gpus if self.gpus != 1 else self.model_gpus + (self.reward_gpus or 0)

    @property
    def model_devices(self) -> tuple[str, ...]:
        """Devices of the denoiser, as an engine calls them; states are on the first."""
        return tuple(f"cuda:{place}" for place in range(self.model_gpus)) if self.device == "cuda" else ("cpu",)

    @property
    def reward_device(self) -> str:
        """Device of the rewards."""
        if self.device == "cpu" or (self.reward_gpus is None and self.gpus < 2) or self.reward_gpus == 0:
            return self.device
        return f"cuda:{self.model_gpus}"

    @property
    def encoder_device(self) -> str:
        """Where text encoders run."""
        return "cpu" if self.encode_on == "cpu" else self.device

    def halved(self) -> Engines | None:
        """With half the batches, for devices with too little memory; None when they cannot be halved."""
        if self.batch == 1:
            return None
        scoring = None if self.score_batch is None else max(1, self.score_batch // 2)
        return self.model_copy(update={"batch": self.batch // 2, "score_batch": scoring})
