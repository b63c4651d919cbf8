"""Convolutions whose bfloat16 gradients are wrong on a CPU: those of maps narrower than their stride.

Of such a map some columns of a kernel see padding alone, and oneDNN (3.12, in PyTorch 2.14, on processors with and
without AMX) leaves their gradient as the memory was: usually small numbers of an earlier tensor, now and then NaN. In
float32 it is 0, as it should be.
"""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def has_narrow_maps(model: nn.Module, images: torch.Tensor) -> bool:
    """Whether a convolution of ``model`` gets a map with a side shorter than its stride, for images (B, C, H, W)."""
    found = []

    def look(module, inputs):
        found.append(any(side < stride for side, stride in zip(inputs[0].shape[2:], module.stride)))

    hooks = [module.register_forward_pre_hook(look) for module in model.modules() if isinstance(module, nn.Conv2d)]
    training = model.training
    try:
        model.eval()(images)  # not to change running means
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return any(found)
