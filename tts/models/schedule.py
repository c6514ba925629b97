"""Noise schedules of diffusers' checkpoints, and what their networks predict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from tts.errors import SettingError, WeightsError
from tts.samplers.ddim import DDIM

if TYPE_CHECKING:
    from torch import Tensor

Prediction: TypeAlias = Literal["epsilon", "v_prediction", "sample"]
Spacing: TypeAlias = Literal["leading", "trailing", "linspace"]


def ddim(config: Mapping[str, Any], steps: int, eta: float, spacing: Spacing | None) -> DDIM:
    """DDIM on a checkpoint's own noise schedule; times and signal levels are diffusers' own.

    Args:
        config: the checkpoint's ``scheduler_config.json``, of any scheduler with betas.
        spacing: of the time steps; None: the checkpoint's.

    Raises:
        SettingError: more steps than the network was trained with.
        WeightsError: the schedule has no betas, or predictions are thresholded.
    """
    from diffusers import DDIMScheduler

    if "beta_schedule" not in config and config.get("trained_betas") is None:
        raise WeightsError(f"its scheduler {config.get('_class_name')} has no betas, which DDIM needs")
    if config.get("thresholding"):
        raise WeightsError("its scheduler thresholds predictions, which is not supported")
    changes = {} if spacing is None else {"timestep_spacing": spacing}
    try:
        scheduler = DDIMScheduler.from_config(dict(config), **changes)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise WeightsError(f"its schedule of betas cannot be used ({error})") from None
    train = scheduler.config.num_train_timesteps
    if steps > train:
        raise SettingError(f"steps = {steps}: the checkpoint's schedule has only {train}")
    scheduler.set_timesteps(steps)
    times = [int(time) for time in scheduler.timesteps]
    before = [time - train // steps for time in times]  # as diffusers has it, whatever the spacing
    levels = scheduler.alphas_cumprod.double().tolist()
    return DDIM(
        times=tuple(times),
        alphas=tuple(levels[time] for time in times),
        targets=tuple(levels[time] if time >= 0 else float(scheduler.final_alpha_cumprod) for time in before),
        eta=eta,
        # diffusers would clip where the checkpoint says nothing; latents must not be
        clip=scheduler.config.clip_sample_range if config.get("clip_sample") else None,
    )


def prediction_type(config: Mapping[str, Any], wanted: Prediction | None) -> Prediction:
    """What the network predicts, as the checkpoint says; ``wanted`` must agree where it is given.

    Raises:
        SettingError: it does not agree.
        WeightsError: the network predicts something else.
    """
    found = config.get("prediction_type", "epsilon")
    if found not in get_args(Prediction):
        raise WeightsError(f"its network predicts '{found}'; known: {', '.join(get_args(Prediction))}")
    if wanted not in (None, found):
        raise SettingError(f"prediction = {wanted}: the checkpoint's scheduler says {found}; leave it out")
    kind: Prediction = found
    return kind


def to_clean(kind: Prediction, x: Tensor, output: Tensor, alpha: Tensor) -> Tensor:
    r"""The clean state that a network's output stands for.

    .. math:: D = (x - \sqrt{1-a}\,\epsilon)/\sqrt a, \qquad D = \sqrt a\,x - \sqrt{1-a}\,v

    (Ho et al. 2020, arXiv 2006.11239, Eq. 15; Salimans and Ho 2022, arXiv 2202.00512, App. D).

    Args:
        x, output: ``[B, ...]`` float32.
        alpha: signal level of each row, ``[B]`` float64.
    """
    shape = (-1, *[1] * (x.ndim - 1))
    root = alpha.sqrt().to(x.dtype).view(shape)
    rest = (1 - alpha).sqrt().to(x.dtype).view(shape)
    if kind == "sample":
        return output
    return root * x - rest * output if kind == "v_prediction" else (x - rest * output) / root
