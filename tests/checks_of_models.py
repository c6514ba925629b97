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
    "flow-families": Check(
        "every family of flows without noise, and PixArt-Sigma; Sana-Sprint with its own",
        "diffusers: the family's own pipeline, with Euler's, DDIM's or its consistency scheduler",
        "latents after 4 steps, as a share of the largest",
        "tts/test_flow_families.py::test_without_noise_the_latents_are_the_pipelines",
        abs=1e-4,
    ),
}
"""Rows by key."""
