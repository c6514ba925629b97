"""Set how torch computes in a process."""

from __future__ import annotations

from bench.study.config import Engines


def set_numerics(engines: Engines) -> None:
    """Have torch compute in this process as a configuration says, whatever its environment says."""
    import torch

    from tts.networks.attention import set_attention
    from tts.networks.placing import set_invariant

    torch.set_num_threads(engines.threads)
    set_invariant(engines.invariant)
    set_attention(engines.attention)
    if engines.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = engines.tf32 == "all"
        torch.backends.cudnn.allow_tf32 = engines.tf32 != "none"
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
