"""Small pictures for the panel, as text that needs no address: it is the same in a notebook and behind a proxy."""

import base64
import functools
import io
import os

from PIL import Image

from ..contracts import AnyPath
from ..errors import ElfsError, is_out_of_memory
from .images import load_rgb

SIZE = 72


def thumbnail(path: AnyPath, size: int = SIZE) -> str | None:
    """A JPEG data URI, ``size`` pixels square with the middle of the image, or None for a file that cannot be read."""
    try:
        return _thumbnail(os.fspath(path), size, os.stat(path).st_mtime_ns)
    except (OSError, ValueError, ElfsError):  # a path with a NUL is a ValueError
        return None
    except Exception as error:  # a shortage of memory has many names; anything else is raised again
        if not is_out_of_memory(error):
            raise
        return None


@functools.lru_cache(maxsize=512)
def _thumbnail(path, size, modified):
    image = load_rgb(path)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Thumbnails smaller than the picture are averaged, larger ones keep their pixels sharp.
    how = Image.Resampling.LANCZOS if side > size else Image.Resampling.NEAREST
    square = image.resize((size, size), how, box=(left, top, left + side, top + side))
    file = io.BytesIO()
    square.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
