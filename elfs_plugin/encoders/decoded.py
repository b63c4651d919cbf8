"""Images as pixels, for proxies that learn from images."""

from ..errors import InvalidInput
from .images import load_pixels


class DecodedImages:
    """Decodes images, and keeps them for another stage of the same job that wants the same.

    Args:
        paths: a function that gives the path of each image by its id, asked once
    """

    def __init__(self, paths):
        self._read_paths = paths
        self._paths = self._wanted = self._values = None

    def forget(self):
        """Gives the memory back."""
        self._wanted = self._values = None

    def get(self, ids, size, progress):
        """The images of N samples.

        Returns:
            (M, 3, size, size) uint8 of the M that can be read, in the order of ``ids``; and why not, by id, of the rest

        Raises:
            InvalidInput: when none can be read
        """
        if self._wanted == (size, ids):
            return self._values, {}
        if self._paths is None:
            self._paths = self._read_paths()
        there = [i for i in ids if i in self._paths]
        gone = dict.fromkeys((i for i in ids if i not in self._paths), "it is no longer in the dataset")
        pixels = load_pixels([self._paths[i] for i in there], size, progress=progress) if there else None
        if pixels is None or not len(pixels.values):
            raise InvalidInput("None of the images can be read. Use the MLP proxy on embeddings.", "proxy")
        unread = {**gone, **{there[index]: reason for index, reason in pixels.failures.items()}}
        self._wanted, self._values = (size, [i for i in ids if i not in unread]), pixels.values
        return pixels.values, unread
