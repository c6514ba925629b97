"""Small random networks in the files that the larger rewards' real weights come in."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tiny_geneval import geneval
from tiny_rewards import MEAN, STD

from tts.quiet import quiet

TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{% for part in turn.content %}{% if part.type == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Of chats in Qwen's form."""

MARKS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


def qwen_processor() -> Any:
    """A token for each byte; images of a few patches."""
    from transformers import Qwen2_5_VLProcessor, Qwen2Tokenizer, Qwen2VLImageProcessor, Qwen2VLVideoProcessor
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = {letter: place for place, letter in enumerate(bytes_to_unicode().values())}
    words = Qwen2Tokenizer(vocab=letters, merges=[], unk_token=MARKS[0], pad_token=MARKS[0])
    words.add_special_tokens({"additional_special_tokens": list(MARKS)})
    sizes = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    images = Qwen2VLImageProcessor(size=sizes)
    return Qwen2_5_VLProcessor(images, words, Qwen2VLVideoProcessor(size=sizes), chat_template=TEMPLATE)


def qwen_config(kind: str, words: Any) -> Any:
    """Of a Qwen2-VL or a Qwen2.5-VL of two small layers."""
    import transformers

    text = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
    }
    vision = {"depth": 2, "num_heads": 2, "hidden_size": 32} | (
        {"embed_dim": 32}
        if kind == "Qwen2VL"
        else {"intermediate_size": 37, "out_hidden_size": 32, "fullatt_block_indexes": [1]}
    )
    marks = {f"{mark.strip('<|>')}": words.convert_tokens_to_ids(mark) for mark in MARKS}
    return getattr(transformers, f"{kind}Config")(
        text_config=text,
        vision_config=vision,
        image_token_id=marks["image_pad"],
        video_token_id=marks["video_pad"],
        vision_start_token_id=marks["vision_start"],
        vision_end_token_id=marks["vision_end"],
    )


def qwen(folder: Path, kind: str = "Qwen2_5_VL") -> Path:
    """A vision-language model with its processor, in transformers' form."""
    import transformers

    torch.manual_seed(0)
    processor = qwen_processor()
    with quiet():
        model = getattr(transformers, f"{kind}ForConditionalGeneration")(qwen_config(kind, processor.tokenizer))
        for parameter in model.parameters():
            parameter.data = torch.randn_like(parameter) * 0.15
        model.generation_config.eos_token_id = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
        model.generation_config.pad_token_id = processor.tokenizer.convert_tokens_to_ids("<|endoftext|>")
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


QUESTION = "How good is this image of {caption}?"


def hpsv3(folder: Path) -> dict[str, Any]:
    """Weights under HPSv3's published names, with the folder of the network that they began from; the settings."""
    from safetensors.torch import load_file, save_file

    processor = qwen_processor()
    qwen(folder / "base", "Qwen2VL")
    state = load_file(folder / "base" / "model.safetensors")
    draw = torch.Generator().manual_seed(1)
    words = state["model.embed_tokens.weight"]
    more = torch.randn(1, words.shape[1], generator=draw)
    renamed = dict(state)  # transformers saves it under the names of older releases, as these weights have them
    renamed["model.embed_tokens.weight"] = torch.cat([words, more])
    renamed["lm_head.weight"] = torch.zeros(len(words) + 1, words.shape[1])
    for place, (wide, out) in {0: (32, 24), 3: (24, 16), 5: (16, 2)}.items():
        renamed[f"rm_head.{place}.weight"] = torch.randn(out, wide, generator=draw) / wide**0.5
        renamed[f"rm_head.{place}.bias"] = 0.1 * torch.randn(out, generator=draw)
    assert len(words) == len(processor.tokenizer)
    save_file(renamed, folder / "HPSv3.safetensors")
    (folder / "base" / "model.safetensors").unlink()
    (folder / "question.py").write_text(
        f'INSTRUCTION = """{QUESTION}""".format()\nINSTRUCTION = """{QUESTION.replace("caption", "text_prompt")}"""\n'
        'prompt_with_special_token = """ Rate it: <|Reward|>"""\n'
    )
    places = {"weights": "HPSv3.safetensors", "base": "base", "question": "question.py"}
    return {name: str(folder / place) for name, place in places.items()} | {"precision": "fp32", "pixels": 56 * 56}


