"""Every key of the rewards' published configurations is used, has no effect, or is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
import tiny_rewards
import torch
from checks_of_rewards import REWARDS as CHECKS
from open_clip.transform import _PREPROCESS_KEYS
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from tts.errors import WeightsError
from tts.quiet import quiet
from tts.registry import REWARDS
from tts.rewards import clip_constants
from tts.rewards import published_configs as configs


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


def images(*shape: int) -> Tensor:
    coarse = torch.rand(shape[0], 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return (F.interpolate(coarse, shape[2:], mode="bicubic").clamp(0, 1) * 255).round().to(torch.uint8)


# ---- published keys -------------------------------------------------------------------------------------------------

GENERATION = """add_cross_attention bad_words_ids begin_suppress_tokens chunk_size_feed_forward
cross_attention_hidden_size decoder_start_token_id diversity_penalty do_sample early_stopping
encoder_no_repeat_ngram_size exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id
id2label is_decoder is_encoder_decoder label2id length_penalty max_length min_length model_type no_repeat_ngram_size
num_beam_groups num_beams num_return_sequences output_attentions output_hidden_states output_scores prefix problem_type
pruned_heads remove_invalid_values repetition_penalty return_dict return_dict_in_generate sep_token_id suppress_tokens
task_specific_params temperature tf_legacy_loss tie_encoder_decoder tie_word_embeddings tokenizer_class top_k top_p
torch_dtype torchscript transformers_version typical_p use_bfloat16 architectures _name_or_path"""
"""Keys that transformers 4 wrote into each part of a configuration, such as PickScore's."""
SHARED = "attention_dropout dropout hidden_act hidden_size initializer_factor initializer_range intermediate_size "
SHARED += "layer_norm_eps num_attention_heads num_hidden_layers projection_dim"

PUBLISHED: dict[str, tuple[str, set[str]]] = {
    "config.json": (
        "_commit_hash architectures initializer_factor logit_scale_init_value model_type projection_dim text_config "
        "text_config_dict torch_dtype transformers_version vision_config vision_config_dict",
        configs.CLIP_USED[""] | configs.CONFIG_NEUTRAL,
    ),
    "config.json: text_config": (
        f"{GENERATION} {SHARED} vocab_size max_position_embeddings pad_token_id bos_token_id eos_token_id",
        configs.CLIP_USED["text_config"] | configs.CONFIG_NEUTRAL,
    ),
    "config.json: vision_config": (
        f"{GENERATION} {SHARED} image_size patch_size num_channels",
        configs.CLIP_USED["vision_config"] | configs.CONFIG_NEUTRAL,
    ),
    "preprocessor_config.json": (
        "crop_size do_center_crop do_convert_rgb do_normalize do_rescale do_resize feature_extractor_type image_mean "
        "image_processor_type image_std resample rescale_factor size processor_class",
        configs.PREPROCESSOR_USED | configs.PREPROCESSOR_FIXED.keys() | configs.PREPROCESSOR_NEUTRAL,
    ),
    "tokenizer_config.json of CLIP": (
        "unk_token bos_token eos_token pad_token add_prefix_space errors do_lower_case name_or_path model_max_length "
        "special_tokens_map_file tokenizer_class processor_class added_tokens_decoder clean_up_tokenization_spaces "
        "extra_special_tokens additional_special_tokens backend",
        configs.TOKENIZER_USED | configs.TOKENIZER_FIXED.keys() | configs.TOKENIZER_NEUTRAL,
    ),
    "tokenizer_config.json of BERT": (
        "do_lower_case model_max_length unk_token sep_token pad_token cls_token mask_token tokenize_chinese_chars "
        "strip_accents name_or_path special_tokens_map_file tokenizer_class do_basic_tokenize never_split",
        configs.TOKENIZER_USED | configs.TOKENIZER_FIXED.keys() | configs.TOKENIZER_NEUTRAL,
    ),
    "med_config.json": (
        "architectures attention_probs_dropout_prob hidden_act hidden_dropout_prob hidden_size initializer_range "
        "intermediate_size layer_norm_eps max_position_embeddings model_type num_attention_heads num_hidden_layers "
        "pad_token_id type_vocab_size vocab_size encoder_width add_cross_attention add_type_embeddings",
        configs.BERT_FIXED.keys() | configs.BERT_TOLD | configs.BERT_NEUTRAL,
    ),
    "open_clip_config.json": ("model_cfg preprocess_cfg", clip_constants.FOLDER_KEYS),
    "open_clip_config.json: preprocess_cfg": (" ".join(_PREPROCESS_KEYS), clip_constants.PREPROCESS_KEYS),
}
"""Published configurations: their keys, and the keys that are known here."""


