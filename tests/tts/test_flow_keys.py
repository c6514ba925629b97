"""Keys of flows' configurations: each is used, built from or idle; unknown ones are refused by name."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import pytest
import tiny_pipelines
from tiny_flows import FAMILIES

from tts.errors import WeightsError
from tts.models.built_keys import OWN, TEXT_ENCODERS, known, table_of
from tts.models.config_keys import OFF
from tts.models.flow_keys import EULER, MULTISTEP, SPRINT
from tts.models.flow_schedule import FlowSchedule
from tts.registry import MODELS

SCHEDULERS = (
    "FlowMatchEulerDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "SCMScheduler",
)
SIGNATURES = {name: inspect.signature(getattr(diffusers, name).__init__).parameters for name in SCHEDULERS}
PUBLISHED: dict[str, tuple[tuple[str, str], str]] = {
    "T5 v1.1": (
        ("transformers", "T5EncoderModel"),
        "_name_or_path architectures classifier_dropout d_ff d_kv d_model decoder_start_token_id dense_act_fn "
        "dropout_rate eos_token_id feed_forward_proj initializer_factor is_encoder_decoder is_gated_act "
        "layer_norm_epsilon model_type num_decoder_layers num_heads num_layers output_past pad_token_id "
        "relative_attention_max_distance relative_attention_num_buckets tie_word_embeddings torch_dtype "
        "transformers_version use_cache vocab_size",
    ),
    "Gemma 2": (
        ("transformers", "Gemma2Model"),
        "_name_or_path architectures attention_bias attention_dropout attn_logit_softcapping bos_token_id "
        "cache_implementation eos_token_id final_logit_softcapping head_dim hidden_act hidden_activation hidden_size "
        "initializer_range intermediate_size max_position_embeddings model_type num_attention_heads num_hidden_layers "
        "num_key_value_heads pad_token_id query_pre_attn_scalar rms_norm_eps rope_theta sliding_window "
        "sliding_window_size torch_dtype transformers_version use_cache vocab_size",
    ),
    "Qwen2.5-VL": (
        ("transformers", "Qwen2_5_VLForConditionalGeneration"),
        "architectures attention_dropout bos_token_id eos_token_id hidden_act hidden_size image_token_id "
        "initializer_range intermediate_size max_position_embeddings max_window_layers model_type num_attention_heads "
        "num_hidden_layers num_key_value_heads pad_token_id rms_norm_eps rope_scaling rope_theta sliding_window "
        "tie_word_embeddings torch_dtype transformers_version use_cache use_sliding_window video_token_id "
        "vision_config vision_end_token_id vision_start_token_id vision_token_id vocab_size",
    ),
    "Qwen3": (
        ("transformers", "Qwen3Model"),
        "architectures attention_bias attention_dropout bos_token_id eos_token_id head_dim hidden_act hidden_size "
        "initializer_range intermediate_size max_position_embeddings max_window_layers model_type num_attention_heads "
        "num_hidden_layers num_key_value_heads rms_norm_eps rope_scaling rope_theta sliding_window "
        "tie_word_embeddings torch_dtype transformers_version use_cache use_sliding_window vocab_size",
    ),
    "Sana": (
        ("diffusers", "SanaTransformer2DModel"),
        "attention_bias attention_head_dim caption_channels cross_attention_dim cross_attention_head_dim dropout "
        "in_channels mlp_ratio norm_elementwise_affine norm_eps num_attention_heads num_cross_attention_heads "
        "num_layers out_channels patch_size sample_size qk_norm interpolation_scale guidance_embeds "
        "guidance_embeds_scale timestep_scale",
    ),
    "PixArt-Sigma under its former name": (
        ("diffusers", "Transformer2DModel"),
        "activation_fn attention_bias attention_head_dim attention_type caption_channels cross_attention_dim "
        "double_self_attention dropout in_channels interpolation_scale norm_elementwise_affine norm_eps "
        "norm_num_groups norm_type num_attention_heads num_embeds_ada_norm num_layers num_vector_embeds "
        "only_cross_attention out_channels patch_size sample_size upcast_attention use_additional_conditions "
        "use_linear_projection",
    ),
}
"""Classes, and the keys of their published configurations."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_key_has_a_place(name: str) -> None:
    named, keys = PUBLISHED[name]
    missing = [key for key in keys.split() if key not in table_of(named, named[-1]) and not key.startswith("_")]
    assert missing == []


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (EULER, ["FlowMatchEulerDiscreteScheduler"]),
        (MULTISTEP, ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"]),
        (SPRINT, ["SCMScheduler"]),
    ],
)
def test_every_key_of_the_installed_schedulers_has_a_place(table: Any, names: list[str]) -> None:
    assert {key for name in names for key in SIGNATURES[name]} - {"self"} == table.keys() & {
        key for name in names for key in SIGNATURES[name]
    }


