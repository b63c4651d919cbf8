"""Image files to pixels, in threads, with a reason for every file that cannot be read."""

import contextlib
import io
import math
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..contracts import AnyPath, Images, Mask, Progress
from ..errors import ElfsError, InvalidInput, is_out_of_memory
from ..files import reserved_temporary
from ..progress import silent
from ..text import first_line
from . import deep_images
from .image_metadata import orientation, png_without_metadata

MEMORY_LIMIT_BYTES = 2 << 30
"""Decoded pixels above this size go to a memory-mapped temporary file instead of main memory."""

DEFAULT_IMAGE_SIZE = 32
"""Side in pixels at which a proxy sees the images, unless something says otherwise."""

MOST_PIXELS = MEMORY_LIMIT_BYTES // 4
"""Images of more pixels (537 million; Pillow takes 4 bytes for each) are left out, unless the environment variable
:data:`MOST_PIXELS_VARIABLE` allows them. The largest telephone cameras give 200 million."""

MOST_PIXELS_VARIABLE = "ELFS_MAX_IMAGE_PIXELS"

LARGE_PIXELS = 89_478_485
"""Of larger images a smaller version is made (JPEG: decoded as such), its shorter side :data:`REDUCED_SIDE` or more."""

REDUCED_SIDE = 2048
PIXELS_AT_ONCE = 1 << 28
"""At most this many pixels are decoded at a time, on however many threads: 1 GiB; a larger image waits to be alone."""

_PILLOWS_OWN = 89_478_485
_ORDINARY_BYTES = 64 << 20


class ImageError(ElfsError):
    """A file that cannot be used as an image; ``str(error)`` is the reason."""


def load_rgb(path: AnyPath) -> Image.Image:
    """Opens one image file as an upright 8-bit RGB PIL image.

    EXIF rotation is applied, and other EXIF data, which may be damaged, is not looked at; transparency is laid on
    white; grey, palette, 1-bit, CMYK and Lab images are converted; images deeper than 8 bits are scaled as
    :mod:`~.deep_images` says (so that 12 bits in a 16-bit file do not turn out black). Only the first frame of an
    animation is read. Images above :data:`LARGE_PIXELS` come smaller than they are.

    Raises:
        ImageError: with the reason, when the file is missing, empty, truncated, corrupt or no image, or too large
    """
    return _load(path, lambda image: image)


def image_header(path: AnyPath) -> tuple[str, int, int]:
    """(format as Pillow names it, width, height) of an image file as it is stored, not turned upright. Its pixels are
    not read.

    Raises:
        ImageError: with the reason, as :func:`load_rgb`
    """
    with _reasons():
        _check_file(path)
        with _open(path) as image:
            return image.format or "", image.width, image.height


def _load(path, then, alone=False, least_side=None):
    """``then(image)`` of an image file, while the memory for its pixels is accounted for; ``alone``: all of it."""
    with contextlib.ExitStack() as stack:
        with _reasons():
            _check_file(path)
            try:
                image = _read(path, alone, stack, least_side)
            except (ElfsError, MemoryError, FileNotFoundError, PermissionError):
                raise
            except Exception:  # decoders raise nearly anything, of metadata too; raised again where that is not all
                plain = png_without_metadata(path)
                if plain is None:
                    raise
                stack.close()
                image = _read(plain, alone, stack, least_side)
        return then(image)


def _check_file(path):
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):  # a pipe would wait for somebody to write to it
        raise ImageError("a folder, a pipe or a device, not a file")
    if found.st_size == 0:
        raise ImageError("empty file (0 bytes)")


