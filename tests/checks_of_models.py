"""What of models and samplers is held against what; see :mod:`checks`."""

from __future__ import annotations

from checks import Check

MODELS: dict[str, Check] = {
    "interpolant-euler": Check(
        "`interpolant` without noise, and with `renewal`",
        "diffusers: FlowMatchEulerDiscreteScheduler, plain and with stochastic_sampling",
        "states after 9 steps, of deviation 1",
        "tts/test_interpolant.py::test_no_noise_and_renewal_are_diffusers_steps",
        abs=1e-5,
    ),
}
"""Rows by key."""