@pytest.mark.parametrize("kind", OWN)
def test_what_is_left_out_of_a_network_is_supported(kind: str) -> None:
    """A default that its family does not support is refused as if it were written."""
    parameters = inspect.signature(getattr(diffusers, kind.split(" ")[0]).__init__).parameters
    unlike = {
        ("SanaTransformer2DModel of Sprint", "guidance_embeds"),
        ("Flux2Transformer2DModel of klein", "guidance_embeds"),
    }
    for name, key in OWN[kind].items():
        if name in parameters and key.values and (kind, name) not in unlike:
            default = parameters[name].default
            assert (list(default) if isinstance(default, tuple) else default) in key.values, name


BASE: dict[str, Any] = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
DYNAMIC: dict[str, Any] = {**BASE, "use_dynamic_shifting": True}
CHANGES: dict[str, tuple[dict[str, Any], Any]] = {
    "shift": (BASE, 2.0),
    "use_dynamic_shifting": (BASE, True),
    "base_shift": (DYNAMIC, 0.7),
    "max_shift": (DYNAMIC, 2.0),
    "base_image_seq_len": (DYNAMIC, 128),
    "max_image_seq_len": (DYNAMIC, 8192),
    "shift_terminal": (BASE, 0.1),
    "time_shift_type": (DYNAMIC, "linear"),
    "use_karras_sigmas": (BASE, True),
    "use_exponential_sigmas": (BASE, True),
}


def levels(config: dict[str, Any], even: bool = False) -> tuple[float, ...]:
    return FlowSchedule(config, even, 1024).levels(5)


@pytest.mark.parametrize("key", sorted(name for name, key in EULER.items() if key.how == "built"))
def test_a_key_of_a_scheduler_that_is_built_changes_the_levels(key: str) -> None:
    if key == "use_beta_sigmas":  # like karras and exponential, but it needs a library that nothing else needs
        return
    base, value = CHANGES[key]
    assert levels(base) != levels({**base, key: value})


