"""What of an image file's metadata matters here, read so that damaged metadata costs no image."""

import struct
import zlib
from typing import Any

from PIL import ExifTags, Image

from ..contracts import AnyPath

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_PNG = b"\x89PNG\r\n\x1a\n"
_PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_KEPT = {b"tRNS", b"eXIf"}


def orientation(image: Image.Image) -> Image.Transpose | None:
    """How an image is turned upright, as a ``PIL.Image.Transpose``, or None where it is upright or nothing says."""
    try:
        tags = getattr(image, "tag_v2", None)  # a TIFF's own; its file may be closed by now
        turn: Any = (image.getexif() if tags is None else tags).get(ExifTags.Base.Orientation)
        return _TURNS.get(turn)
    except MemoryError:
        raise
    except Exception:  # parsers raise nearly anything on damaged data
        return None


def png_without_metadata(path: AnyPath) -> bytes | None:
    """The bytes of a PNG file with its pixels, transparency and EXIF data alone, or None where it is no PNG file.

    Text, colour profiles and times, which Pillow checks, are left out, and the checksums of what is kept beside the
    pixels are made right.
    """
    with open(path, "rb") as file:
        if file.read(len(_PNG)) != _PNG:
            return None
        parts = [_PNG]
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">L4s", head)
            if name in _PIXELS:
                parts += [head, file.read(length + 4)]
            elif name in _KEPT:
                data = file.read(length)
                file.seek(4, 1)
                parts += [head, data, struct.pack(">L", zlib.crc32(name + data))]
            else:
                file.seek(length + 4, 1)
            if name == b"IEND":
                break
    return b"".join(parts)
