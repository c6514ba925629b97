"""Read configurations of transformers key by key: a key with an effect is used, or refused by its name."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tts.errors import WeightsError, first_line
from tts.rewards.preprocess import CLIP_MEAN, CLIP_STD, Preprocess

PREPROCESSOR_USED = {"size", "crop_size", "resample", "image_mean", "image_std"}
PREPROCESSOR_FIXED: dict[str, tuple[Any, ...]] = {
    "do_resize": (True,),
    "do_center_crop": (True,),
    "do_rescale": (True,),
    "do_normalize": (True,),
    "do_pad": (False, None),
    "rescale_factor": (1 / 255,),
    "default_to_square": (False, None),
    "use_square_size": (False, None),
}
"""Keys that have an effect, and the values that are supported."""
PREPROCESSOR_NEUTRAL = {
    *("feature_extractor_type", "image_processor_type", "processor_class", "do_convert_rgb"),
    *("data_format", "input_data_format", "return_tensors", "device", "disable_grouping", "pad_size"),
    *("model_input_names", "_valid_processor_keys"),
}
"""Keys without effect on 8-bit RGB images."""
INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of interpolations."""

CONFIG_NEUTRAL = {
    *("_name_or_path", "_commit_hash", "architectures", "model_type", "transformers_version", "torch_dtype", "dtype"),
    *("attention_dropout", "dropout", "initializer_factor", "initializer_range", "logit_scale_init_value"),
    *("output_attentions", "output_hidden_states", "return_dict", "torchscript", "use_bfloat16", "use_cache"),
    *("id2label", "label2id", "problem_type", "num_labels", "task_specific_params", "finetuning_task"),
    *("tie_word_embeddings", "tie_encoder_decoder", "tf_legacy_loss", "is_decoder", "is_encoder_decoder"),
    *("add_cross_attention", "cross_attention_hidden_size", "decoder_start_token_id", "tokenizer_class", "prefix"),
    *("pruned_heads", "chunk_size_feed_forward", "gradient_checkpointing", "attn_implementation"),
    # settings for generating texts, which encoders do not do
    *("bad_words_ids", "begin_suppress_tokens", "suppress_tokens", "diversity_penalty", "do_sample", "early_stopping"),
    *("encoder_no_repeat_ngram_size", "no_repeat_ngram_size", "exponential_decay_length_penalty", "length_penalty"),
    *("forced_bos_token_id", "forced_eos_token_id", "max_length", "min_length", "num_beam_groups", "num_beams"),
    *("num_return_sequences", "output_scores", "remove_invalid_values", "repetition_penalty"),
    *("return_dict_in_generate", "sep_token_id", "temperature", "top_k", "top_p", "typical_p"),
}
"""Keys of a model's configuration without effect on trained encoders in evaluation mode."""
CLIP_USED = {
    "": {"projection_dim", "text_config", "vision_config", "text_config_dict", "vision_config_dict"},
    "text_config": {
        *("vocab_size", "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers"),
        *("num_attention_heads", "max_position_embeddings", "hidden_act", "layer_norm_eps"),
        *("pad_token_id", "bos_token_id", "eos_token_id"),
    },
    "vision_config": {
        *("hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers", "num_attention_heads"),
        *("num_channels", "image_size", "patch_size", "hidden_act", "layer_norm_eps"),
    },
}
"""Keys from which transformers builds a CLIPModel: of the whole model and of its two parts."""
TOKENIZER_USED = {
    *("bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token"),
    *("additional_special_tokens", "extra_special_tokens", "added_tokens_decoder", "add_prefix_space"),
    *("do_lower_case", "do_basic_tokenize", "never_split", "strip_accents", "tokenize_chinese_chars", "errors"),
}
"""Keys of a tokenizer_config.json from which transformers builds the tokenizers of CLIP and BERT."""
TOKENIZER_FIXED: dict[str, tuple[Any, ...]] = {"truncation_side": ("right",), "padding_side": ("right",)}
TOKENIZER_NEUTRAL = {
    *("model_max_length", "max_len", "name_or_path", "special_tokens_map_file", "tokenizer_file", "vocab_file"),
    *("merges_file", "tokenizer_class", "processor_class", "model_input_names", "use_fast", "backend", "is_local"),
    *("clean_up_tokenization_spaces", "split_special_tokens", "model_type", "trim_offsets", "_commit_hash"),
}
"""Keys of a tokenizer_config.json without effect on tokens; texts are cut at the text encoder's length."""

