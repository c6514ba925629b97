"""Keys of configurations from which the libraries build networks, beside those of :mod:`tts.models.config_keys`.

A key that the class of the installed release takes is *built*. Where this project has a constant in place of a key,
only values that agree with the constant are supported. Any other key is unknown: libraries would ignore it in silence.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tts.models.config_keys import OFF, SAVED, TABLES, Key, built, idle, used
from tts.models.parts import class_of

CELLS = "cells of a latent along a side of a token"
TOLD = "whether the network is told the scale of guidance"

OWN: dict[str, Mapping[str, Key]] = {
    "AuraFlowTransformer2DModel": used(CELLS, "patch_size", 2),
    "SD3Transformer2DModel": used(CELLS, "patch_size", 2),
    "FluxTransformer2DModel": used("tokens hold 2x2 cells already", "patch_size", 1),
    "Flux2Transformer2DModel": used(CELLS, "patch_size", 1) | used(TOLD, "guidance_embeds", True),
    "Flux2Transformer2DModel of klein": used(CELLS, "patch_size", 1) | used(TOLD, "guidance_embeds", False),
    "SanaTransformer2DModel": used(CELLS, "patch_size", 1) | used(TOLD, "guidance_embeds", *OFF),
    "SanaTransformer2DModel of Sprint": used(CELLS, "patch_size", 1) | used(TOLD, "guidance_embeds", True),
    "Lumina2Transformer2DModel": used(CELLS, "patch_size", 2),
    "QwenImageTransformer2DModel": {
        **used(CELLS, "patch_size", 2),
        **used(TOLD, "guidance_embeds", *OFF),
        **built("the network would be told an image", "zero_cond_t use_additional_t_cond use_layer3d_rope", *OFF),
    },
    "ZImageTransformer2DModel": {
        **used(CELLS, "all_patch_size", [2]),
        **used("films have one image", "all_f_patch_size", [1]),
        **built("the network would be told an image", "siglip_feat_dim", None),
    },
    "PixArtTransformer2DModel": {
        **used(CELLS, "patch_size", 2),
        **built("the network would be told sizes", "use_additional_conditions", *OFF),
        **idle(
            "it has none", "num_vector_embeds double_self_attention only_cross_attention use_linear_projection", *OFF
        ),
        **idle("it has none", "ada_norm_bias", *OFF),
    },
    "AutoencoderTiny": {
        **used("it decodes latents as the network has them", "scaling_factor", 1),
        **used("it decodes latents as the network has them", "shift_factor", 0, None),
        **idle("of its encoder", "block_out_channels"),
    },
    "AutoencoderKLFlux2": used("the latents' cells", "patch_size", [2, 2]),
}
"""Keys that this project reads itself, by the class of the network, or by the name of a table for that class."""

TEXT_ENCODERS = {
    **SAVED,
    **built("as older releases have it", "rope_theta rope_scaling sliding_window_size hidden_activation n_positions"),
    **built("as older releases have it", "max_window_layers use_sliding_window sliding_window layer_types"),
    **idle(
        "of generating text",
        "cache_implementation decoder_start_token_id output_past task_specific_params use_cache return_dict "
        "output_attentions output_hidden_states tokenizer_class add_cross_attention is_decoder is_encoder_decoder "
        "prefix problem_type id2label label2id tie_encoder_decoder chunk_size_feed_forward auto_map",
    ),
    **idle("a Gemma's is hidden_activation", "hidden_act"),
    **idle("of training", "classifier_dropout pretraining_tp gradient_checkpointing"),
    **idle("images are none of a prompt's", "vision_config vision_token_id image_token_id video_token_id"),
    **idle("images are none of a prompt's", "vision_start_token_id vision_end_token_id"),
}
"""Keys of transformers' text encoders, beside those of the class's own configuration."""


def table_of(named: Sequence[Any], kind: str) -> Mapping[str, Key]:
    """What becomes of each key of a network's configuration.

    Args:
        named: library and class, as the checkpoint names them.
        kind: name of the table of :data:`OWN`: the class, or a name for one use of it.

    Raises:
        WeightsError: there is no such class.
    """
    if kind in TABLES:
        return TABLES[kind]
    layers = dict.fromkeys(known(named), Key("built", "layers"))
    return {**SAVED, **layers, **OWN.get(kind, {})} if named[0] == "diffusers" else {**TEXT_ENCODERS, **layers}


def defaults_of(named: Sequence[Any], kind: str) -> dict[str, Any]:
    """The class's own defaults for keys of :data:`OWN` that a configuration leaves out."""
    if kind not in OWN:
        return {}
    found = inspect.signature(class_of(named).__init__).parameters
    return {name: found[name].default for name, key in OWN[kind].items() if key.values and name in found}


def known(named: Sequence[Any]) -> Iterator[str]:
    """Keys that a class takes in the installed release."""
    if named[0] == "diffusers":
        from diffusers import DiTTransformer2DModel, PixArtTransformer2DModel, Transformer2DModel

        kind = class_of(named)
        formers = (DiTTransformer2DModel, PixArtTransformer2DModel) if kind is Transformer2DModel else ()
        for each in (kind, *formers):
            yield from list(inspect.signature(each.__init__).parameters)[1:]  # without self
        return
    config = class_of(named).config_class()
    for part in (config, config.get_text_config()):
        yield from part.to_dict()
