"""Small random parts of flow pipelines: text encoders with their tokenizers, and an autoencoder."""

from __future__ import annotations

from typing import Any

import torch
from tiny_pipelines import LETTERS, vae
from torch import nn
from transformers import (
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    Qwen2Tokenizer,
    Qwen3Config,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

SPACE = "▁"


def randomised(module: Any, seed: int = 0, std: float = 0.1) -> Any:
    """A network with all of its weights drawn: its last layers begin at zero, which would hide everything."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std, generator=generator)
    return module.eval().requires_grad_(False)


def t5_tokenizer() -> T5Tokenizer:
    """A token for each letter."""
    pieces = ["<pad>", "</s>", "<unk>", SPACE, *LETTERS, *(SPACE + letter for letter in LETTERS)]
    return T5Tokenizer(vocab=[(piece, -float(k)) for k, piece in enumerate(pieces)], extra_ids=0)


def t5(width: int) -> Any:
    """A text encoder of two small layers."""
    config = T5Config(
        vocab_size=2 * len(LETTERS) + 4,
        d_model=width,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    return randomised(T5EncoderModel(config), 1, 0.3)


def flow_vae(channels: int = 16, scale: float = 1.5305, shift: float = 0.0609) -> Any:
    """Latents at half the images' size."""
    torch.manual_seed(2)
    return vae(
        latent_channels=channels,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=scale,
        shift_factor=shift,
    ).eval()


def gemma(width: int) -> tuple[Any, Any]:
    """A text encoder of two small layers, and a token for each letter."""
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", SPACE, "\n", *LETTERS, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ:<>()/"]
    config = Gemma2Config(
        vocab_size=100,
        hidden_size=width,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        query_pre_attn_scalar=8,
        sliding_window=64,
    )
    vocabulary = {word: place for place, word in enumerate(words)}
    return randomised(Gemma2Model(config), 3, 0.3), GemmaTokenizer(vocab=vocabulary, merges=[])


def qwen_tokenizer() -> Any:
    """A token for each byte, and a template of chats, whose answers may begin with an end of thoughts."""
    words = [*sorted(bytes_to_unicode().values()), "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    found = Qwen2Tokenizer(vocab={word: place for place, word in enumerate(words)}, merges=[])
    found.chat_template = (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' "
        "}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% if enable_thinking is false %}"
        "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
    )
    return found


def qwen3(kind: Any, layers: int = 3) -> Any:
    """A text encoder of small layers."""
    config = Qwen3Config(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=layers,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
    )
    return randomised(kind(config), 4, 0.3)
