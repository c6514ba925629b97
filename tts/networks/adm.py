"""The ADM network (Dhariwal and Nichol 2021, arXiv 2105.05233), held by diffusers' ``UNet2DModel``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tts.errors import WeightsError
from tts.networks.adm_weights import HEAD, ADMShape, Arrays, groups

if TYPE_CHECKING:
    from diffusers import UNet2DModel


class ADM(nn.Module):
    """``F(x, c_noise, y)``: a UNet whose residual blocks are scaled and shifted by the embedding of noise and label.

    Resolution changes inside residual blocks; attention with 64 channels a head follows the blocks of some
    resolutions and the innermost block.

    Args:
        shape: the network's form.
        weights: under diffusers' names; see :func:`tts.networks.adm_weights.translate`.

    Raises:
        WeightsError: the weights have another form.
    """

    def __init__(self, shape: ADMShape, weights: Arrays) -> None:
        super().__init__()
        self.labelled = shape.label_dim > 0
        self.unet = unet(shape)
        _fill(self.unet, weights)

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        """Raw output, shaped like ``x`` ``[B, 3, H, W]``; c_noise and labels ``[B]``, labels unused without classes."""
        result: Tensor = self.unet(x, c_noise, labels if self.labelled else None, return_dict=False)[0]
        return result


def unet(shape: ADMShape) -> UNet2DModel:
    """The network without weights."""
    from diffusers import UNet2DModel

    with torch.device("meta"):  # no memory and no random weights that would be replaced at once
        network = UNet2DModel(
            sample_size=shape.img_resolution,
            in_channels=shape.in_channels,
            out_channels=shape.out_channels,
            layers_per_block=shape.num_blocks,
            block_out_channels=tuple(shape.widths),
            time_embedding_dim=shape.model_channels * shape.channel_mult_emb,
            down_block_types=tuple("AttnDownBlock2D" if a else "ResnetDownsampleBlock2D" for a in shape.attends),
            up_block_types=tuple("AttnUpBlock2D" if a else "ResnetUpsampleBlock2D" for a in shape.attends[::-1]),
            downsample_type="resnet",
            upsample_type="resnet",
            attention_head_dim=HEAD,
            norm_num_groups=1,
            attn_norm_num_groups=1,
            norm_eps=1e-5,
            resnet_time_scale_shift="scale_shift",
            num_class_embeds=shape.label_dim or None,
        )
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):  # the published groups depend on the width, diffusers' setting does not
            module.num_groups = groups(module.num_channels)
    return network


def _fill(network: nn.Module, weights: Arrays) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in sorted(wanted.keys() | weights.keys()):
        found = weights[name].shape if name in weights else None
        if found != wanted.get(name):
            raise WeightsError(f"its network has {found} in place of {wanted.get(name)} for '{name}'")
    tensors = {name: torch.from_numpy(np.array(array, np.float32, order="C")) for name, array in weights.items()}
    network.load_state_dict(tensors, assign=True)
