"""The embedded networks against the networks that were trained: diffusers' ``UNet2DModel`` and torchvision's block."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers import UNet2DModel
from torch import nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle
from torchvision.models import resnet

from tts.networks.folded_unet import TIME_SCALE, FoldedUNet
from tts.networks.small_resnet import BasicBlock


def original() -> UNet2DModel:
    """The embedded network as diffusers' class."""
    return UNet2DModel(
        sample_size=16,
        in_channels=12,
        out_channels=12,
        layers_per_block=1,
        block_out_channels=(64, 128, 128),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=32,
        norm_num_groups=32,
        resnet_time_scale_shift="scale_shift",
        num_class_embeds=10,
    )


def test_an_untrained_network_begins_with_the_same_weights() -> None:
    torch.manual_seed(0)
    theirs = original().state_dict()
    torch.manual_seed(0)
    ours = FoldedUNet().unet.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("batch", [1, 5, 64])
@torch.inference_mode()
def test_it_computes_the_same_bit_for_bit(batch: int) -> None:
    torch.manual_seed(1)
    theirs, ours = original().eval(), FoldedUNet().eval()
    ours.unet.load_state_dict(theirs.state_dict())
    for network in (theirs, ours):
        network.to(memory_format=torch.channels_last)
    x = torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    x = x.to(memory_format=torch.channels_last)
    c_noise, labels = torch.linspace(-1.6, 1.1, batch), torch.arange(batch) % 10
    expected = theirs(pixel_unshuffle(x, 2), TIME_SCALE * c_noise, labels, return_dict=False)[0]
    assert torch.equal(ours(x, c_noise, labels), pixel_shuffle(expected, 2))


@torch.inference_mode()
def test_the_classifiers_block_is_torchvisions() -> None:
    skip = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16))
    theirs = resnet.BasicBlock(8, 16, stride=2, downsample=skip)
    ours = BasicBlock(8, 16, skip)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 8, 8, 8, generator=torch.Generator().manual_seed(2))
    for network in (theirs, ours):
        network.train()
    assert torch.equal(ours(x), theirs(x))
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.slow
def test_an_engine_needs_no_large_package(fresh_python: Callable[..., str]) -> None:
    """Importing them would delay its start by seconds."""
    program = (
        "import sys; from tts.models.cifar10 import Cifar10; from tts.rewards.class_probability import *; "
        "Cifar10().load(); ClassProbability().load('cpu', str); "
        "print({'diffusers', 'torchvision', 'torch._dynamo', 'transformers'} & sys.modules.keys())"
    )
    assert fresh_python(program) == "set()"
