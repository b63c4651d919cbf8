"""What is given to the library to select from, told apart: paths of images, or vectors."""

import os
from collections.abc import Mapping, Set

import numpy as np

from .arrays import as_array, as_matrix, is_tensor
from .errors import InvalidInput
from .validation import shown


def as_source(source):
    """What is given to :func:`run_elfs`, told apart: (N paths, the same), or (None, N vectors or an (N, D) matrix).

    Raises:
        InvalidInput: for what is neither
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        raise InvalidInput(f"{os.fsdecode(source)!r} is one path. Give a list of the paths of the images.", "source")
    if isinstance(source, (Mapping, Set)):
        raise InvalidInput(f"A {type(source).__name__} has no order. Give a list of paths, or of vectors.", "source")
    if is_tensor(source) or hasattr(source, "__array__"):
        if not is_tensor(source) and (array := np.asarray(source)).ndim == 1 and array.dtype.kind in "OUS":
            source = array.tolist()  # paths, or vectors, in an array or a column
        else:
            return None, as_matrix(source, "The embeddings", "source")
    try:
        items = list(source)
    except TypeError:
        raise InvalidInput(
            f"Give a list of paths, or an (N, D) matrix of embeddings, not {shown(source)}.", "source"
        ) from None
    are_paths = [isinstance(item, (str, bytes, os.PathLike)) for item in items]
    if all(are_paths):
        return as_paths(items, len(items), "source"), items
    if any(are_paths):
        first = are_paths.index(not are_paths[0])
        raise InvalidInput(
            f"Paths and other things are mixed: number {first + 1:,} is {shown(items[first])}. Give a list of paths, "
            "or an (N, D) matrix of embeddings.",
            "source",
        )
    if not any(hasattr(item, "__len__") for item in items):
        raise InvalidInput(
            f"The embeddings must form a matrix (N, D), a vector for each sample, or be paths; the first is "
            f"{shown(items[0])}.",
            "source",
        )
    return None, [np.asarray(as_array(item, "Embeddings")) if is_tensor(item) else item for item in items]


def as_paths(values, n, field):
    """N paths as text.

    Raises:
        InvalidInput: where they are no paths, or not N
    """
    if isinstance(values, (str, bytes, os.PathLike)) or len(values := list(values)) != n:
        raise InvalidInput(f"Give as many paths as there are samples, {n:,}, in a list.", field)
    if not all(isinstance(path, (str, bytes, os.PathLike)) for path in values):
        raise InvalidInput("Give the paths of the images, as text, in a list.", field)
    return [os.fsdecode(path) for path in values]