@pytest.mark.parametrize("file", PUBLISHED)
def test_every_published_key_is_known(file: str) -> None:
    keys, known = PUBLISHED[file]
    assert set(keys.split()) - known == set()


def test_every_key_of_the_installed_transformers_is_known() -> None:
    saved, processor = CLIPConfig().to_dict(), CLIPImageProcessor().to_dict()
    configs.check_clip(saved, "here")
    for key, values in configs.PREPROCESSOR_FIXED.items():
        assert key not in processor or configs._same(processor[key], values[0]), key
    configs.preprocess({**processor, "resample": int(processor["resample"])}, "here")


def test_open_clip_builds_every_configuration_that_it_ships() -> None:
    """open_clip reads their keys itself, and refuses those that its parts do not have."""
    fields = {
        "vision_cfg": open_clip.CLIPVisionCfg.__dataclass_fields__,
        "text_cfg": open_clip.CLIPTextCfg.__dataclass_fields__,
    }
    models = open_clip.list_models()
    unknown = {
        (model, part, key)
        for model in models
        for part, known in fields.items()
        for key in open_clip.get_model_config(model)[part]
        if key not in known
    }
    assert len(models) > 100
    assert unknown == set()


# ---- unknown keys ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("configs")
    pick = str(tiny_rewards.pickscore_folder(folder / "pick"))
    return {
        "pickscore": {"id": pick, "processor": pick},
        "imagereward": tiny_rewards.image_reward(folder / "imagereward"),
    }


