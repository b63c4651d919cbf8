"""The image side of the proxy: networks for pixels, where the pixels are kept, and their augmentation.

Images are an (N, 3, H, W) uint8 array or ``np.memmap``; the whole of it is never copied in main memory. On a GPU it is
kept in the GPU's memory when it fits there, else every batch is read from the array through pinned memory.
"""

import contextlib
import difflib
import logging
import threading
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..devices import generator
from ..encoders.embed import load_timm_checkpoint
from ..errors import InvalidInput, MissingModel, is_out_of_memory
from .small_resnets import ResNet8, SideBySide

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = torch.cuda.OutOfMemoryError
"""What PyTorch raises when a GPU's memory is full (the same class as the newer ``torch.OutOfMemoryError``)."""

SMALL_IMAGE = 64
"""Up to this side length ResNet-18 gets the stem for small images."""

MIN_SIZE = 8
"""Below 8 pixels nothing is left after the three halvings of a small-image ResNet."""

RESIDENT_SHARE = 0.4
"""Share of the free GPU memory that images may take; the rest is for the network and its activations."""

COMPILE_FROM_STEPS = 2000
"""Compiling takes about a minute; it is tried from this many optimiser steps on."""

_construction = threading.Lock()
_UPLOAD_BYTES = 256 << 20
_PLAIN_MEAN, _PLAIN_STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


class ImageRows:
    """The images ``rows`` (M,) of an array or memory map of N, read when they are asked for and never all copied."""

    def __init__(self, images, rows):
        self._images, self._rows = images, rows
        self.dtype = images.dtype
        self.shape = (len(rows), *images.shape[1:])
        self.ndim = len(self.shape)
        self.nbytes = int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, rows):
        return self._images[self._rows[rows]]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._images[self._rows], dtype=dtype)


