"""Keys of the schedulers of flows, and what becomes of each; see :mod:`tts.models.config_keys`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tts.models.config_keys import OFF, SOLVER, Key, built, idle, used

EULER = {
    **built(
        "noise levels",
        "shift use_dynamic_shifting base_shift max_shift base_image_seq_len max_image_seq_len shift_terminal "
        "time_shift_type use_karras_sigmas use_exponential_sigmas use_beta_sigmas",
    ),
    **used("networks are told a thousandth of a time step", "num_train_timesteps", 1000),
    **used("it goes from image to noise", "invert_sigmas", *OFF),
    **idle("the sampler is a setting", "stochastic_sampling"),
}
"""``FlowMatchEulerDiscreteScheduler``."""

MULTISTEP = {
    **used("noise levels", "flow_shift"),
    **used("the network would be no flow", "use_flow_sigmas", True),
    **used("the network would be no flow", "prediction_type", "flow_prediction"),
    **used("networks are told a thousandth of a time step", "num_train_timesteps", 1000),
    **used("noise levels would be others", "use_karras_sigmas use_exponential_sigmas use_beta_sigmas", *OFF),
    **used("noise levels would be others", "use_lu_lambdas use_dynamic_shifting", *OFF),
    **used("the last step would leave noise", "final_sigmas_type", "zero"),
    **used("predictions would be thresholded", "thresholding", *OFF),
    **idle("of dynamic shifting", "time_shift_type"),
    **idle("of thresholding", "dynamic_thresholding_ratio sample_max_value"),
    **idle(
        "of betas, which a flow has not",
        "beta_end beta_schedule beta_start trained_betas rescale_betas_zero_snr timestep_spacing steps_offset "
        "lambda_min_clipped variance_type",
    ),
    **idle(
        SOLVER,
        "algorithm_type solver_order solver_type solver_p lower_order_final euler_at_final corrector_order "
        "disable_corrector predictor_order predict_x0 sigma_min sigma_max shift_terminal",
    ),
}
"""Multistep solvers of flows; only their shift is used."""

SPRINT = {
    **used("what the network predicts", "prediction_type", "trigflow"),
    **used("of the data", "sigma_data", 0.5),
    **idle("the network is told times", "num_train_timesteps"),
}
"""``SCMScheduler``."""


def scheduler_table(config: Mapping[str, Any]) -> Mapping[str, Key]:
    """The table of keys for a flow's scheduler, by its configuration."""
    if config.get("use_flow_sigmas"):
        return MULTISTEP
    return SPRINT if config.get("_class_name") == "SCMScheduler" else EULER