@contextlib.contextmanager
def _reasons():
    """Turns the errors of opening and decoding into :class:`ImageError`; a lack of memory stays what it is."""
    try:
        yield
    except ElfsError:
        raise
    except FileNotFoundError:
        raise ImageError("file not found") from None
    except UnidentifiedImageError:
        raise ImageError("not an image, or in a format that cannot be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError("more pixels than are read at once, in a part of it") from None
    except Exception as error:  # decoders raise nearly anything on corrupt data
        if is_out_of_memory(error):
            raise
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageError(f"cannot be opened: {error.strerror}") from None
        if "embedded null" in str(error):
            raise ImageError("cannot be opened: there is a NUL in its name") from None
        raise ImageError(f"corrupt or truncated: {error}") from None


def _read(source, alone, stack, least_side):
    image = stack.enter_context(_open(source))
    pixels = image.width * image.height
    limit = pixel_limit()
    if limit is not None and pixels > limit:
        raise ImageError(
            f"more than {limit:,} pixels ({image.width:,} x {image.height:,}); resize it, or set the environment "
            f"variable {MOST_PIXELS_VARIABLE}"
        )
    large = pixels > LARGE_PIXELS
    least_side = min(least_side or REDUCED_SIDE, REDUCED_SIDE) if large else least_side
    if least_side and image.format in ("JPEG", "MPO"):
        scale = least_side / min(image.size)
        image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
    raw = deep_images.deep_colour(image)
    weight = 3 if raw or deep_images.is_deep_grey(image) else 1
    stack.enter_context(_pixels_at_once.hold(None if alone else image.width * image.height * weight))
    with _pillow.unlimited() if large else contextlib.nullcontext():
        if raw:
            rgb = _to_rgb(deep_images.colour(lambda: _open(source), raw))
        else:
            image.load()
            # Before a copy is made, where averages of values mean something.
            rgb = _to_rgb(_reduced(image) if large and image.mode in ("L", "RGB", "CMYK") else image)
        turn = orientation(image)
    rgb = _reduced(rgb) if large else rgb
    return rgb if turn is None else rgb.transpose(turn)


def _reduced(image):
    factor = min(image.size) // REDUCED_SIDE
    return image.reduce(factor) if factor > 1 else image


def _open(source):
    """A PIL image of a path, or of bytes, whose pixels are not loaded yet and whose size nobody has checked."""

    def opened():
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)

    try:
        image = opened()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        with _pillow.unlimited():
            image = opened()
    if hasattr(image, "tag_v2"):
        # Pillow turns a TIFF as it loads it, and fails where other EXIF data is damaged.
        image.load_end = lambda: setattr(image, "_size", image.im.size)
    return image


def pixel_limit() -> int | None:
    """The most pixels an image may have, or None: :data:`MOST_PIXELS`, or what the environment variable
    :data:`MOST_PIXELS_VARIABLE` or ``PIL.Image.MAX_IMAGE_PIXELS`` says instead.

    Raises:
        InvalidInput: when the variable is no whole number
    """
    said = os.environ.get(MOST_PIXELS_VARIABLE, "").strip()
    if said:
        if not said.replace("_", "").isdecimal() or int(said) < 1:
            raise InvalidInput(
                f"The environment variable {MOST_PIXELS_VARIABLE} must be a number of pixels, such as {MOST_PIXELS}, "
                f"not {said!r}."
            )
        return int(said)
    limit = _pillow.limit
    return MOST_PIXELS if limit == _PILLOWS_OWN else limit


class _Pillow:
    """Pillow's own limit, which holds for the whole process and which some formats look at more than once."""

    def __init__(self):
        self._lock = threading.Lock()
        self._users = 0
        self._limit = None

    @property
    def limit(self):
        with self._lock:
            return self._limit if self._users else Image.MAX_IMAGE_PIXELS

    @contextlib.contextmanager
    def unlimited(self):
        with self._lock:
            if self._users == 0:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    Image.MAX_IMAGE_PIXELS = self._limit


class _Share:
    """An amount that threads take parts of and give back."""

    def __init__(self, amount):
        self._amount = self._free = amount
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, part):
        """Waits for ``part``, at most all; None is all."""
        part = self._amount if part is None else min(part, self._amount)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= part)
            self._free -= part
        try:
            yield
        finally:
            with self._changed:
                self._free += part
                self._changed.notify_all()


_pillow = _Pillow()
_pixels_at_once = _Share(PIXELS_AT_ONCE)


