"""A small residual classifier for 32x32 images; it avoids torchvision, whose import takes seconds."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu


class SmallResNet(nn.Module):
    """Stem, then one strided residual block a level, mean pooling, one linear layer.

    Args:
        widths: channels of the stem and of each level; a level halves the resolution.
        classes: number of outputs.
    """

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 256), classes: int = 10) -> None:
        super().__init__()
        stem, *levels = widths
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        self.blocks = nn.Sequential()
        for width in levels:
            skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(stem, width, 1, bias=False), nn.BatchNorm2d(width))
            self.blocks.append(BasicBlock(stem, width, skip))
            stem = width
        self.head = nn.Linear(stem, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, classes]`` of images in [-1, 1], ``[B, 3, 32, 32]``."""
        features: Tensor = self.features(x)
        return self.head(features)  # type: ignore[no-any-return]

    def features(self, x: Tensor) -> Tensor:
        """Pooled features ``[B, widths[-1]]`` of the layer before the logits."""
        return self.blocks(self.stem(x)).mean(dim=(2, 3))  # type: ignore[no-any-return]


class BasicBlock(nn.Module):
    """Two convolutions around a shortcut (He et al. 2015, arXiv 1512.03385, Fig. 2), to half the resolution.

    Args:
        downsample: the shortcut.
    """

    def __init__(self, ins: int, outs: int, downsample: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outs)
        self.conv2 = nn.Conv2d(outs, outs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outs)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """``[B, outs, H / 2, W / 2]``."""
        h = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(h)) + self.downsample(x))
