"""Small ResNets on images, trained side by side: a proxy on pixels for processors without a GPU.

One of them costs about a two-hundredth of ResNet-18's arithmetic for images of 32 pixels, and ranks samples with more
noise; the mean over some of them has little of it.
"""

import torch
from torch import nn

CHANNELS = (16, 32, 64)
"""Of the three stages, as in the CIFAR ResNets of He et al. (2016, section 4.2)."""


class ResNet8(nn.Module):
    """A ResNet of one block a stage (He et al. 2016 with n = 1), but for a first layer of stride 2, which leaves a
    quarter of the positions to compute."""

    def __init__(self, num_classes):
        from torchvision.models.resnet import BasicBlock

        super().__init__()
        first, stages, before = CHANNELS[0], [], CHANNELS[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
        )
        for channels in CHANNELS:
            shortcut = None
            if channels != before:
                shortcut = nn.Sequential(nn.Conv2d(before, channels, 1, stride=2, bias=False), nn.BatchNorm2d(channels))
            stages.append(BasicBlock(before, channels, 1 if shortcut is None else 2, shortcut))
            before = channels
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, num_classes)

    def forward(self, x):
        return self.head(self.stages(self.stem(x)).mean(dim=(2, 3)))


class SideBySide(nn.Module):
    """M networks that see the same batches: (B, 3, H, W) to (B, M, C) logits."""

    def __init__(self, networks):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x):
        return torch.stack([network(x) for network in self.networks], dim=1)