@pytest.mark.parametrize("key", sorted(name for name, key in MULTISTEP.items() if key.how == "idle"))
def test_a_key_of_a_multistep_scheduler_that_is_idle_changes_nothing(key: str) -> None:
    base = {"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True, "flow_shift": 3.0}
    assert levels({**base, key: "other"}) == levels(base) != levels({**base, "flow_shift": 2.0})


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Every family, saved when it is first asked for."""
    folder = tmp_path_factory.mktemp("flows")
    return cache(lambda name: tiny_pipelines.save(FAMILIES[name].make(), folder / name))


@pytest.fixture
def edited(saved: Any) -> Iterator[Any]:
    """Settings of a family after keys of one of its files were changed; the change ends with the test."""
    before: dict[Path, str] = {}

    def edit(name: str, file: str, **changes: Any) -> Any:
        path, family = saved(name) / file, FAMILIES[name]
        before.setdefault(path, path.read_text())
        path.write_text(json.dumps({**json.loads(before[path]), **changes}))
        values = {"id": str(saved(name)), "size": family.pixels, **family.settings}
        return MODELS.make({"name": family.name, **values})[1]

    yield edit
    for path, text in before.items():
        path.write_text(text)


UNKNOWN = [
    *[(name, "transformer/config.json") for name in FAMILIES if name not in ("flux-schnell", "z-image-turbo")],
    *[(name, "scheduler/scheduler_config.json") for name in ("flux-dev", "sana", "sana-sprint", "pixart-sigma")],
    *[("flux-dev", f"text_encoder{k}/config.json") for k in ("", "_2")],
    *[
        ("flux-dev", "tokenizer/tokenizer_config.json"),
        ("flux-dev", "model_index.json"),
        ("flux-dev", "vae/config.json"),
    ],
    *[("sana", "text_encoder/config.json"), ("sana", "vae/config.json"), ("qwen-image", "vae/config.json")],
    *[("z-image", "text_encoder/config.json"), ("flux2", "vae/config.json"), ("pixart-sigma", "model_index.json")],
]


@pytest.mark.parametrize(("name", "file"), UNKNOWN)
def test_an_unknown_key_is_refused_by_its_name(name: str, file: str, edited: Any) -> None:
    edited(name, file).check()
    settings = edited(name, file, frobnicate=3)
    with pytest.raises(WeightsError, match=rf"^id [^\n]*{file} has frobnicate = 3, which is not known here[^\n]*$"):
        settings.check()
    for off in OFF:
        edited(name, file, frobnicate=off).check()


VALUES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "larger tokens": (
        "stable-diffusion-3",
        "transformer",
        {"patch_size": 4},
        "patch_size = 4, not 2: cells of a latent",
    ),
    "FLUX's tokens": ("flux-dev", "transformer", {"patch_size": 2}, "patch_size = 2, not 1"),
    "quantised": (
        "flux-dev",
        "transformer",
        {"quantization_config": {"x": 1}},
        "quantization_config = .*, which is not",
    ),
    "a quantised T5": ("flux-dev", "text_encoder_2", {"quantization_config": {"x": 1}}, "quantization_config = "),
    "a dev that is told nothing": (
        "flux2",
        "transformer",
        {"guidance_embeds": False},
        "guidance_embeds = False, not True",
    ),
    "a klein that is told": (
        "flux2-klein",
        "transformer",
        {"guidance_embeds": True},
        "guidance_embeds = True, not False",
    ),
    "a Sana that is told": (
        "sana",
        "transformer",
        {"guidance_embeds": True},
        "guidance_embeds = True, not None, False",
    ),
    "a Sprint that is not": (
        "sana-sprint",
        "transformer",
        {"guidance_embeds": False},
        "guidance_embeds = False, not T",
    ),
    "an editor": ("qwen-image", "transformer", {"zero_cond_t": True}, "zero_cond_t = True, not None, False"),
    "cells of its own": ("z-image", "transformer", {"all_patch_size": [2, 4]}, r"all_patch_size = \[2, 4\], not \[2\]"),
    "sizes": (
        "pixart-sigma",
        "transformer",
        {"use_additional_conditions": True},
        "use_additional_conditions = True, not",
    ),
    "sizes by default": (
        *("pixart-sigma", "transformer", {"use_additional_conditions": None, "sample_size": 128}),
        "its transformer is told sizes",
    ),
    "an image": ("flux-dev", "transformer", {"in_channels": 128}, "takes 32 channels, and a latent has 16"),
    "the other way": ("lumina2", "scheduler", {"invert_sigmas": True}, "invert_sigmas = True, not None, False"),
    "other time steps": ("lumina2", "scheduler", {"num_train_timesteps": 100}, "num_train_timesteps = 100, not 1000"),
    "noise": (
        "sana",
        "scheduler",
        {"prediction_type": "epsilon"},
        "prediction_type = 'epsilon', not 'flow_prediction'",
    ),
    "Karras": ("sana", "scheduler", {"use_karras_sigmas": True}, "use_karras_sigmas = True, not None, False"),
    "other data": ("sana-sprint", "scheduler", {"sigma_data": 1.0}, "sigma_data = 1.0, not 0.5"),
    "normalised": (
        "flux-dev",
        "vae",
        {"latents_mean": [0] * 16, "latents_std": [1] * 16},
        "latents_mean = .*, not None",
    ),
    "AuraFlow's, shifted": ("auraflow", "vae", {"shift_factor": 0.1}, "shift_factor = 0.1, not None, 0"),
    "AuraFlow's tokens": ("auraflow", "transformer", {"patch_size": 4}, "patch_size = 4, not 2"),
    "shifted": ("pixart-sigma", "vae", {"shift_factor": 0.1}, "shift_factor = 0.1, not None, 0: its pipeline does not"),
    "no scale": ("sana", "vae", {"scaling_factor": 0}, "scaling_factor is 0, no number above 0"),
    "no length": ("flux-dev", "tokenizer", {"model_max_length": 10**30}, "tokenizer's model_max_length is 10000"),
}


@pytest.mark.parametrize("case", VALUES)
def test_what_a_family_is_not_made_for_is_refused_by_its_name(case: str, edited: Any) -> None:
    name, part, changes, said = VALUES[case]
    names = {"scheduler": "scheduler_config.json", "tokenizer": "tokenizer_config.json"}
    with pytest.raises(WeightsError, match=f"^id [^\n]*{said}[^\n]*$"):
        edited(name, f"{part}/{names.get(part, 'config.json')}", **changes).check()


def test_any_pipeline_refuses_keys_that_nobody_takes(saved: Any, edited: Any) -> None:
    edited("lumina2", "transformer/config.json", frobnicate=3)
    any_pipeline = MODELS.make({"name": "diffusers", "id": str(saved("lumina2")), "size": 16})[1]
    for use in ("check", "load"):
        with pytest.raises(WeightsError, match=r"transformer/config.json has frobnicate = 3, which is not known here"):
            getattr(any_pipeline, use)()


def test_tables_name_what_they_are_of() -> None:
    for table in (*OWN.values(), EULER, MULTISTEP, SPRINT, TEXT_ENCODERS):
        assert all(key.why for key in table.values())
    assert {"dtype", "d_model"} <= set(known(("transformers", "T5EncoderModel")))
