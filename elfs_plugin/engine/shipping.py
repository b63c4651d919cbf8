"""How workers get the library: as what it is here, whatever its name is, and nothing that is not a part of it.

FiftyOne loads a plugin under a name of its own, which no other process can import. So the library's files are sent
along, and loaded there under that name (:mod:`.bootstrap`). Ray's own ``py_modules`` would need more of Ray.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

from .base import Piece, Shared

LIBRARY = __name__.rpartition(".engine.")[0]
"""The name of the package, here."""
ROOT = Path(__file__).resolve().parent.parent
_LEFT_OUT = ("cli", "runs")
"""They know FiftyOne; no piece is of them."""


@functools.cache
def library_of(nearby: bool) -> dict[str, Any]:
    """What :func:`~.bootstrap.load` needs, in plain types.

    Args:
        nearby: all workers are on this machine, where the files are already
    """
    if nearby:
        return {"name": LIBRARY, "root": str(ROOT), "digest": "", "zipped": b""}
    zipped = _zipped()
    return {"name": LIBRARY, "root": None, "digest": hashlib.sha256(zipped).hexdigest(), "zipped": zipped}


def _zipped():
    """The library's source files as a zip archive, the same bytes for the same files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(ROOT.rglob("*.py")):
            name = path.relative_to(ROOT)
            if name.parts[0] not in _LEFT_OUT:
                archive.writestr(zipfile.ZipInfo(name.as_posix()), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()


def remote_bootstrap(ray: Any) -> Any:
    """The module :mod:`.bootstrap`, which Ray sends by value from now on."""
    from . import bootstrap

    ray.cloudpickle.register_pickle_by_value(bootstrap)
    return bootstrap


def packed(ray: Any, piece: Piece, **settings: Any) -> tuple[bytes, list[Any]]:
    """A piece for :func:`~.worker.perform`: (bytes, references of the shared values among its arguments)."""
    references: list[Any] = []
    arguments = []
    for value in piece.arguments:
        arguments.append(("shared", len(references)) if isinstance(value, Shared) else ("own", value))
        if isinstance(value, Shared):
            references.append(value.reference)
    payload = {"function": piece.function, "arguments": arguments, **settings}
    return ray.cloudpickle.dumps(payload), references
