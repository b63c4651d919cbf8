"""The back ends, found in the files of this package."""

import functools
import importlib
import pkgutil

from ....errors import InvalidInput
from ....suggestions import did_you_mean
from ....validation import shown
from .base import Backend

_TOOLS = ("base", "registry")


@functools.cache
def backends() -> dict[str, type[Backend]]:
    """Name -> class, in the order in which they are listed."""
    package = importlib.import_module(__name__.rpartition(".")[0])
    found = []
    for module in pkgutil.iter_modules(package.__path__):
        if module.name in _TOOLS:
            continue
        own = importlib.import_module(f"{package.__name__}.{module.name}")
        found += [
            value
            for value in vars(own).values()
            if isinstance(value, type)
            and issubclass(value, Backend)
            and value.name
            and value.__module__ == own.__name__
        ]
    return {backend.name: backend for backend in sorted(found, key=lambda backend: (backend.listed, backend.name))}


def backend(name: str) -> Backend:
    """A fresh back end by its name.

    Raises:
        InvalidInput: when there is none of that name
    """
    known = backends()
    if not isinstance(name, str) or name not in known:
        raise InvalidInput(
            f"Unknown labelling tool {shown(name)}. Use one of: {', '.join(known)}.{did_you_mean(name, known)}", "to"
        )
    return known[name]()