class Images:
    """N images of one size, given out as normalised float32 batches in channels-last order on ``device``.

    Args:
        inputs: (N, 3, H, W) uint8 array, memory map or :class:`ImageRows`
        normalization: (mean, standard deviation) per channel, of values in [0, 1]
    """

    batch_norm = True
    """Training passes need two samples at least."""

    def __init__(self, inputs, device, normalization=(_PLAIN_MEAN, _PLAIN_STD)):
        shape, dtype = np.shape(inputs), getattr(inputs, "dtype", None)
        if len(shape) != 4 or shape[1] != 3 or dtype != np.uint8:
            raise InvalidInput(
                f"An image proxy, such as ResNet-18, takes (N, 3, S, S) uint8 images, not shape {shape} of {dtype}."
            )
        if min(shape[2:]) < MIN_SIZE:
            raise InvalidInput(f"Images of {shape[2]} x {shape[3]} pixels are too small; use {MIN_SIZE} at least.")
        self._inputs = inputs
        self.device = device
        self._normalise_by(normalization)
        self._resident = self._upload()
        height, width = shape[2:]
        # An eighth of the side, as 4 of CIFAR's 32 pixels.
        self._pad = (height // 8, width // 8)
        self.predict_rows = max(1, min(2048, (2048 << 10) // (height * width)))

    def finite(self):
        return True

    def _normalise_by(self, normalization):
        self._normalization = normalization
        mean, std = (torch.tensor(values, device=self.device).view(1, 3, 1, 1) * 255 for values in normalization)
        self._mean, self._scale = mean, 1 / std

    @property
    def resident(self):
        """Whether the images are kept on the device."""
        return self._resident is not None

    def like(self, inputs):
        """Other images, prepared in the same way."""
        return Images(inputs, self.device, self._normalization)

    def to(self, device):
        if device == self.device:
            return self
        return Images(self._inputs, device, self._normalization)

    def draw(self, n, rng):
        """Random augmentations of n images: (n, 3) int64 of a shift down, a shift right and 1 for a flip."""
        limits = (2 * self._pad[0] + 1, 2 * self._pad[1] + 1, 2)
        return torch.stack([torch.randint(limit, (n,), generator=rng) for limit in limits], dim=1)

    def pixels(self, indices):
        """(B, 3, H, W) uint8: the images at ``indices`` (B,), on the device."""
        if self.resident:
            return self._resident[indices.to(self.device)]
        return self._gather(indices.cpu().numpy())

    def batch(self, indices, draws=None):
        """(B, 3, H, W) float32: the images at ``indices`` (B,), augmented by ``draws`` (B, 3) where given.

        Both may be on the CPU or on the device; nothing waits for the device unless the images are not resident.
        """
        if draws is None:
            return self.normalise(self.pixels(indices))
        if self.resident:
            data, rows = self._resident, indices.to(self.device)
        else:
            data, rows = self._gather(indices.cpu().numpy()), torch.arange(len(indices), device=self.device)
        return self.normalise(crop_and_flip(data, rows, draws.to(self.device), self._pad))

    def normalise(self, x):
        """(B, 3, H, W) values in 0..255 as the network takes them: float32, channels-last."""
        x = x.contiguous(memory_format=torch.channels_last)
        return x.float().sub_(self._mean).mul_(self._scale)

    def network(self, num_classes, config, seed):
        """A fresh network for these images, on the CPU; from now on they are normalised as it expects."""
        model, normalization = build_network(config, num_classes, self._inputs.shape[2:], seed)
        self._normalise_by(normalization)
        return model.to(memory_format=torch.channels_last)

    def _gather(self, rows):
        """The images at ``rows`` as a tensor on the device; only they are read."""
        pinned = self.device.type == "cuda"
        held = torch.empty((len(rows), *self._inputs.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
        if getattr(self._inputs, "flags", None) is not None and self._inputs.flags.c_contiguous:
            # mode="clip" writes straight into ``held``; indices in range are the caller's promise.
            np.take(self._inputs, rows, axis=0, out=held.numpy(), mode="clip")
        else:
            held.numpy()[...] = self._inputs[rows]
        # PyTorch's allocator keeps a pinned block from being reused until the copy has been made.
        return held.to(self.device, non_blocking=True)

    def _upload(self):
        """The whole array on the device, or None where it does not fit or the device is the CPU."""
        size = int(np.prod(self._inputs.shape))
        if not fits_on(self.device, size):
            return None
        try:
            data = torch.empty(self._inputs.shape, dtype=torch.uint8, device=self.device)
            rows = max(1, _UPLOAD_BYTES // max(1, size // max(1, len(data))))
            for start in range(0, len(data), rows):
                data[start : start + rows] = torch.from_numpy(np.array(self._inputs[start : start + rows]))
        except OUT_OF_MEMORY:
            data = None
        logger.info(
            "%s images (%.2f GB) are %s.",
            f"{len(self._inputs):,}",
            size / 1e9,
            f"kept on {self.device}" if data is not None else "read batch by batch from main memory or disk",
        )
        return data


def fits_on(device, size):
    """Whether ``size`` bytes may be kept on ``device``; never on the CPU, where the array itself is at hand."""
    if device.type != "cuda":
        return False
    return size <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


def crop_and_flip(data, rows, draws, pad):
    """Pads by reflection, crops at random and flips, as one gather.

    Args:
        data: (N, C, H, W); rows: (B,) indices into it
        draws: (B, 3) int64: the crop's top in [0, 2 pad], its left, and 1 for a horizontal flip
        pad: (vertical, horizontal) pixels, less than H and W

    Returns:
        (B, C, H, W) of data's type, channels-last in memory
    """
    height, width = data.shape[2:]
    y = _reflect(draws[:, 0:1] - pad[0] + torch.arange(height, device=data.device), height)
    x = _reflect(draws[:, 1:2] - pad[1] + torch.arange(width, device=data.device), width)
    x = torch.where(draws[:, 2:3] == 1, x.flip(1), x)
    return data[rows[:, None, None], :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)


def _reflect(positions, size):
    """Positions outside [0, size) mirrored at the first and last pixel."""
    return (size - 1) - ((size - 1) - positions.abs()).abs()


@contextlib.contextmanager
def seeded_construction(seed):
    """PyTorch's global CPU generator seeded while a network is built, which draws from it, and then put back. One
    thread at a time."""
    with _construction, torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(seed).get_state())
        yield


def initialise(model, seed):
    """Re-draws the weights of linear and convolutional layers (He et al. 2015) from a generator of its own."""
    rng = generator(seed)
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=rng)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def resnet18(num_classes, size, seed):
    """A randomly initialised ResNet-18. Up to 64 pixels: a 3 x 3 first layer without stride and no pooling, as in the
    CIFAR models of the paper."""
    from torchvision import models

    with seeded_construction(seed):
        model = models.resnet18(weights=None, num_classes=num_classes)
        if max(size) <= SMALL_IMAGE:
            model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()
    return initialise(model, seed)


def small_resnets(num_classes, members, seed):
    """Randomly initialised :class:`~.small_resnets.ResNet8` side by side, each from other weights."""
    with seeded_construction(seed):
        model = SideBySide([ResNet8(num_classes) for _ in range(members)])
    return initialise(model, seed)


def build_network(config, num_classes, size, seed):
    """The network of a :class:`~.train.ProxyConfig` for images of ``size`` (height, width).

    Returns:
        (model, (mean, standard deviation) its inputs are normalised with)

    Raises:
        MissingModel: for an unknown timm model, or a checkpoint that is not of it
    """
    if config.kind == "resnet18":
        return resnet18(num_classes, size, seed), (_PLAIN_MEAN, _PLAIN_STD)
    if config.kind == "resnet8":
        return small_resnets(num_classes, config.side_by_side, seed), (_PLAIN_MEAN, _PLAIN_STD)
    return _timm_network(config.model, config.weights, num_classes, size, seed)


def check_timm_model(name):
    """Raises :class:`MissingModel` with close names unless timm has a model of that name."""
    import timm

    architecture = str(name).split(".")[0]
    if timm.is_model(architecture):
        return
    close = difflib.get_close_matches(architecture, timm.list_models(), n=5, cutoff=0.5)
    hint = f" Similar names: {', '.join(close)}." if close else ""
    raise MissingModel(f"timm has no model named {name!r}.{hint} timm.list_models() lists them all.")


def _timm_network(name, weights, num_classes, size, seed):
    import timm

    check_timm_model(name)
    options = {}
    if (config := timm.models.get_pretrained_cfg(name)) is not None and config.fixed_input_size:
        options["img_size"] = tuple(size)
    with seeded_construction(seed):
        try:
            model = timm.create_model(name, pretrained=False, num_classes=0 if weights else num_classes, **options)
        except Exception as error:  # each architecture refuses sizes it cannot take in its own way
            if is_out_of_memory(error):
                raise
            raise MissingModel(
                f"timm:{name} cannot be built for images of {size[0]} x {size[1]} pixels ({error}). Use another "
                "image size or model."
            ) from error
        if weights:
            if not Path(weights).expanduser().is_file():
                raise MissingModel(
                    f"The weights file {weights} does not exist. Give a local checkpoint of timm:{name}."
                )
            load_timm_checkpoint(model, name, str(Path(weights).expanduser()))
            model.reset_classifier(num_classes)
    for module in model.modules():
        # A sample's dynamics shall depend on the sample alone, and a resumed training on no global generator.
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        elif hasattr(module, "drop_prob"):
            module.drop_prob = 0.0
    data = timm.data.resolve_model_data_config(model)
    return model, (tuple(data["mean"]), tuple(data["std"]))


def compiled(model, device, mode, steps):
    """``model``, compiled where that pays: on a GPU, for a long training.

    ``mode`` is ``"auto"``, ``"off"`` or a mode of ``torch.compile`` (``"reduce-overhead"`` uses CUDA graphs).
    """
    if device.type != "cuda" or mode == "off" or (mode == "auto" and steps < COMPILE_FROM_STEPS):
        return model
    return torch.compile(model, mode=None if mode == "auto" else mode, dynamic=False)