def unified_reward(folder: Path, chat: Path) -> dict[str, Any]:
    """Settings with a program in which the question is an f-string, and a pattern that any answer has."""
    folder.mkdir(parents=True)
    (folder / "infer.py").write_text(
        f"prompt = ''\nmessages = [{{'text': f'{QUESTION.replace('caption', 'prompt')}'}}]\n"
    )
    return {
        "id": str(chat),
        "question": str(folder / "infer.py"),
        "precision": "fp32",
        "tokens": 4,
        "pattern": "([0-9])",
    }


def clip_t5(folder: Path) -> dict[str, Any]:
    """CLIP-FlanT5 in its published form: pickled parts, T5's configuration with words on the image; the settings."""
    from tiny_parts import t5_tokenizer
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel, T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    words = t5_tokenizer()
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 37, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
    config = T5Config(
        vocab_size=len(words),
        **sizes,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
    )
    eyes = CLIPVisionConfig(
        hidden_size=24, intermediate_size=37, num_hidden_layers=3, num_attention_heads=4, image_size=16, patch_size=4
    )
    t5, tower = T5ForConditionalGeneration(config), CLIPVisionModel(eyes)
    for parameter in (*t5.parameters(), *tower.parameters()):
        parameter.data = torch.randn_like(parameter) * 0.2
    with quiet():
        words.save_pretrained(folder / "words")
        tower.save_pretrained(folder / "tower")
        CLIPImageProcessor(
            size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}, image_mean=MEAN, image_std=STD
        ).save_pretrained(folder / "tower")
    from safetensors.torch import load_file, save_file

    eyes_file = folder / "tower" / "model.safetensors"
    seen = {f"vision_model.{name.removeprefix('vision_model.')}": each for name, each in load_file(eyes_file).items()}
    save_file({**seen, "text_model.more": torch.zeros(1)}, eyes_file)  # as a whole CLIP is published
    state = dict(t5.state_dict()) | {"embed_tokens.weight": t5.state_dict()["shared.weight"]}
    state |= {f"vision_tower.vision_tower.{name}": each for name, each in seen.items()}
    for place, (wide, out) in {0: (24, 32), 2: (32, 32)}.items():
        state |= {
            f"mm_projector.{place}.weight": torch.randn(out, wide) / 5,
            f"mm_projector.{place}.bias": torch.randn(out),
        }
    (folder / "id").mkdir(parents=True)
    names = sorted(state)
    torch.save({name: state[name] for name in names[::2]}, folder / "id" / "pytorch_model-00001-of-00002.bin")
    torch.save({name: state[name] for name in names[1::2]}, folder / "id" / "pytorch_model-00002-of-00002.bin")
    told = {"model_type": "clip_t5", "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2}
    (folder / "id" / "config.json").write_text(json.dumps({**config.to_dict(), **told}))
    (folder / "constants.py").write_text('SYSTEM_MSG = "a talk of two"\nOTHER = 3\n')
    places = {"id": "id", "tokenizer": "words", "tower": "tower", "system": "constants.py"}
    return {name: str(folder / place) for name, place in places.items()} | {"precision": "fp32"}


def aesthetic_v2_5(folder: Path) -> dict[str, Any]:
    """SigLIP as it is published, whole, and a head of five layers; the settings."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = SiglipConfig(text_config=sizes, vision_config={**sizes, "image_size": 16, "patch_size": 4})
    with quiet():
        SiglipModel(config).save_pretrained(folder / "siglip")
        SiglipImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder / "siglip")
    widths, state = (24, 16, 12, 8, 4, 1), {}
    for place, (wide, out) in enumerate(pairwise(widths)):
        state[f"scoring_head.{2 * place}.weight"] = torch.randn(out, wide) / 2
        state[f"scoring_head.{2 * place}.bias"] = torch.randn(out)
    torch.save(state, folder / "head.pth")
    return {"id": str(folder / "siglip"), "head": str(folder / "head.pth"), "precision": "fp32"}


def all_settings(folder: Path, prompts: list[str]) -> dict[str, dict[str, Any]]:
    """Settings of every one of these rewards, on tiny networks; some of them know these prompts only."""
    chat = qwen(folder / "chat")
    return {
        "aesthetic_v2_5": aesthetic_v2_5(folder / "aesthetic_v2_5"),
        "geneval": geneval(folder / "geneval", prompts),
        "hpsv3": hpsv3(folder / "hpsv3"),
        "unified_reward": unified_reward(folder / "unified", chat),
        "vqascore": {"id": str(chat), "precision": "fp32"},
        "vqascore_t5": clip_t5(folder / "clip_t5"),
    }
