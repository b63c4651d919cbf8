"""Which engine is in use: the one that a block names, else the environment's, else threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar

from ..errors import InvalidInput
from .base import Engine
from .local import LocalEngine
from .names import ADDRESS_VARIABLE, ENGINE_VARIABLE, NOT_IN_THE_APP, check, in_app_server

LOCAL = LocalEngine()
_current: ContextVar[Engine] = ContextVar("engine", default=LOCAL)
_chosen: ContextVar[bool] = ContextVar("engine_chosen", default=False)


def current() -> Engine:
    """The :class:`~.base.Engine` of the block that runs, see :func:`using`; threads outside of any block."""
    return _current.get()


@contextlib.contextmanager
def using(engine: str | Engine | None = None, address: str | None = None) -> Iterator[Engine]:
    """A block in which work runs on an engine; what was started for it ends with it.

    Args:
        engine: one of :data:`~.names.ENGINES`, an :class:`~.base.Engine`, which stays open, or None: that of the block
            around, else what the variables ``ELFS_ENGINE`` and ``ELFS_RAY_ADDRESS`` say, else threads
        address: ``HOST:PORT`` of a Ray cluster that this machine is a part of, or ``"auto"``; default: a cluster on
            this machine alone. It is joined or started when it is first needed

    Raises:
        InvalidInput: for an engine that there is not, or cannot be used here, and for what is no address; where the
            engine is first needed, for an address that does not answer
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
