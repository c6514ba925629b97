"""Every key of the configurations that checkpoints are published with, and what becomes of it here.

A key is *used* (the loader reads it), *built* (the library's class takes it) or *idle* (it changes nothing here). Some
keys are supported with certain values only, as other values need inputs that the network does not get here. A key that
is in none of the tables, or has another value, is refused by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from tts.errors import WeightsError

OFF = (None, False)
"""Values of a key that switch off what it stands for."""


class Key(NamedTuple):
    """What becomes of a key.

    Args:
        how: ``used``, ``built`` or ``idle``; see the module.
        why: a few words of explanation; for a key with certain values only, what other values would need.
        values: the values that it may have; empty: any.
    """

    how: Literal["used", "built", "idle"]
    why: str
    values: tuple[Any, ...] = ()


def used(why: str, names: str, *values: Any) -> dict[str, Key]:
    """Keys that the loader reads."""
    return {name: Key("used", why, values) for name in names.split()}


def built(why: str, names: str, *values: Any) -> dict[str, Key]:
    """Keys that the library's class handles."""
    return {name: Key("built", why, values) for name in names.split()}


def idle(why: str, names: str, *values: Any) -> dict[str, Key]:
    """Keys that change nothing here."""
    return {name: Key("idle", why, values) for name in names.split()}


SAVED = idle("how it was saved or trained", "architectures dtype model_type torch_dtype transformers_version") | idle(
    "of averages in training, which the weights hold already",
    "decay inv_gamma min_decay optimization_step power update_after_step use_ema_warmup",
)

UNET = {
    **SAVED,
    **used("shape of a latent", "sample_size in_channels out_channels"),
    **used("the network is told the scale of guidance", "time_cond_proj_dim"),
    **built(
        "layers",
        "act_fn addition_embed_type_num_heads addition_time_embed_dim attention_head_dim block_out_channels "
        "center_input_sample class_embeddings_concat conv_in_kernel conv_out_kernel cross_attention_dim "
        "cross_attention_norm down_block_types downsample_padding dropout dual_cross_attention encoder_hid_dim "
        "flip_sin_to_cos freq_shift layers_per_block mid_block_only_cross_attention mid_block_scale_factor "
        "mid_block_type norm_eps norm_num_groups num_attention_heads only_cross_attention "
        "projection_class_embeddings_input_dim resnet_out_scale_factor resnet_skip_time_act resnet_time_scale_shift "
        "reverse_transformer_layers_per_block time_embedding_act_fn time_embedding_dim timestep_post_act "
        "transformer_layers_per_block up_block_types upcast_attention use_linear_projection",
    ),
    **built("the network would be told a class", "class_embed_type num_class_embeds", None),
    **built("the network would be told an image", "encoder_hid_dim_type", None, "text_proj"),
    **built("the network would be told boxes", "attention_type", "default"),
    **built("its frequencies would be rounded in lower precision", "time_embedding_type", "positional", "fourier"),
    **built("the network would be told more than its prompt", "addition_embed_type", None, "text"),
}
"""``UNet2DConditionModel``."""

UNET_XL = {**UNET, **used("the network is told sizes", "addition_embed_type", "text_time")}
"""``UNet2DConditionModel`` of SDXL."""

TRANSFORMER = {
    **SAVED,
    **used("shape of a latent", "sample_size in_channels out_channels"),
    **used("classes, and the one that stands for none", "num_embeds_ada_norm"),
    **built(
        "layers",
        "activation_fn attention_bias attention_head_dim dropout norm_elementwise_affine norm_eps norm_num_groups "
        "num_attention_heads num_layers patch_size upcast_attention",
    ),
    **built("a DiT is asked for a class", "norm_type", "ada_norm_zero"),
    **idle("a DiT has none", "cross_attention_dim num_vector_embeds caption_channels interpolation_scale", *OFF),
    **idle("a DiT has none", "use_additional_conditions only_cross_attention double_self_attention", *OFF),
    **idle("a DiT has none", "use_linear_projection", *OFF),
    **idle("a DiT has none", "attention_type", "default"),
}
"""``DiTTransformer2DModel``, formerly called ``Transformer2DModel``."""

VAE = {
    **SAVED,
    **used("scale of latents", "scaling_factor"),
    **used("its pipeline does not shift latents", "shift_factor", None, 0),
    **used("its pipeline does not normalise latents", "latents_mean latents_std", None),
    **used("pixels along a side of a latent's cell", "block_out_channels"),
    **used("shape of a latent", "latent_channels"),
    **used("SDXL's decoder in float16", "force_upcast"),
    **built(
        "layers",
        "act_fn down_block_types layers_per_block mid_block_add_attention norm_num_groups up_block_types "
        "use_post_quant_conv use_quant_conv",
    ),
    **built("images are RGB", "in_channels out_channels", 3),
    **idle("of tiles, which are not used", "sample_size"),
}
"""``AutoencoderKL``."""

VAE_XL = {**VAE, **used("mean and deviation of latents", "latents_mean latents_std")}
"""``AutoencoderKL`` of SDXL."""

VAE_FLOW = {**VAE, **used("shift of latents", "shift_factor")}
"""``AutoencoderKL`` of flows."""

