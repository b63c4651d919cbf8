"""A self-supervised encoder for small images: SimCLR (Chen et al., ICML 2020) with a ResNet-18.

No label is read. The images stay on the device and are augmented there, a whole batch at a time.
"""

import contextlib
import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

from elfs_plugin.devices import autocast, generator
from elfs_plugin.proxy.image_source import Images
from elfs_plugin.proxy.networks import initialise, resnet18, seeded_construction, through_torch_compile
from elfs_plugin.proxy.training import kernels
from elfs_plugin.training_checkpoint import TrainingCheckpoint, training_fingerprint
from elfs_plugin.training_loop import TrainingLoop, set_rate

GREY = (0.299, 0.587, 0.114)
"""Luminance of red, green and blue (ITU-R BT.601)."""

_CHROMA = ((0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


@dataclass(frozen=True)
class ContrastiveConfig:
    """SimCLR's settings for CIFAR; ``learning_rate`` is per 128 images of a batch."""

    epochs: int = 400
    batch_size: int = 1024
    learning_rate: float = 0.06
    weight_decay: float = 5e-4
    warmup_epochs: int = 10
    temperature: float = 0.2
    projection: int = 128
    smallest_crop: float = 0.2
    jitter: float = 0.4
    hue: float = 0.1
    compile: str = "auto"

    def recipe(self):
        """What decides the result, as a dict."""
        return {**asdict(self), "compile": None}


def uniform(n, low, high, rng):
    return low + (high - low) * torch.rand(n, generator=rng, device=rng.device)


def augment(pixels, rng, config):
    """Random resized crops, flips, colour jitter (on 80%) and grey (on 20%), each image with its own draws.

    Args:
        pixels: (B, 3, H, W) uint8 on ``rng``'s device

    Returns:
        (B, 3, H, W) float32 in [0, 255]
    """
    n = len(pixels)
    x = (
        F.grid_sample(
            pixels.float(), _crops(n, pixels.shape, rng, config), padding_mode="reflection", align_corners=False
        )
        / 255
    )
    jittered = (uniform(n, 0, 1, rng) < 0.8).view(n, 1, 1, 1)
    coloured = jitter(
        x,
        uniform(n, 1 - config.jitter, 1 + config.jitter, rng),
        uniform(n, 1 - config.jitter, 1 + config.jitter, rng),
        uniform(n, 1 - config.jitter, 1 + config.jitter, rng),
        uniform(n, -config.hue, config.hue, rng),
    )
    x = torch.where(jittered, coloured, x)
    grey = (uniform(n, 0, 1, rng) < 0.2).view(n, 1, 1, 1)
    return torch.where(grey, _luminance(x), x) * 255


def _crops(n, shape, rng, config):
    """Sampling grids of random crops: area from ``smallest_crop`` to 1, ratio from 3/4 to 4/3, half of them flipped."""
    area = uniform(n, config.smallest_crop, 1.0, rng)
    ratio = uniform(n, math.log(3 / 4), math.log(4 / 3), rng).exp()
    width, height = (area * ratio).sqrt().clamp_max(1.0), (area / ratio).sqrt().clamp_max(1.0)
    theta = torch.zeros(n, 2, 3, device=rng.device)
    theta[:, 0, 0] = width * torch.where(uniform(n, 0, 1, rng) < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = height
    theta[:, 0, 2] = (1 - width) * uniform(n, -1, 1, rng)
    theta[:, 1, 2] = (1 - height) * uniform(n, -1, 1, rng)
    return F.affine_grid(theta, list(shape), align_corners=False)


def jitter(x, brightness, contrast, saturation, hue):
    """Colour jitter of (B, 3, H, W) in [0, 1]; factors (B,), ``hue`` in turns. 1, 1, 1 and 0 change nothing.

    Saturation scales and hue rotates the chroma plane of YIQ, in one 3 x 3 matrix per image.
    """
    n = len(x)
    x = (x * brightness.view(n, 1, 1, 1)).clamp(0, 1)
    mean = _luminance(x).mean(dim=(2, 3), keepdim=True)
    x = (mean + (x - mean) * contrast.view(n, 1, 1, 1)).clamp(0, 1)
    to_yiq = torch.tensor((GREY, *_CHROMA), device=x.device)
    angle = 2 * math.pi * hue
    change = torch.zeros(n, 3, 3, device=x.device)
    change[:, 0, 0] = 1
    change[:, 1, 1] = change[:, 2, 2] = saturation * angle.cos()
    change[:, 1, 2], change[:, 2, 1] = -saturation * angle.sin(), saturation * angle.sin()
    matrix = torch.linalg.inv(to_yiq) @ change @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrix, x).clamp(0, 1)


def _luminance(x):
    return (x * torch.tensor(GREY, device=x.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def contrastive_loss(projections, temperature):
    """NT-Xent of (2 B, D) projections, of which i and i + B are two views of one image."""
    z = F.normalize(projections.float(), dim=1)
    similarity = z @ z.T / temperature
    similarity.fill_diagonal_(float("-inf"))
    return F.cross_entropy(similarity, torch.arange(len(z), device=z.device).roll(len(z) // 2))


def _networks(size, config, seed):
    encoder, _ = resnet18(2, size, seed)
    width = encoder.fc.in_features
    encoder.fc = nn.Identity()
    with seeded_construction(seed):
        projector = nn.Sequential(
            nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, config.projection)
        )
    return encoder, initialise(projector, seed + 1)


class _Learning(TrainingLoop):
    """Encoder, projector, their optimiser and the position of one training."""

    def __init__(self, images, config, seed, device):
        self.device, self._config = device, config
        self._source = Images(images, device)
        self.encoder, projector = _networks(images.shape[2:], config, seed)
        self._model = nn.Sequential(self.encoder, projector).to(device, memory_format=torch.channels_last).train()
        self._n = len(images)
        self._batch = min(config.batch_size, self._n)
        per_epoch = max(1, self._n // self._batch)
        self.total = config.epochs * per_epoch
        self._rate = config.learning_rate * self._batch / 128
        self._warmup = max(1, min(config.warmup_epochs * per_epoch, self.total // 10))
        self._optimizer = torch.optim.SGD(
            self._model.parameters(), lr=self._rate, momentum=0.9, weight_decay=config.weight_decay
        )
        self._rng = generator(seed + 2, device)
        self._network = through_torch_compile(self._model, device, config.compile, self.total)

    @property
    def every(self):
        return 1 if self.device.type == "cpu" else 50

    def advance(self):
        cosine = (1 + math.cos(math.pi * self.step / self.total)) / 2
        set_rate(self._optimizer, self._rate * min((self.step + 1) / self._warmup, cosine))
        # Independent draws of batches, so that a step depends on the generator alone.
        rows = torch.randperm(self._n, generator=self._rng, device=self.device)[: self._batch]
        pixels = self._source.pixels(rows)
        views = self._source.normalise(torch.cat([augment(pixels, self._rng, self._config) for _ in range(2)]))
        with kernels(self.device, deterministic=False):
            with autocast(self.device):
                projections = self._network(views)
            loss = contrastive_loss(projections, self._config.temperature)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
        self._optimizer.step()
        return loss.detach()

    def looked(self, losses):
        self._loss = float(losses[-1])

    def detail(self):
        return f"encoder: {super().detail()}, loss {self._loss:.3f}"

    def failure(self, step):
        return f"The encoder's loss is not finite at step {step:,}; use a lower learning rate."

    def state(self):
        return {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "rng": self._rng.get_state(),
        }

    def restore(self, state):
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._rng.set_state(state["rng"].cpu())


def train_encoder(images, *, config, seed, device, checkpoint, progress):
    """Trains the encoder on (N, 3, S, S) uint8 images and returns it, in evaluation mode.

    Resumes from ``checkpoint`` at the step where :class:`~elfs_plugin.errors.Cancelled` or a timed write left it; the
    file stays, so that a finished training is loaded from it.
    """
    kept = TrainingCheckpoint(checkpoint, training_fingerprint(images, config.recipe(), seed))
    learning = _Learning(images, config, seed, device)
    learning.run(kept, progress)
    learning.save(kept)
    return learning.encoder.eval()


@torch.no_grad()
def embed(encoder, images, device, rows=1024):
    """(N, D) float32: the features of each image and of its mirror image, averaged."""
    source = Images(images, device)
    blocks = []
    for block in torch.arange(len(images)).split(rows):
        x = source.batch(block)
        with autocast(device) if device.type == "cuda" else contextlib.nullcontext():
            blocks.append(((encoder(x) + encoder(x.flip(3))) / 2).float().cpu())
    return torch.cat(blocks).numpy()
