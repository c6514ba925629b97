"""A small plain classifier for 32x32 images; it has no residuals, so that its errors differ from the residual one's."""

from __future__ import annotations

from torch import Tensor, nn


class SmallVGG(nn.Module):
    """Stem, then one level of two convolutions a width, mean pooling, one linear layer.

    As in Simonyan and Zisserman 2015 (arXiv 1409.1556) a level is plain convolutions around one max pooling; as in
    Jordan 2024 (arXiv 2404.00498, Sec. 3) the pooling follows the level's first convolution, the stem pads nothing,
    and activations are GELUs.

    Args:
        widths: channels of the stem and of each level; a level halves the resolution.
        classes: number of outputs.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 192), classes: int = 10) -> None:
        super().__init__()
        stem, *levels = widths
        self.blocks = nn.Sequential(nn.Conv2d(3, stem, 3, bias=False), nn.BatchNorm2d(stem), nn.GELU())
        for width in levels:
            self.blocks.extend([nn.Conv2d(stem, width, 3, padding=1, bias=False), nn.MaxPool2d(2)])
            self.blocks.extend([nn.BatchNorm2d(width), nn.GELU()])
            self.blocks.extend([nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.GELU()])
            stem = width
        self.head = nn.Linear(stem, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, classes]`` of images in [-1, 1], ``[B, 3, 32, 32]``."""
        features: Tensor = self.features(x)
        return self.head(features)  # type: ignore[no-any-return]

    def features(self, x: Tensor) -> Tensor:
        """Pooled features ``[B, widths[-1]]`` of the layer before the logits."""
        return self.blocks(x).mean(dim=(2, 3))  # type: ignore[no-any-return]
