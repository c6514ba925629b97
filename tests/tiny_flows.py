"""Small random flow pipelines of diffusers' own classes, and how each is asked for its latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderDC,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaPipeline,
    SanaSprintPipeline,
    SanaTransformer2DModel,
    SCMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tiny_pipelines import LETTERS, text_config, tokenizer, vae
from torch import Tensor, nn
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

from tts.models.packing import pack, unpack

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


def stable_diffusion_3() -> StableDiffusion3Pipeline:
    """Stable Diffusion 3.5 medium's form."""
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        pos_embed_max_size=8,
        qk_norm="rms_norm",
        dual_attention_layers=(0,),
    )
    return StableDiffusion3Pipeline(
        transformer=randomised(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=flow_vae(),
        text_encoder=CLIPTextModelWithProjection(text_config(32)).eval(),
        tokenizer=tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(text_config(32)).eval(),
        tokenizer_2=tokenizer(),
        text_encoder_3=t5(64),
        tokenizer_3=t5_tokenizer(),
    )


def flux(embedded: bool = True) -> FluxPipeline:
    """FLUX.1 dev's form, or schnell's."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=embedded,
        axes_dims_rope=(4, 4, 8),
    )
    dynamic = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15} if embedded else {"shift": 1.0}
    return FluxPipeline(
        transformer=randomised(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(**dynamic),
        vae=flow_vae(16, 0.3611, 0.1159),
        text_encoder=CLIPTextModel(text_config(32)).eval(),
        tokenizer=tokenizer(),
        text_encoder_2=t5(32),
        tokenizer_2=t5_tokenizer(),
    )


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
    """A token for each byte, and a template of chats."""
    words = [*sorted(bytes_to_unicode().values()), "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    found = Qwen2Tokenizer(vocab={word: place for place, word in enumerate(words)}, merges=[])
    found.chat_template = (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' "
        "}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
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


def sana(sprint: bool = False) -> Any:
    """Sana's form, or Sana-Sprint's."""
    told = {"guidance_embeds": True, "qk_norm": "rms_norm_across_heads"} if sprint else {}
    transformer = SanaTransformer2DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=32,
        sample_size=8,
        **told,
    )
    blocks = ("ResBlock", "EfficientViTBlock")
    dc = AutoencoderDC(
        latent_channels=8,
        attention_head_dim=2,
        encoder_block_types=blocks,
        decoder_block_types=blocks,
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
    )
    encoder, words = gemma(32)
    scheduler = (
        SCMScheduler()
        if sprint
        else DPMSolverMultistepScheduler(use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction")
    )
    kind = SanaSprintPipeline if sprint else SanaPipeline
    return kind(words, encoder, randomised(dc, 5), randomised(transformer), scheduler)


def lumina2() -> Lumina2Pipeline:
    """Lumina-Image 2's form."""
    transformer = Lumina2Transformer2DModel(
        sample_size=8,
        in_channels=16,
        hidden_size=48,
        num_layers=2,
        num_refiner_layers=1,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(4, 6, 6),
        axes_lens=(300, 16, 16),
        cap_feat_dim=32,
    )
    encoder, words = gemma(32)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=6.0)
    return Lumina2Pipeline(randomised(transformer), scheduler, flow_vae(16, 0.3611, 0.1159), encoder, words)


def qwen_image() -> QwenImagePipeline:
    """Qwen-Image's form."""
    transformer = QwenImageTransformer2DModel(
        in_channels=64,
        out_channels=16,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 8),
    )
    film = AutoencoderKLQwenImage(base_dim=8, z_dim=16, dim_mult=[1, 2], num_res_blocks=1, temperal_downsample=[False])
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]}
    layers = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    sight = {"depth": 1, "hidden_size": 16, "num_heads": 2, "out_hidden_size": 32, "fullatt_block_indexes": [0]}
    text = {**layers, "num_key_value_heads": 2, "vocab_size": 300, "rope_parameters": rope}
    encoder = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=text, vision_config={**sight, "intermediate_size": 16})
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02
    )
    return QwenImagePipeline(
        scheduler, randomised(film, 6), randomised(encoder, 7, 0.3), qwen_tokenizer(), randomised(transformer)
    )


def z_image() -> ZImagePipeline:
    """Z-Image's form."""
    transformer = ZImageTransformer2DModel(
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=32,
        axes_dims=[4, 4, 8],
        axes_lens=[512, 32, 32],
    )
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    return ZImagePipeline(
        scheduler, flow_vae(16, 0.3611, 0.1159), qwen3(Qwen3Model), qwen_tokenizer(), randomised(transformer)
    )


def flux2_parts(told: bool) -> tuple[Any, Any, Any]:
    """FLUX.2's scheduler, autoencoder and network."""
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=96,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=told,
    )
    torch.manual_seed(8)
    normalised = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(16, 32),
        latent_channels=4,
        norm_num_groups=8,
    ).eval()
    normalised.bn.running_mean.normal_(std=0.3)
    normalised.bn.running_var.uniform_(0.5, 2)
    return FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), normalised, randomised(transformer)


def flux2() -> Flux2Pipeline:
    """FLUX.2 dev's form, with another text encoder."""
    scheduler, normalised, transformer = flux2_parts(told=True)
    words = qwen_tokenizer()
    words.chat_template = words.chat_template.replace("message['content']", "message['content'][0]['text']")
    return Flux2Pipeline(scheduler, normalised, qwen3(Qwen3ForCausalLM, 30), words, transformer)


