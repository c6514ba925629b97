"""Noise schedules of diffusers' checkpoints, and what their networks predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

from tts.errors import SettingError, WeightsError
from tts.samplers.schedules import Grid, Spacing, Times

Prediction: TypeAlias = Literal["epsilon", "v_prediction", "sample"]

LCM_STEPS = 50
"""Number of steps on which consistency models are distilled, unless the checkpoint states another."""


@dataclass(frozen=True)
class CheckpointSchedule(Times):
    """A checkpoint's own noise schedule; times and signal levels are those of diffusers.

    Args:
        config: its ``scheduler_config.json``; any scheduler with betas will do.
    """

    config: Mapping[str, Any]

    @cached_property
    def alphas(self) -> tuple[float, ...]:
        """Signal level (cumulative alpha) of every training time step.

        Raises:
            WeightsError: the schedule has no betas, or predictions are thresholded.
        """
        return tuple(self._scheduler(None).alphas_cumprod.double().tolist())

    def grid(self, steps: int, spacing: Spacing | None) -> Grid:
        """Choose ``steps`` time steps.

        Args:
            steps: number of time steps.
            spacing: how they are spaced; None: as the checkpoint's scheduler says.

        Raises:
            SettingError: the network was trained with fewer, or with no time step as late as the first one.
            WeightsError: the schedule has no betas, or predictions are thresholded.
        """
        if spacing == "lcm":
            return self._consistency_grid(steps)
        scheduler = self._scheduler(spacing)
        train = scheduler.config.num_train_timesteps
        if steps > train:
            raise SettingError(f"steps = {steps}: the checkpoint's schedule has only {train}")
        scheduler.set_timesteps(steps)
        # the spacing "trailing" gives one more at time -1 for some numbers of steps (61, 103), as floats are rounded
        times = [int(time) for time in scheduler.timesteps[:steps]]
        if max(times) >= train:  # an offset is added to all times, also if no room is left for it
            raise SettingError(
                f"steps = {steps}: its time steps fall from {max(times)} on, and the checkpoint's schedule ends at "
                f"{train - 1}; set fewer, or spacing: trailing"
            )
        before = [time - train // steps for time in times]  # as in diffusers, for every spacing
        levels = scheduler.alphas_cumprod.double().tolist()
        return Grid(
            tuple(times),
            tuple(levels[time] for time in times),
            tuple(levels[time] if time >= 0 else float(scheduler.final_alpha_cumprod) for time in before),
            # diffusers clips unless the checkpoint says otherwise; latents must not be clipped
            scheduler.config.clip_sample_range if self.config.get("clip_sample") else None,
        )

    def _consistency_grid(self, steps: int) -> Grid:
        """The grid of diffusers' LCMScheduler: each step leads to the level of the next, the last one to the image."""
        known = int(self.config.get("original_inference_steps", LCM_STEPS))
        if steps > known:
            raise SettingError(f"steps = {steps}: consistency models are distilled on {known}")
        apart = len(self.alphas) // known
        times = tuple((known - k * known // steps) * apart - 1 for k in range(steps))
        alphas = tuple(self.alphas[time] for time in times)
        return Grid(times, alphas, (*alphas[1:], 1.0), None)

    def _scheduler(self, spacing: Spacing | None) -> Any:
        from diffusers import DDIMScheduler

        config = self.config
        if "beta_schedule" not in config and config.get("trained_betas") is None:
            raise WeightsError(f"its scheduler {config.get('_class_name')} has no betas, which DDIM needs")
        if config.get("thresholding"):
            raise WeightsError("its scheduler thresholds predictions, which is not supported")
        changes = {} if spacing is None else {"timestep_spacing": spacing}
        try:
            return DDIMScheduler.from_config(dict(config), **changes)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise WeightsError(f"its schedule of betas cannot be used ({error})") from None


def prediction_type(config: Mapping[str, Any], wanted: Prediction | None) -> Prediction:
    """What the network predicts, by the checkpoint's scheduler.

    Raises:
        SettingError: ``wanted`` is given and differs.
        WeightsError: the kind of prediction is not supported.
    """
    found = config.get("prediction_type", "epsilon")
    if found not in get_args(Prediction):
        raise WeightsError(f"its network predicts '{found}'; known: {', '.join(get_args(Prediction))}")
    if wanted not in (None, found):
        raise SettingError(f"prediction = {wanted}: the checkpoint's scheduler says {found}; leave it out")
    kind: Prediction = found
    return kind
