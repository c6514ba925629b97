"""Comparisons of models and samplers with other code, for :mod:`checks`."""

from __future__ import annotations

from checks import Check

MODELS: dict[str, Check] = {
    "latents": Check(
        "`stable-diffusion`, `stable-diffusion-xl` and `dit` on the noises of diffusers' steps, on eight schedules",
        "diffusers: StableDiffusionPipeline, StableDiffusionXLPipeline, DiTPipeline with DDIM",
        "latents after 10 steps, as a share of the largest",
        "tts/test_latent_parity.py::test_same_noises_same_latents",
        abs=1e-4,
    ),
    "latent statistics": Check(
        "mean and deviation of SDXL's latents",
        "the formula of diffusers' StableDiffusionXLPipeline",
        "pixels, 0 to 255",
        "tts/test_config_keys.py::test_mean_and_deviation_of_latents_are_undone",
        abs=1,
    ),
    "ddim": Check(
        "`ddim`, of every spacing and kind of prediction, with noise",
        "diffusers: DDIMScheduler",
        "states after 13 steps, as a share of the largest",
        "tts/test_ddim.py::test_equals_diffusers_steps",
        abs=1e-5,
    ),
    "heun": Check(
        "`heun` with churn",
        "Algorithm 2 of Karras et al. 2022, written out",
        "states after every step, of deviation up to 80",
        "tts/test_heun.py::test_equals_algorithm_2",
        abs=1e-6,
        rel=1e-6,
    ),
    "adm": Check(
        "`edm` on pickles of DhariwalUNet, of seven shapes",
        "the published computation, from its description",
        "clean images of deviation 0.1 to 1, at four noise levels",
        "tts/test_edm_checkpoint.py::test_denoises_as_the_published_network_does",
        abs=1e-5,
    ),
    "song": Check(
        "`edm` on pickles of SongUNet, DDPM++ and NCSN++",
        "the published computation, from its description",
        "clean images of deviation 0.1 to 1, at four noise levels",
        "tts/test_song.py::test_denoises_as_the_published_network_does",
        abs=1e-5,
    ),
    "interpolant-euler": Check(
        "`interpolant` without noise, and with `renewal`",
        "diffusers: FlowMatchEulerDiscreteScheduler, plain and with stochastic_sampling",
        "states after 9 steps, of deviation 1",
        "tts/test_interpolant.py::test_no_noise_and_renewal_are_diffusers_steps",
        abs=1e-5,
    ),
    "lcm": Check(
        "a UNet that is told the scale of guidance (`stable-diffusion` on an LCM)",
        "diffusers: LatentConsistencyModelPipeline's calls of the UNet, at three scales",
        "the UNet's answers, of deviation 1",
        "tts/test_guiding.py::test_the_unet_is_asked_as_lcms_pipeline_asks_it",
        abs=1e-5,
    ),
    "told-images": Check(
        "`stable-diffusion` and `stable-diffusion-xl` on UNets that are told the scale",
        "diffusers: StableDiffusionPipeline and StableDiffusionXLPipeline",
        "pixels, 0 to 255",
        "tts/test_guiding.py::test_images_are_the_pipelines",
        abs=1,
    ),
    "sizes": Check(
        "images of any height and width, SDXL's sizes among what it is told",
        "diffusers: StableDiffusionPipeline and StableDiffusionXLPipeline",
        "pixels, 0 to 255",
        "tts/test_sizes.py::test_images_of_any_size_are_the_pipelines",
        abs=1,
    ),
    "float16": Check(
        "every family in float16: UNets, DiT, ADM, DDPM++, NCSN++",
        "the same weights in float32",
        "the network's answers, as a share of their deviation",
        "tts/test_half_precision.py::test_answers_are_off_by_no_more_than_rounding",
        abs=0.01,
    ),
    "bfloat16": Check(
        "every family in bfloat16",
        "the same weights in float32",
        "the network's answers, as a share of their deviation",
        "tts/test_half_precision.py::test_answers_are_off_by_no_more_than_rounding",
        abs=0.08,
    ),
    "half-embeddings": Check(
        "embeddings of times, noise levels and sizes in float16 and bfloat16, of every family",
        "the same in float32",
        "the embeddings, -1 to 1",
        "tts/test_half_precision.py::test_embeddings_are_those_of_float32",
    ),
    "flow-families": Check(
        "every family of flows without noise, and PixArt-Sigma; Sana-Sprint with its own",
        "diffusers: the family's own pipeline, with Euler's, DDIM's or its consistency scheduler",
        "latents after 4 steps, as a share of the largest",
        "tts/test_flow_families.py::test_without_noise_the_latents_are_the_pipelines",
        abs=1e-4,
    ),
    "few-steps": Check(
        "SD-Turbo, SDXL-Turbo, SDXL-Lightning and LCM as the guide has them",
        "diffusers: their pipelines with Euler's ancestral, Euler's and LCM's scheduler, and the same noises",
        "latents after 1, 2 or 4 steps, as a share of the largest",
        "tts/test_few_steps.py::test_presets_draw_what_their_pipelines_draw",
        abs=1e-4,
    ),
    "sit": Check(
        "`sit`, of SiT and REPA",
        "diffusers: DiTTransformer2DModel at the published frequencies, stepped as both programs step",
        "answers of the network, and latents after 5 steps, as a share of the largest",
        "tts/test_sit.py::test_answers_as_diffusers_network_at_the_published_frequencies",
        abs=1e-5,
    ),
    "edm2": Check(
        "`edm2`: the folded network, guidance by a second one, and Heun's steps without churn",
        "the published computation, weights normalised at every call, in float64",
        "predicted latents, and latents after 4 steps, of deviation about 1",
        "tts/test_edm2.py::test_denoises_as_the_published_network_does",
        abs=2e-5,
    ),
    "any-pipeline": Check(
        "`diffusers`, any pipeline through its own call",
        "the families of the same checkpoints",
        "latents after 3 steps, as a share of the largest",
        "tts/test_any_pipeline.py::test_it_draws_what_the_family_draws",
        abs=1e-4,
    ),
    "cogview4": Check(
        "CogView4 as `diffusers`, with its shift and its own time steps",
        "diffusers: CogView4's own pipeline",
        "latents after 1, 4 or 7 steps, as a share of the largest",
        "tts/test_cogview4.py::test_without_noise_the_latents_are_the_pipelines",
        abs=1e-4,
    ),
}
"""Rows by key."""