def _to_rgb(image):
    if deep_images.is_deep_grey(image):
        grey = deep_images.grey(image)
        if grey is None:
            raise ImageError("not one of its values is a finite number")
        return grey.convert("RGB")
    if image.mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def default_threads() -> int:
    return min(16, (os.cpu_count() or 1) * 2)


def read_image(path: AnyPath, transform: Callable[[Image.Image], Any], *, least_side: int | None = None) -> Any:
    """``transform(image)`` of one file, or the :class:`ImageError` that says why there is none.

    Args:
        least_side: a JPEG may be decoded at a half, a quarter or an eighth of its size, its shorter side this many
            pixels or more, which is quicker (None: as large as it is)

    Raises:
        MemoryError: (or what PyTorch raises for it) when there is not enough memory for an ordinary image
    """

    def transformed(image):
        try:
            return transform(image)
        except ElfsError:
            raise
        except Exception as error:  # transforms raise nearly anything on an image of an odd shape
            if is_out_of_memory(error):
                raise
            raise ImageError(
                f"cannot be prepared ({image.width:,} x {image.height:,} pixels): {first_line(error)}"
            ) from None

    try:
        return _load(path, transformed, least_side=least_side)
    except ImageError as error:
        return error
    except Exception as error:  # a shortage of memory has many names; anything else is raised again
        if not is_out_of_memory(error):
            raise
    try:  # perhaps it was only all threads together
        return _load(path, transformed, alone=True, least_side=least_side)
    except ImageError as error:
        return error
    except Exception as error:  # as above
        if not is_out_of_memory(error) or not _enough_for_others():
            raise
        return ImageError("it needs more memory than there is")


def decode(
    paths: Iterable[AnyPath],
    transform: Callable[[Image.Image], Any],
    *,
    threads: int | None = None,
    least_side: int | None = None,
    read: Callable[[AnyPath], Any] | None = None,
) -> Generator[tuple[int, Any], None, None]:
    """Yields ``(index, value)`` in order, ``value`` being ``transform(image)`` or the :class:`ImageError`.

    Files are read and transformed in ``threads`` threads (Pillow releases the GIL); at most a few hundred results are
    held at a time. An image that ``transform`` fails on, or that needs more memory than there is, gives an
    :class:`ImageError` too. ``least_side`` is that of :func:`read_image`, and ``read(path)`` takes its place.

    Raises:
        MemoryError: (or what PyTorch raises for it) when there is not enough memory for an ordinary image
    """
    threads = threads or default_threads()
    pixel_limit()  # a variable that makes no sense concerns all images

    def work(path):
        return read_image(path, transform, least_side=least_side) if read is None else read(path)

    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        window: deque[tuple[int, Future[Any]]] = deque()
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


def _enough_for_others():
    """Whether there is memory for an ordinary photograph."""
    try:
        bytearray(_ORDINARY_BYTES)
    except MemoryError:
        return False
    return True


@dataclass(frozen=True)
class Pixels:
    """Decoded images of one size.

    ``values`` (M, 3, S, S) uint8 for the M readable images, ``ok`` (N,) bool, ``failures`` index -> reason.
    """

    values: Images
    ok: Mask
    failures: dict[int, str] = field(default_factory=dict)


def load_pixels(
    paths: Iterable[AnyPath], size: int = DEFAULT_IMAGE_SIZE, *, threads: int | None = None, progress: Progress = silent
) -> Pixels:
    """Decodes ``paths`` (N,) to squares of ``size`` pixels (bicubic, shorter side to ``size``, centre crop).

    The faithful proxy trains on these. Above :data:`MEMORY_LIMIT_BYTES` they live in a temporary memory-mapped file
    that the operating system removes with the process.

    Raises:
        OSError: with the temporary folder's name, when there is no room in it; nothing was decoded then
    """
    paths = list(paths)
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
    if math.prod(shape) <= MEMORY_LIMIT_BYTES:
        return np.empty(shape, dtype=np.uint8)
    return reserved_temporary(np.uint8, shape)