BERT_FIXED: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (True,),
    "add_type_embeddings": (False,),
    "hidden_act": ("gelu",),
    "is_decoder": (True, False),  # a setting for generating texts; a reward reads all tokens at once
    "layer_norm_eps": (1e-12,),
    "model_type": ("bert",),
    "pad_token_id": (0,),
    "position_embedding_type": ("absolute",),
}
BERT_TOLD = {
    *("hidden_size", "encoder_width", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("max_position_embeddings", "vocab_size"),
}
"""Keys of BLIP's med_config.json whose values also follow from the weights."""
BERT_NEUTRAL = {
    *("architectures", "attention_probs_dropout_prob", "hidden_dropout_prob", "initializer_range", "type_vocab_size"),
    *("gradient_checkpointing", "transformers_version", "use_cache", "classifier_dropout"),
}

PARTS = {"text_config": "text_config", "text_config_dict": "text_config"} | {
    "vision_config": "vision_config",
    "vision_config_dict": "vision_config",
}


def read_json(path: Path, setting: str) -> dict[str, Any]:
    """Read a configuration.

    Raises:
        WeightsError: it is missing or not a JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{setting} {path}: cannot be read ({first_line(error)})") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{setting} {path}: is not a configuration")
    return found


def check_clip(config: Mapping[str, Any], where: str) -> None:
    """Refuse a configuration of transformers' CLIPModel with a key whose effect is unknown.

    Raises:
        WeightsError: there is one; the message names it.
    """
    _refuse(config, CLIP_USED[""] | CONFIG_NEUTRAL, where)
    for name, part in PARTS.items():
        _refuse(config.get(name) or {}, CLIP_USED[part] | CONFIG_NEUTRAL, f"{where}: {name}")


def preprocess(values: Mapping[str, Any], where: str) -> Preprocess:
    """The preparation of images by a preprocessor_config.json: resize the shortest side, then crop the centre.

    Raises:
        WeightsError: it has a key whose effect is unknown, or a value that is not supported.
    """
    _refuse(values, PREPROCESSOR_USED | PREPROCESSOR_NEUTRAL, where, PREPROCESSOR_FIXED)
    interpolation = _interpolation(values, where)
    edge = _side(values.get("size", 224), {"shortest_edge"}, f"{where}: 'size'")
    crop = _side(values.get("crop_size", 224), {"height", "width"}, f"{where}: 'crop_size'")
    if edge < crop:
        raise WeightsError(f"{where}: 'crop_size' is larger than 'size'; the padding that this needs is not supported")
    mean, std = _three(values, "image_mean", CLIP_MEAN, where), _three(values, "image_std", CLIP_STD, where)
    return Preprocess(crop, mean, std, interpolation, edge=edge, rounds=False)


def preprocessor_of(folder: Path, setting: str) -> Preprocess:
    """The preparation of images by a folder's preprocessor_config.json, or by that section of processor_config.json."""
    path, key = folder / "preprocessor_config.json", None
    if not path.is_file() and (folder / "processor_config.json").is_file():
        path, key = folder / "processor_config.json", "image_processor"
    found = read_json(path, setting)
    part = found if key is None else found.get(key)
    if not isinstance(part, dict):
        raise WeightsError(f"{setting} {path}: has no settings of images")
    return preprocess(part, f"{setting} {path}")


def squash_of(folder: Path, setting: str) -> Preprocess:
    """The preparation of images by SigLIP's preprocessor_config.json: resize both sides to the side of a square.

    Raises:
        WeightsError: it has a key whose effect is unknown, or a value that is not supported.
    """
    path = folder / "preprocessor_config.json"
    values, where = read_json(path, setting), f"{setting} {path}"
    fixed = {**PREPROCESSOR_FIXED, "do_center_crop": (False, None), "default_to_square": (True, None)}
    _refuse(values, (PREPROCESSOR_USED - {"crop_size"}) | PREPROCESSOR_NEUTRAL, where, fixed)
    interpolation = _interpolation(values, where)
    side = _side(values.get("size", 224), {"height", "width"}, f"{where}: 'size'")
    mean, std = (_three(values, name, (0.5, 0.5, 0.5), where) for name in ("image_mean", "image_std"))
    return Preprocess(side, mean, std, interpolation, mode="squash")


def _interpolation(values: Mapping[str, Any], where: str) -> str:
    given = values.get("resample", 3)
    found = INTERPOLATIONS.get(given) if isinstance(given, int) else None
    if found is None:
        raise WeightsError(f"{where}: 'resample' is {values['resample']!r}; known: 2 (bilinear), 3 (bicubic)")
    return found


def check_tokenizer(folder: Path, setting: str) -> None:
    """Refuse a folder whose tokenizer_config.json, if any, has a key with an unknown or unsupported effect."""
    path = folder / "tokenizer_config.json"
    if path.is_file():
        _refuse(read_json(path, setting), TOKENIZER_USED | TOKENIZER_NEUTRAL, f"{setting} {path}", TOKENIZER_FIXED)


def check_bert(values: Mapping[str, Any], told: Mapping[str, int], where: str) -> None:
    """Refuse a configuration of BLIP's text encoder that disagrees with its weights or is not supported.

    Args:
        told: values of :data:`BERT_TOLD` that follow from the weights.
    """
    fixed = BERT_FIXED | {name: (size,) for name, size in told.items()}
    _refuse(values, BERT_NEUTRAL, where, fixed)


def _refuse(
    config: Mapping[str, Any], known: Iterable[str], where: str, fixed: Mapping[str, tuple[Any, ...]] | None = None
) -> None:
    """Raise for an unknown key, or for a key with an unsupported value."""
    if not isinstance(config, Mapping):
        raise WeightsError(f"{where}: is no mapping")
    allowed, fixed = set(known), fixed or {}
    for key, value in config.items():
        if key not in allowed and key not in fixed:
            raise WeightsError(f"{where}: has '{key}', whose effect is unknown; remove it in a copy of the file")
        if key in fixed and not any(_same(value, one) for one in fixed[key]):
            raise WeightsError(f"{where}: '{key}' is {value!r}, and only {fixed[key][0]!r} is supported")


def _side(value: Any, names: set[str], where: str) -> int:
    """Length of a square's side, or of an image's shortest side."""
    found = {name: side for name, side in value.items() if side is not None} if isinstance(value, Mapping) else value
    sides: list[Any] = [*found.values()] if isinstance(found, dict) and found.keys() == names else [found]
    if any(type(side) is not int or side != sides[0] or side < 1 for side in sides):
        raise WeightsError(f"{where} is {str(found)[:100]}; known: {' and '.join(sorted(names))} of one length")
    return int(sides[0])


def _three(values: Mapping[str, Any], name: str, usual: tuple[float, ...], where: str) -> tuple[float, ...]:
    """A number for each channel; deviations are above 0."""
    found = values.get(name, usual)
    least = 0.0 if name == "image_std" else -math.inf
    numbers = [each for each in found if type(each) in (int, float)] if isinstance(found, list | tuple) else []
    if len(numbers) != 3 or len(found) != 3 or not all(least < each < math.inf for each in numbers):
        raise WeightsError(f"{where}: '{name}' is {str(found)[:100]}; a number for each of three channels is known")
    return tuple(numbers)


def _same(value: Any, known: Any) -> bool:
    return value == known or (isinstance(known, float) and isinstance(value, float) and abs(value / known - 1) < 1e-6)
