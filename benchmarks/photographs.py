"""JPEG files of the sizes of photographs: gradients under noise, which is stronger the coarser it is."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDES = 300, 1000
QUALITIES = 75, 95
ASPECTS = (1.0, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 16 / 9)


def photographs(folder, count, seed=0, sides=SIDES):
    """Writes ``count`` files into ``folder``, which may hold some of them already; returns their paths in order."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:06d}.jpg" for index in range(count)]
    for index, path in enumerate(paths):
        if not path.exists():
            rng = np.random.default_rng((seed, index))
            photograph(rng, sides).save(path, quality=int(rng.integers(*QUALITIES)))
    return paths


def photograph(rng, sides=SIDES):
    """One image whose longer side is within ``sides``."""
    longer, aspect = int(rng.integers(sides[0], sides[1] + 1)), rng.choice(ASPECTS)
    width, height = (longer, round(longer / aspect)) if aspect >= 1 else (round(longer * aspect), longer)
    values = _gradient(rng, width, height)
    cells = 2
    while cells < max(width, height):
        noise = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        layer = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        values += (np.asarray(layer, dtype=np.float32) - 128) * (1.5 / cells**0.5)
        cells *= 2
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _gradient(rng, width, height):
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    corners = rng.uniform(20, 235, (3, 3)).astype(np.float32)
    return corners[0] + across * (corners[1] - corners[0]) / 2 + down * (corners[2] - corners[0]) / 2
