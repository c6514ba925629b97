"""The embedded model's network: diffusers' ``UNet2DModel`` on pixels folded 2x2 into channels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

# The sinusoidal embedding was made for time steps 0..1000; c_noise spans about -1.6..1.1.
TIME_SCALE = 1000.0


class FoldedUNet(nn.Module):
    """``F(x, c_noise, y)`` for 32x32 RGB images: fold 2x2 pixels into channels, run a UNet at 16x16, unfold.

    Folding keeps every pixel and makes each convolution wider and smaller, which a CPU computes several times
    faster. 5.0 M parameters, 0.53 GFLOP (two per multiply-add) a forward.
    """

    def __init__(self, widths: tuple[int, ...] = (64, 128, 128), classes: int = 10, size: int = 32) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        levels = len(widths)
        attend = [False] + [True] * (levels - 1)
        self.unet = UNet2DModel(
            sample_size=size // 2,
            in_channels=12,
            out_channels=12,
            layers_per_block=1,
            block_out_channels=widths,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attend),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attend)),
            attention_head_dim=32,
            norm_num_groups=32,
            resnet_time_scale_shift="scale_shift",
            num_class_embeds=classes,
        )

    def forward(self, x: Tensor, c_noise: Tensor, labels: Tensor) -> Tensor:
        """Raw network output, ``[B, 3, 32, 32]``, for ``x`` of that shape and ``c_noise``, ``labels`` of ``[B]``."""
        folded = pixel_unshuffle(x, 2)
        return pixel_shuffle(self.unet(folded, TIME_SCALE * c_noise, labels, return_dict=False)[0], 2)
