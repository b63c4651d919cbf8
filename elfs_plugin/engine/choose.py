"""Which engine is in use: the one that a block names, else the environment's, else threads."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from ..suggestions import did_you_mean
from .base import Engine
from .local import LocalEngine

ENGINES = ("local", "ray")
ENGINE_VARIABLE, ADDRESS_VARIABLE = "ELFS_ENGINE", "ELFS_RAY_ADDRESS"

NOT_IN_THE_APP = (
    "The engine 'ray' is not started in the App's own process, whose signals Ray would take. Schedule the operator "
    "(a delegated operation) or use Python or the command line, or choose the engine 'local'."
)

LOCAL = LocalEngine()
_current: ContextVar[Engine] = ContextVar("engine", default=LOCAL)
_chosen: ContextVar[bool] = ContextVar("engine_chosen", default=False)


def current() -> Engine:
    """The :class:`~.base.Engine` of the block that runs, see :func:`using`; threads outside of any block."""
    return _current.get()


def available() -> list[str]:
    """The names of the engines that are installed; loads none."""
    return [name for name in ENGINES if name != "ray" or importlib.util.find_spec("ray") is not None]


@contextlib.contextmanager
def using(engine: str | Engine | None = None, address: str | None = None) -> Iterator[Engine]:
    """A block in which work runs on an engine; what was started for it ends with it.

    Args:
        engine: one of :data:`ENGINES`, an :class:`~.base.Engine`, which stays open, or None: that of the block around,
            else what the variables ``ELFS_ENGINE`` and ``ELFS_RAY_ADDRESS`` say, else threads
        address: ``HOST:PORT`` of a Ray cluster that this machine is a part of, or ``"auto"``; default: a cluster on
            this machine alone, which is started when it is first needed

    Raises:
        InvalidInput: for an engine that there is not, or cannot be used here, and an address that does not answer
    """
    if engine is None and address is None and _chosen.get():
        yield current()
        return
    opened = _opened(engine, address)
    marks = (_current.set(opened), _chosen.set(True))
    try:
        yield opened
    finally:
        _current.reset(marks[0])
        _chosen.reset(marks[1])
        if opened is not engine:
            opened.close()


def check(engine: Any, address: Any = None) -> None:
    """Refuses an engine that there is not, that is not installed, or whose address makes no sense; starts none.

    Raises:
        InvalidInput: with the field that is wrong, ``engine`` or ``address``
    """
    if engine is not None and engine not in ENGINES:
        raise InvalidInput(
            f"Unknown engine {engine!r}. Use one of: {', '.join(ENGINES)}.{did_you_mean(str(engine), ENGINES)}", "engine"
        )
    if engine == "ray" and "ray" not in available():
        raise InvalidInput('The engine \'ray\' needs Ray, which is not installed: pip install "ray[data]".', "engine")
    if address and engine == "local":
        raise InvalidInput("An address is for the engine 'ray'. Leave it out, or choose that engine.", "address")
    if address and str(address).startswith("ray://"):
        raise InvalidInput(
            "An address of the Ray client (ray://…) is not supported: start this on a machine of the cluster, and give "
            "HOST:PORT of its head, or 'auto'.",
            "address",
        )


def in_app_server() -> bool:
    """Whether this process is the server of FiftyOne's App."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return main is not None and Path(main).parts[-3:] == ("fiftyone", "server", "main.py")


def _opened(engine, address):
    if engine is not None and not isinstance(engine, str):
        return engine
    named = engine or ("ray" if address else None)
    if named is None:
        named = LOCAL.name if in_app_server() else os.environ.get(ENGINE_VARIABLE) or LOCAL.name
    if named == "ray":
        address = address or os.environ.get(ADDRESS_VARIABLE) or None
    check(named, address)
    if named == LOCAL.name:
        return LOCAL
    if in_app_server():
        raise InvalidInput(NOT_IN_THE_APP, "engine")
    from .ray import RayEngine

    return RayEngine(address)
