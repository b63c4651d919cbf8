"""The selectors, found in the files of :mod:`.methods`."""

import functools
import importlib
import pkgutil

from . import methods
from .base import Selector


@functools.cache
def selectors():
    """Name -> class, in the order in which they are listed.

    Raises:
        TypeError: for a file without a selector, or two selectors of one name
    """
    found = [_selector(module.name) for module in pkgutil.iter_modules(methods.__path__)]
    by_name = {selector.name: selector for selector in sorted(found, key=lambda s: (s.listed, s.name))}
    if len(by_name) < len(found):
        raise TypeError(f"Two selectors have one name: {sorted(selector.name for selector in found)}.")
    return by_name


def _selector(file):
    # By the package's own name: FiftyOne loads the plugin under another one.
    module = importlib.import_module(f".{file}", methods.__name__)
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Selector) and value.__module__ == module.__name__:
            if value.name:
                return value
    raise TypeError(f"{module.__name__} defines no Selector with a name.")