CHANGES: dict[str, tuple[str, str, list[str], Any, str]] = {
    "a model's key": ("pickscore", "config.json", ["rope_theta"], 1, "has 'rope_theta', whose effect is unknown"),
    "a text encoder's": ("pickscore", "config.json", ["text_config", "rope"], 1, "text_config: has 'rope'"),
    "an image encoder's": ("pickscore", "config.json", ["vision_config", "gate"], 1, "vision_config: has 'gate'"),
    "a processor's": ("pickscore", "preprocessor_config.json", ["gamma"], 2.2, "has 'gamma', whose effect is unknown"),
    "no crop": ("pickscore", "preprocessor_config.json", ["do_center_crop"], False, "'do_center_crop' is False, and"),
    "no resizing": ("pickscore", "preprocessor_config.json", ["do_resize"], False, "'do_resize' is False"),
    "another factor": ("pickscore", "preprocessor_config.json", ["rescale_factor"], 1 / 127.5, "'rescale_factor' is"),
    "Lanczos": ("pickscore", "preprocessor_config.json", ["resample"], 1, "'resample' is 1; known: 2 .bilinear"),
    "a longest side": ("pickscore", "preprocessor_config.json", ["size"], {"longest_edge": 16}, "known: shortest_edge"),
    "no square": (
        *("pickscore", "preprocessor_config.json", ["crop_size"], {"height": 16, "width": 8}),
        "known: height and width of one length",
    ),
    "no side": ("pickscore", "preprocessor_config.json", ["size"], "large", "known: shortest_edge of one length"),
    "two channels": ("pickscore", "preprocessor_config.json", ["image_mean"], [0.5, 0.5], "'image_mean' is .0.5, 0.5."),
    "no deviation": ("pickscore", "preprocessor_config.json", ["image_std"], [0, 1, 1], "'image_std' is .0, 1, 1."),
    "no mapping": ("pickscore", "config.json", ["text_config"], [1], "text_config: is no mapping"),
    "padding": ("pickscore", "preprocessor_config.json", ["crop_size"], 24, "'crop_size' is larger than 'size'"),
    "a tokenizer's": ("pickscore", "tokenizer_config.json", ["dropout"], 0.1, "has 'dropout', whose effect"),
    "cut on the left": ("pickscore", "tokenizer_config.json", ["truncation_side"], "left", "'truncation_side' is"),
    "BERT's tokenizer's": ("imagereward", "bert/tokenizer_config.json", ["subwords"], 2, "has 'subwords'"),
    "BLIP's": ("imagereward", "med_config.json", ["hidden_act"], "relu", "'hidden_act' is 'relu', and only 'gelu'"),
    "BLIP's sizes": ("imagereward", "med_config.json", ["hidden_size"], 768, "'hidden_size' is 768, and only 64"),
    "BLIP's other": ("imagereward", "med_config.json", ["adapter"], 1, "has 'adapter', whose effect is unknown"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_key_of_effect_that_is_not_computed_is_refused_by_name(
    case: str, files: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    reward, name, keys, value, message = CHANGES[case]
    settings = copied(reward, files[reward], tmp_path)
    path = tmp_path / reward / name
    content = json.loads(path.read_text()) if path.exists() else {"model_type": "bert"}
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=message) as error:
        REWARDS.make({"name": reward, **settings})[1].check()
    assert "\n" not in str(error.value)


def copied(reward: str, settings: dict[str, Any], to: Path) -> dict[str, Any]:
    """A copy of a reward's files, and settings that name it."""
    import shutil

    root = Path(next(iter(settings.values())))
    root = root if root.is_dir() else root.parent
    shutil.copytree(root, to / reward)
    return {name: value.replace(str(root), str(to / reward)) for name, value in settings.items()}


def test_weights_in_other_folders_are_not_read(files: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    settings = copied("pickscore", files["pickscore"], tmp_path)
    index = {"weight_map": {"logit_scale": "../other.safetensors"}}
    (tmp_path / "pickscore" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"lacks \.\./other\.safetensors; download it again"):
        REWARDS.make({"name": "pickscore", **settings})[1].check()


# ---- used keys ------------------------------------------------------------------------------------------------------

PROCESSORS: dict[str, dict[str, Any]] = {
    "as published": {},
    "older form": {"size": 16, "crop_size": 16},
    "a larger side": {"size": {"shortest_edge": 21}},
    "bilinear": {"resample": 2},
    "other constants": {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]},
}


@pytest.mark.parametrize("size", [(16, 16), (40, 40), (24, 41), (37, 20), (19, 300)])
@pytest.mark.parametrize("form", PROCESSORS)
def test_images_are_prepared_as_transformers_prepares_them(form: str, size: tuple[int, int], tmp_path: Path) -> None:
    with quiet():
        CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    path, pictures = tmp_path / "preprocessor_config.json", images(2, 3, *size)
    path.write_text(json.dumps({**json.loads(path.read_text()), **PROCESSORS[form]}))
    with quiet():
        processor = CLIPImageProcessor.from_pretrained(tmp_path)
    expected = processor(list(pictures), return_tensors="pt")["pixel_values"]
    found = configs.preprocessor_of(tmp_path, "processor")(pictures)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= CHECKS["clip processor"].abs


def test_every_key_that_counts_as_used_changes_images(tmp_path: Path) -> None:
    base = {"size": 24, "crop_size": 16, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    other = {"size": 30, "crop_size": 12, "resample": 2, "image_mean": [0.4] * 3, "image_std": [0.6] * 3}
    assert base.keys() == configs.PREPROCESSOR_USED
    before = configs.preprocess(base, "here")(images(1, 3, 40, 40))
    for key, value in other.items():
        after = configs.preprocess({**base, key: value}, "here")(images(1, 3, 40, 40))
        assert after.shape != before.shape or not torch.equal(after, before), key


def test_a_processor_in_its_newer_file_is_read(files: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    settings = copied("pickscore", files["pickscore"], tmp_path)
    old = tmp_path / "pickscore" / "preprocessor_config.json"
    score = REWARDS.make({"name": "pickscore", **settings})[1].load().score(images(1, 3, 20, 30), ["a cat"])
    new = {"image_processor": json.loads(old.read_text()), "processor_class": "CLIPProcessor"}
    (old.parent / "processor_config.json").write_text(json.dumps(new))
    old.unlink()
    assert REWARDS.make({"name": "pickscore", **settings})[1].load().score(images(1, 3, 20, 30), ["a cat"]) == score


# ---- scalars of a score ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_scale_of_pickscore_is_100_in_any_precision(
    precision: str, files: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    settings = copied("pickscore", files["pickscore"], tmp_path)
    folder = tmp_path / "pickscore"
    with quiet():
        model = CLIPModel.from_pretrained(folder)
        model.logit_scale.fill_(torch.tensor(100.0).log())
        model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))  # the precision of training
    reward: Any = REWARDS.make({"name": "pickscore", **settings, "precision": precision})[1].load()
    assert reward.scale == CHECKS["scale"].near(100.0)
    assert reward.model.dtype == {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def test_no_two_images_tie_because_the_head_rounds(files: dict[str, dict[str, Any]]) -> None:
    """With ImageReward in bf16, the network rounds but the head does not."""
    reward: Any = REWARDS.make({"name": "imagereward", **files["imagereward"], "precision": "bf16"})[1].load()
    assert {part.weight.dtype for part in reward.network.head} == {torch.float32}
    found = torch.tensor(reward.score(images(40, 3, 32, 32), ["a"] * 40)).double()
    assert len(found.unique()) == 40
    assert not torch.equal(found.to(torch.bfloat16).double(), found)
    identity = REWARDS.make({"name": "imagereward", **files["imagereward"], "precision": "bf16"})[1].identity()
    assert identity["head"] == "fp32"