def flux2_klein(distilled: bool = False) -> Flux2KleinPipeline:
    """FLUX.2 klein's form."""
    scheduler, normalised, transformer = flux2_parts(told=False)
    return Flux2KleinPipeline(
        scheduler, normalised, qwen3(Qwen3ForCausalLM, 27), qwen_tokenizer(), transformer, distilled
    )


def pixart_sigma() -> PixArtSigmaPipeline:
    """PixArt-Sigma's form."""
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=16,
        sample_size=8,
        patch_size=2,
        caption_channels=32,
        norm_type="ada_norm_single",
        use_additional_conditions=False,
    )
    return PixArtSigmaPipeline(
        t5_tokenizer(),
        t5(32),
        vae(scaling_factor=0.13025).eval(),
        randomised(transformer),
        DPMSolverMultistepScheduler(),
    )


def auraflow() -> AuraFlowPipeline:
    """AuraFlow's form."""
    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pos_embed_max_size=64,
    )
    text = UMT5Config(vocab_size=2 * len(LETTERS) + 4, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    return AuraFlowPipeline(
        t5_tokenizer(),
        randomised(UMT5EncoderModel(text), 1, 0.3),
        vae(scaling_factor=0.13025).eval(),
        randomised(transformer),
        FlowMatchEulerDiscreteScheduler(shift=1.73),
    )


class Family(NamedTuple):
    """A family, and how its own pipeline is asked.

    Args:
        name: of the model.
        make: its pipeline.
        settings: of our model, beside id, size and precision.
        asked: arguments of the pipeline that mean the same.
        shape: of a latent.
        pixels: height and width.
        packed, unpacked: latents as the pipeline has them, and back.
        scheduler: that takes the steps.
    """

    name: str
    make: Callable[[], Any]
    settings: dict[str, Any]
    asked: dict[str, Any]
    shape: tuple[int, int, int] = (16, 8, 8)
    pixels: int = 16
    packed: Callable[[Tensor], Tensor] = lambda x: x
    unpacked: Callable[[Tensor, tuple[int, ...]], Tensor] = lambda x, _: x
    scheduler: Callable[[Any], Any] = lambda config: FlowMatchEulerDiscreteScheduler.from_config(config)


FAMILIES: dict[str, Family] = {
    "stable-diffusion-3": Family(
        "stable-diffusion-3", stable_diffusion_3, {"guidance": 4}, {"guidance_scale": 4, "max_sequence_length": 256}
    ),
    "flux-dev": Family(
        "flux", flux, {"guidance": 3}, {"guidance_scale": 3, "max_sequence_length": 512}, packed=pack, unpacked=unpack
    ),
    "flux-schnell": Family("flux", lambda: flux(False), {}, {"max_sequence_length": 512}, packed=pack, unpacked=unpack),
    "sana": Family(
        "sana",
        sana,
        {"guidance": 3},
        {"guidance_scale": 3, "use_resolution_binning": False},
        (8, 16, 16),
        pixels=32,
        scheduler=lambda config: FlowMatchEulerDiscreteScheduler(shift=config["flow_shift"]),
    ),
    "sana-sprint": Family(
        "sana-sprint",
        lambda: sana(True),
        {"guidance": 3, "sampler": {"noise": {"kind": "renewal"}}},
        {"guidance_scale": 3, "use_resolution_binning": False, "intermediate_timesteps": None},
        (8, 16, 16),
        pixels=32,
        unpacked=lambda x, _: x / 0.5,
        scheduler=SCMScheduler.from_config,
    ),
    "lumina2": Family("lumina2", lumina2, {"guidance": 3}, {"guidance_scale": 3}),
    "qwen-image": Family(
        "qwen-image",
        qwen_image,
        {"guidance": 3},
        {"true_cfg_scale": 3, "negative_prompt": [" "] * 2, "max_sequence_length": 512},
        packed=pack,
        unpacked=unpack,
    ),
    "z-image": Family("z-image", z_image, {"guidance": 3}, {"guidance_scale": 2}),
    "z-image-turbo": Family("z-image", z_image, {}, {"guidance_scale": 0}),
    "flux2": Family(
        "flux2",
        flux2,
        {"guidance": 3},
        {"guidance_scale": 3},
        (16, 4, 4),
        unpacked=lambda x, shape: x.transpose(1, 2).reshape(-1, *shape),
    ),
    "flux2-klein": Family(
        "flux2-klein",
        lambda: flux2_klein(True),
        {},
        {},
        (16, 4, 4),
        unpacked=lambda x, shape: x.transpose(1, 2).reshape(-1, *shape),
    ),
    "flux2-klein-base": Family(
        "flux2-klein",
        flux2_klein,
        {"guidance": 3},
        {"guidance_scale": 3},
        (16, 4, 4),
        unpacked=lambda x, shape: x.transpose(1, 2).reshape(-1, *shape),
    ),
    "auraflow": Family("auraflow", auraflow, {"guidance": 3}, {"guidance_scale": 3}, (4, 8, 8)),
    "pixart-sigma": Family(
        "pixart-sigma",
        pixart_sigma,
        {"guidance": 3, "sampler": {"eta": 0}},
        {"guidance_scale": 3, "use_resolution_binning": False, "clean_caption": False},
        (4, 8, 8),
        scheduler=lambda config: DDIMScheduler.from_config(config, clip_sample=False),
    ),
}