SOLVER = "of another solver; the sampler is a setting"
SCHEDULER = {
    **used("signal levels", "beta_end beta_schedule beta_start trained_betas num_train_timesteps"),
    **used("signal levels", "rescale_betas_zero_snr"),
    **used("time steps", "timestep_spacing steps_offset"),
    **used("the last level", "set_alpha_to_one"),
    **used("what the network predicts", "prediction_type"),
    **used("predictions are clipped", "clip_sample clip_sample_range"),
    **used("predictions would be thresholded, which the schedule refuses", "thresholding"),
    **idle("of thresholding, which is refused", "dynamic_thresholding_ratio sample_max_value"),
    **idle(
        SOLVER,
        "algorithm_type corrector_order disable_corrector eta euler_at_final final_sigmas_type interpolation_type "
        "lambda_min_clipped lower_order_final original_inference_steps predict_x0 predictor_order skip_prk_steps "
        "solver_order solver_p solver_type tau_func timestep_scaling use_beta_sigmas use_exponential_sigmas "
        "use_karras_sigmas use_lu_lambdas sigma_max sigma_min variance_type",
    ),
    **idle("of flows, which are another kind of model", "flow_shift time_shift_type"),
    **idle("the network would be a flow", "use_flow_sigmas use_dynamic_shifting shift_terminal", *OFF),
    **idle("the network would be told noise levels that are no time steps", "timestep_type", "discrete"),
    **idle("signal levels would be others", "snr_shift_scale", 1, 1.0),
    **idle("the network would predict clean states", "predict_epsilon", True),
    **idle("of libraries that are no more", "tensor_format timestep_values"),
}
"""Every scheduler with betas, whatever its class: only its signal levels are read."""

WORDS = "special tokens"
TEXT = {
    **SAVED,
    **built(
        "layers",
        "attention_dropout dropout hidden_act hidden_size intermediate_size layer_norm_eps max_position_embeddings "
        "num_attention_heads num_hidden_layers projection_dim vocab_size chunk_size_feed_forward",
    ),
    **built(WORDS, "bos_token_id eos_token_id pad_token_id"),
    **built("the pipeline asks for it", "use_attention_mask"),
    **idle("of training", "initializer_factor initializer_range problem_type id2label label2id is_encoder_decoder"),
    **idle("of training", "finetuning_task gradient_checkpointing tf_legacy_loss pruned_heads tie_word_embeddings"),
    **idle("the pipeline asks for what it needs", "output_attentions output_hidden_states"),
    **idle("the pipeline reads names", "return_dict use_return_dict", None, True),
    **idle("of generating text", "add_cross_attention is_decoder prefix tie_encoder_decoder torchscript use_bfloat16"),
}
"""``CLIPTextModel`` and ``CLIPTextModelWithProjection``."""

TOKENIZER = {
    **used("how much of a prompt is read", "model_max_length"),
    **built(
        WORDS,
        "bos_token eos_token pad_token unk_token added_tokens_decoder additional_special_tokens extra_special_tokens "
        "special_tokens_map_file add_prefix_space add_bos_token do_lower_case errors",
    ),
    **built("the pipeline asks for what it needs", "padding_side truncation_side model_input_names"),
    **idle("how it was saved", "tokenizer_class name_or_path backend processor_class use_fast is_local tokenizer_file"),
    **idle("of turning tokens into text", "clean_up_tokenization_spaces"),
}
"""``CLIPTokenizer``."""

INDEX = {
    **used("parts", "unet vae text_encoder text_encoder_2 tokenizer tokenizer_2 transformer scheduler"),
    **built("the pipeline's zeros in place of no prompt", "force_zeros_for_empty_prompt"),
    **idle("judges or takes images", "safety_checker feature_extractor image_encoder requires_safety_checker"),
    **idle("marks images; left out", "add_watermarker"),
    **idle("names of classes, which are ImageNet's", "id2label"),
}
"""``model_index.json``."""

TABLES: dict[str, Mapping[str, Key]] = {
    "UNet2DConditionModel": UNET,
    "UNet2DConditionModel of SDXL": UNET_XL,
    "DiTTransformer2DModel": TRANSFORMER,
    "AutoencoderKL": VAE,
    "AutoencoderKL of SDXL": VAE_XL,
    "AutoencoderKL of a flow": VAE_FLOW,
    "CLIPTextModel": TEXT,
    "CLIPTextModelWithProjection": TEXT,
    "CLIPTokenizer": TOKENIZER,
    "scheduler": SCHEDULER,
    "index": INDEX,
}
"""The tables, by the class or by what they describe."""


def check_keys(file: str, config: Mapping[str, Any], table: Mapping[str, Key]) -> None:
    """Refuse a configuration that asks for something unsupported.

    Args:
        file: name of the configuration in the checkpoint, for the message.
        config: its content; keys that begin with ``_`` are notes of the libraries and are ignored.
        table: the known keys of such configurations.

    Raises:
        WeightsError: a key is unknown, or has a value that is not supported.
    """
    for name, value in config.items():
        key = table.get(name)
        if name.startswith("_") or (key is None and any(value is off for off in OFF)):
            continue
        if key is None:
            raise WeightsError(
                f"{file} has {name} = {_shown(value)}, which is not known here; if it changes nothing, take it out of "
                "a copy, and set id to that folder"
            )
        if key.values and (list(value) if isinstance(value, tuple) else value) not in key.values:
            known = ", ".join(map(repr, key.values))
            raise WeightsError(f"{file} has {name} = {_shown(value)}, not {known}: {key.why}; set another id")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
