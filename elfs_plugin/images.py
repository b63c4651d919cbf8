"""Image files to pixels, in threads, with a reason for every file that cannot be read."""

import os
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ElfsError
from .progress import silent

MEMORY_LIMIT_BYTES = 2 << 30
"""Decoded pixels above this size go to a memory-mapped temporary file instead of main memory."""


class ImageError(ElfsError):
    """A file that cannot be used as an image; ``str(error)`` is the reason."""


def load_rgb(path):
    """Opens one image file as an upright 8-bit RGB PIL image.

    EXIF rotation is applied; transparency is laid on white; grey, palette, 1-bit and CMYK images are converted; images
    deeper than 8 bits are stretched from their own minimum and maximum to 0..255 (so that 12 bits in a 16-bit file do
    not turn out black). Only the first frame of an animation is read.

    Raises:
        ImageError: with the reason, when the file is missing, empty, truncated, corrupt or no image
    """
    try:
        if os.path.getsize(path) == 0:
            raise ImageError("empty file (0 bytes)")
        with Image.open(path) as image:
            # Checked here and not by turning Pillow's warning into an error: filters are shared between threads.
            if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError()
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError("file not found") from None
    except (IsADirectoryError, PermissionError) as error:
        raise ImageError(f"cannot be opened: {error.strerror}") from None
    except UnidentifiedImageError:
        raise ImageError("not an image, or in a format that cannot be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly anything on corrupt data
        raise ImageError(f"corrupt or truncated: {error}") from None


def _to_rgb(image):
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        scaled = np.nan_to_num((values - low) * (255.0 / (high - low) if high > low else 0.0))
        return Image.fromarray(scaled.round().astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def default_threads():
    return min(16, (os.cpu_count() or 1) * 2)


def decode(paths, transform, *, threads=None):
    """Yields ``(index, value)`` in order, ``value`` being ``transform(image)`` or the :class:`ImageError`.

    Files are read and transformed in ``threads`` threads (Pillow releases the GIL); at most a few hundred results are
    held at a time.
    """
    threads = threads or default_threads()

    def work(path):
        try:
            return transform(load_rgb(path))
        except ImageError as error:
            return error

    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        window = deque()
        try:
            for index, path in enumerate(paths):
                window.append((index, pool.submit(work, path)))
                if len(window) >= threads * 16:
                    first, future = window.popleft()
                    yield first, future.result()
            while window:
                first, future = window.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Pixels:
    """Decoded images of one size.

    ``values`` (M, 3, S, S) uint8 for the M readable images, ``ok`` (N,) bool, ``failures`` index -> reason.
    """

    values: np.ndarray
    ok: np.ndarray
    failures: dict = field(default_factory=dict)


def load_pixels(paths, size=32, *, threads=None, progress=silent):
    """Decodes ``paths`` (N,) to squares of ``size`` pixels (bicubic, shorter side to ``size``, centre crop).

    The faithful proxy trains on these. Above :data:`MEMORY_LIMIT_BYTES` they live in a temporary memory-mapped file
    that the operating system removes with the process.
    """
    n = len(paths)
    shape = (n, 3, size, size)
    values = _allocate(shape)
    ok = np.zeros(n, dtype=bool)
    failures = {}

    def transform(image):
        fitted = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
        return np.asarray(fitted, dtype=np.uint8).transpose(2, 0, 1)

    filled = 0
    for index, value in decode(paths, transform, threads=threads):
        if isinstance(value, ImageError):
            failures[index] = str(value)
        else:
            values[filled] = value
            filled += 1
            ok[index] = True
        progress((index + 1) / n, f"{index + 1:,} of {n:,} images decoded")
    return Pixels(values[:filled], ok, failures)


def _allocate(shape):
    if int(np.prod(shape)) <= MEMORY_LIMIT_BYTES:
        return np.empty(shape, dtype=np.uint8)
    with tempfile.TemporaryFile(prefix="elfs-pixels-") as file:
        return np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
