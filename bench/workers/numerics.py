"""Set how torch computes in a process."""

from __future__ import annotations

from bench.study.config import Engines
from bench.workers import memory


def threads_of(engines: Engines) -> dict[str, str]:
    """The variables with which a process starts that has an engine's threads."""
    return {name: str(engines.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}


def environment(engines: Engines) -> dict[str, str]:
    """The variables with which an engine's process starts."""
    return threads_of(engines) | (memory.variables() if engines.device == "cpu" else {})


def set_numerics(engines: Engines) -> None:
    """Have torch compute in this process as a configuration says, whatever its environment says."""
    import torch

    from tts.networks.attention import set_attention
    from tts.networks.placing import set_invariant

    if engines.device == "cpu":
        memory.keep_memory()
    torch.set_num_threads(engines.threads)
    set_invariant(engines.invariant)
    set_attention(engines.attention)
    if engines.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = engines.tf32 == "all"
        torch.backends.cudnn.allow_tf32 = engines.tf32 != "none"
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
