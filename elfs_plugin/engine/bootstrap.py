"""What a worker runs before it has the library.

All of it is sent by value, so it imports only what a worker has, inside of its functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def load(library: dict[str, Any]) -> Any:
    """The module ``engine.worker`` of the library, under the name that it has where the work comes from.

    A plugin of FiftyOne has the name ``fiftyone.plugins.…``. The packages above the library are empty modules here, so
    that FiftyOne itself is never loaded, nor needed.

    Args:
        library: see :func:`~.shipping.library_of`
    """
    import importlib
    import importlib.util
    import sys
    import types

    name = library["name"]
    if name not in sys.modules:
        parts = name.split(".")
        for end in range(1, len(parts)):
            above = types.ModuleType(".".join(parts[:end]))
            above.__path__ = []
            sys.modules.setdefault(above.__name__, above)
        root = unpacked(library)
        spec = importlib.util.spec_from_file_location(name, f"{root}/__init__.py", submodule_search_locations=[root])
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return importlib.import_module(f"{name}.engine.worker")


def unpacked(library: dict[str, Any]) -> str:
    """The folder of the library: where it lies already on this machine, else a copy among the temporary files."""
    import io
    import os
    import shutil
    import tempfile
    import zipfile

    if library["root"] is not None:
        return library["root"]
    user = os.getuid() if hasattr(os, "getuid") else 0
    target = os.path.join(tempfile.gettempdir(), f"elfs-library-{user}-{library['digest'][:16]}")
    if os.path.isdir(target) and os.stat(target).st_uid == user:
        return target
    made = tempfile.mkdtemp(prefix="elfs-library-")
    with zipfile.ZipFile(io.BytesIO(library["zipped"])) as archive:
        archive.extractall(made)
    try:
        os.rename(made, target)
    except OSError:  # another worker was quicker
        if not os.path.isdir(target) or os.stat(target).st_uid != user:
            return made
        shutil.rmtree(made, ignore_errors=True)
    return target


def call(library: dict[str, Any], ledger: Any, payload: bytes, *shared: Any) -> tuple[bool, Any]:
    """One piece, see :func:`~.worker.perform`."""
    return load(library).perform(ledger, payload, shared)


class Runner:
    """A process that has items worked on by others. Who ends it ends them too."""

    def each(self, library: dict[str, Any], ledger: Any, payload: bytes) -> Iterator[Any]:
        """Results of many items as they come, see :func:`~.worker.stream`."""
        yield from load(library).stream(library, ledger, payload)


class Worker:
    """What stays in a process and works on one item after the other, see :class:`~.worker.Items`."""

    def __init__(self, library: dict[str, Any], ledger: Any, payload: bytes) -> None:
        self._items = load(library).Items(ledger, payload)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return self._items(batch)


class Ledger:
    """Knows which items have been begun, which jobs are to stop, and when a worker was last heard of."""

    def __init__(self) -> None:
        import time

        self._begun: dict[str, dict[int, int]] = {}
        self._heard = time.monotonic()
        self._stopped: set[str] = set()

    def begin(self, job: str, item: int) -> int:
        """How often the item of a job has been begun, this time included."""
        self.beat()
        begun = self._begun.setdefault(job, {})
        begun[item] = begun.get(item, 0) + 1
        return begun[item]

    def forget(self, job: str) -> None:
        """The job has ended."""
        self._begun.pop(job, None)

    def beat(self) -> set[str]:
        """A worker is at work. It hears which jobs are to stop."""
        import time

        self._heard = time.monotonic()
        return self._stopped

    def stop(self, job: str) -> None:
        """What is left of a job is not wanted any more."""
        self._stopped.add(job)

    def silence(self) -> float:
        """Seconds since a worker was last heard of."""
        import time

        return time.monotonic() - self._heard
